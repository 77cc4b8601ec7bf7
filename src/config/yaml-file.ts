// A YAML file checked against a schema: every fault is told with file, line, column and property. Knows no schema.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import type { Static, TSchema } from 'typebox'
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import { errorText, MediatorError } from '../errors.ts'
import { findFaults, propertyPath } from './schema-text.ts'

/** No configuration is larger than this, in bytes. */
const maxFileBytes = 1 << 20
/** More faults than this say nothing new. */
const maxFaults = 20

/** Something the schema cannot say. */
export interface Problem {
  readonly path: readonly (string | number)[]
  readonly text: string
}

/** A file that fits its schema, defaults filled in. */
export interface YamlFile<T> {
  readonly path: string
  readonly value: T
  /** `file:line:column` of a property, or of the nearest one around it that is there. */
  readonly where: (path: readonly (string | number)[]) => string
  /** The error that tells of problems found later: a line each. */
  readonly refusal: (problems: readonly Problem[]) => MediatorError
}

/**
 * Reads and checks the file at `path`. Throws CONFIG_INVALID with a line for each fault:
 * `scmid.yaml:12:7: firmware.deadlineMs: expected an integer from 1 to 60000, found "x"`.
 */
export function readYamlFile<S extends TSchema>(path: string, schema: S): YamlFile<Static<S>> {
  return parseYaml(readText(path), path, schema)
}

/** As `readYamlFile`, of text already read; `path` is for the messages. */
function parseYaml<S extends TSchema>(text: string, path: string, schema: S): YamlFile<Static<S>> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${path}:${Math.max(line, 1)}:${Math.max(col, 1)}`
  }
  const where = (property: readonly (string | number)[]): string => at(offsetOf(document, property))
  const refuse = (told: readonly string[]): MediatorError => {
    const shown = told.slice(0, maxFaults)
    if (told.length > maxFaults) shown.push(`${path}: and ${told.length - maxFaults} more`)
    return new MediatorError('CONFIG_INVALID', shown.join('\n'), { path })
  }

  const unreadable = [...document.errors, ...document.warnings]
  if (unreadable.length > 0)
    throw refuse(unreadable.map(({ pos, message }) => `${at(pos[0])}: ${firstLine(message)}`))
  let value: unknown
  try {
    value = document.toJS()
  } catch (cause) {
    throw new MediatorError('CONFIG_INVALID', `${path}: ${errorText(cause)}`, { cause, path })
  }
  const faults = findFaults(schema, value)
  if (faults.length > 0)
    throw refuse(faults.map(fault => `${where(fault.path)}: ${named(fault.path)}${fault.text}`))
  return {
    path,
    value: value as Static<S>,
    where,
    refusal: problems => refuse(problems.map(each => `${where(each.path)}: ${named(each.path)}${each.text}`)),
  }
}

const named = (path: readonly (string | number)[]): string =>
  path.length === 0 ? '' : `${propertyPath(path)}: `
const firstLine = (text: string): string => text.split('\n', 1)[0] ?? text

function readText(path: string): string {
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    const status = fstatSync(fd)
    if (!status.isFile()) throw new Error('not a regular file')
    if (status.size > maxFileBytes) throw new Error(`larger than ${maxFileBytes} bytes`)
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(fd))
  } catch (cause) {
    throw new MediatorError('CONFIG_INVALID', `${path}: cannot be read: ${errorText(cause)}`, { cause, path })
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** Offset of a property's key, of an item, or of the nearest node around it that has a place. */
function offsetOf(document: Document.Parsed, path: readonly (string | number)[]): number {
  let node: unknown = document.contents
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document)
    let next: unknown
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(step))
      if (isNode(pair?.key)) offset = pair.key.range?.[0] ?? offset
      next = pair?.value
    } else if (isSeq(node)) {
      next = node.items[Number(step)]
      if (isNode(next)) offset = next.range?.[0] ?? offset
    }
    if (next === undefined) break
    node = next
  }
  return offset
}
