// Reads a platform file and validates it: YAML in, PlatformConfig out, or an error that names file and property.
import { readFileSync } from 'node:fs'
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { parse } from 'yaml'
import { errorText, MediatorError } from '../errors.ts'
import { type PlatformConfig, platformSchema } from './config.ts'
import { crossCheck } from './cross-checks.ts'

let compiled: ValidateFunction | undefined

/** Compiled when it is first needed: a daemon in front of real firmware reads no platform file. */
function validator(): ValidateFunction {
  compiled ??= new Ajv({
    useDefaults: true,
    verbose: true,
    allErrors: true,
    allowUnionTypes: true,
    validateSchema: false, // it is our own, and a test holds it to JSON Schema
  }).compile(platformSchema)
  return compiled
}

/** `/clock/clocks/3/rates` as an operator writes it: `clock.clocks[3].rates`. */
const propertyPath = (pointer: string): string =>
  pointer
    .split('/')
    .slice(1)
    .map(part => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '')

/** What was found, short enough for one line. */
const found = (data: unknown): string => {
  const text = data === undefined ? 'nothing' : (JSON.stringify(data) ?? String(data))
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

function describe(error: ErrorObject): { property: string; expected: string } {
  const at = propertyPath(error.instancePath)
  const under = (key: unknown) => (at === '' ? String(key) : `${at}.${key}`)
  switch (error.keyword) {
    case 'additionalProperties':
      return { property: under(error.params['additionalProperty']), expected: 'is not a known property' }
    case 'required':
      return { property: under(error.params['missingProperty']), expected: 'is missing' }
    case 'enum':
      return {
        property: at,
        expected: `must be one of ${(error.params['allowedValues'] as unknown[]).join(', ')}; found ${found(error.data)}`,
      }
    case 'anyOf':
      return {
        property: at,
        expected: `must have one of the forms that the schema gives; found ${found(error.data)}`,
      }
    default:
      return { property: at || 'the file', expected: `${error.message}; found ${found(error.data)}` }
  }
}

/**
 * Validates a platform described as plain data and fills in defaults; the argument is not changed.
 * @param path the file it comes from, as errors name it
 * @throws MediatorError CONFIG_INVALID naming file, property and what was expected
 */
export function checkPlatform(value: unknown, path: string): PlatformConfig {
  const config: unknown = structuredClone(value)
  const validate = validator()
  if (!validate(config)) {
    // The deepest error says most: a choice reports first what each of its forms lacks, then itself.
    const errors = validate.errors ?? []
    const error = errors.find(e => e.keyword !== 'anyOf') ?? errors[0]
    const { property, expected } = error
      ? describe(error)
      : { property: 'the file', expected: 'is not valid' }
    throw new MediatorError('CONFIG_INVALID', `${path}: ${property} ${expected}`, { path })
  }
  const platform = config as PlatformConfig
  const fault = crossCheck(platform)
  if (fault !== undefined)
    throw new MediatorError('CONFIG_INVALID', `${path}: ${fault.property} ${fault.expected}`, { path })
  return platform
}

/** A platform from the text of a YAML file; see `checkPlatform`. */
export function parsePlatform(text: string, path: string): PlatformConfig {
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    throw new MediatorError('CONFIG_INVALID', `${path}: ${errorText(error).split('\n')[0]}`, {
      cause: error,
      path,
    })
  }
  return checkPlatform(value, path)
}

/** A platform from a YAML file; see `checkPlatform`. */
export function loadPlatform(path: string): PlatformConfig {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new MediatorError('CONFIG_INVALID', `${path}: cannot be read: ${errorText(error)}`, {
      cause: error,
      path,
    })
  }
  return parsePlatform(text, path)
}
