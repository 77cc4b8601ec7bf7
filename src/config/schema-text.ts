// What a schema's refusal means, in words: from ajv's errors to where and what was expected. Knows no file format.
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'

/** One thing that is wrong with a value. */
export interface Fault {
  /** Keys and indices from the root to the property; for an unknown property, to that property. */
  readonly path: readonly (string | number)[]
  /** What was expected and what was found. */
  readonly text: string
}

/** The parts of JSON Schema that the texts speak of. */
interface SchemaNode {
  readonly type?: string
  readonly description?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly minimum?: number
  readonly maximum?: number
  readonly maxItems?: number
  readonly properties?: Readonly<Record<string, SchemaNode>>
}

const compiled = new WeakMap<object, ValidateFunction>()

/** Checks `value`, filling in the schema's defaults, and gives every fault; none when it fits. */
export function findFaults(schema: object, value: unknown): Fault[] {
  let check = compiled.get(schema)
  if (check === undefined) {
    // The schemas are our own, and a test holds them to JSON Schema: not done at every start, where it takes longest.
    const options = { allErrors: true, useDefaults: true, verbose: true, strict: true, validateSchema: false }
    check = new Ajv(options).compile(schema)
    compiled.set(schema, check)
  }
  if (check(value)) return []
  const faults = (check.errors ?? []).map(error => faultOf(error, value))
  // a value of the wrong type fails its range as well: one line for each property is enough
  const seen = new Set<string>()
  return faults.filter(fault => {
    const key = fault.path.join('\0')
    return seen.has(key) ? false : seen.add(key)
  })
}

function faultOf(error: ErrorObject, root: unknown): Fault {
  const path = segments(error.instancePath, root)
  const schema = error.parentSchema as SchemaNode
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(error.params['additionalProperty'])
      const known = Object.keys(schema.properties ?? {})
      return { path: [...path, name], text: `unknown property; known here: ${known.join(', ')}` }
    }
    case 'required': {
      const name = String(error.params['missingProperty'])
      return {
        path: [...path, name],
        text: `is missing; expected ${expectation(schema.properties?.[name] ?? {})}`,
      }
    }
    default:
      return { path, text: `expected ${expectation(schema)}, found ${shown(error.data)}` }
  }
}

/** `an integer from 32 to 4096`, `one of a, b`, or the schema's own description. */
function expectation(schema: SchemaNode): string {
  if (schema.enum !== undefined) return `one of ${schema.enum.join(', ')}`
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.type === 'integer' || schema.type === 'number') {
    const noun = schema.type === 'integer' ? 'an integer' : 'a number'
    if (schema.minimum === undefined) return noun
    return schema.maximum === undefined
      ? `${noun} of at least ${schema.minimum}`
      : `${noun} from ${schema.minimum} to ${schema.maximum}`
  }
  if (schema.type === 'object') return 'a mapping'
  if (schema.type === 'array')
    return schema.maxItems === undefined ? 'a list' : `a list of at most ${schema.maxItems}`
  if (schema.type === 'boolean') return 'true or false'
  return schema.description ?? 'a string'
}

/** The value, short enough for a line. */
function shown(value: unknown): string {
  if (value === null) return 'nothing (leave the key out for its default)'
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object') return 'a mapping'
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** JSON pointer to keys; a segment is an index where the value it goes into is a list. */
function segments(pointer: string, root: unknown): (string | number)[] {
  const path: (string | number)[] = []
  let at: unknown = root
  for (const escaped of pointer.split('/').slice(1)) {
    const name = escaped.replaceAll('~1', '/').replaceAll('~0', '~')
    const key = Array.isArray(at) ? Number(name) : name
    path.push(key)
    at = (at as Record<string | number, unknown> | undefined)?.[key]
  }
  return path
}

/** `firmware.agents[1].channel`; the empty path is the whole. */
export function propertyPath(path: readonly (string | number)[]): string {
  let text = ''
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`
    else if (/^[A-Za-z_][\w-]*$/.test(key)) text += text === '' ? key : `.${key}`
    else text += `[${JSON.stringify(key)}]`
  }
  return text
}
