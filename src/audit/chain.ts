// What binds one audit line to the last: sealing a line, and checking a sealed one. Bytes only, no files.
import { hash } from 'node:crypto'

/** `prev` of the very first record. */
export const genesis = '0'.repeat(64)

/** Where a chain stands: the number and hash of its last record. */
export interface ChainHead {
  readonly sequence: number
  readonly hash: string
}

/** Where a chain begins. */
export const chainStart: ChainHead = { sequence: 0, hash: genesis }

// A sealed line ends in exactly `,"hash":"<64 hex digits>"}`; its hash is that of the line without this member.
const suffixBytes = 9 + 64 + 2
const suffixForm = /^,"hash":"([0-9a-f]{64})"\}$/

/** Seals one line of JSON, an object that has `prev` already; without a line feed on either side. */
export function sealLine(line: string): { readonly line: string; readonly hash: string } {
  const sealed = hash('sha256', line, 'hex')
  return { line: `${line.slice(0, -1)},"hash":"${sealed}"}`, hash: sealed }
}

/** One line's own account of itself. */
export type LineCheck =
  | {
      readonly ok: true
      readonly sequence: number
      readonly prev: string
      readonly hash: string
      readonly record: object
    }
  | { readonly ok: false; readonly text: string }

/** Checks a line (without its line feed) by itself: its hash, then that it is JSON with a sequence and a prev. */
export function checkLine(bytes: Buffer): LineCheck {
  if (bytes.length <= suffixBytes) return { ok: false, text: 'too short to be a sealed record' }
  const end = bytes.length - suffixBytes
  // latin1 maps each byte to itself, so that no flipped bit can hide in a decoder's replacement character
  const told = suffixForm.exec(bytes.toString('latin1', end))?.[1]
  if (told === undefined) return { ok: false, text: 'does not end in a hash' }
  const content = Buffer.allocUnsafe(end + 1)
  bytes.copy(content, 0, 0, end)
  content[end] = 0x7d // the closing brace
  if (hash('sha256', content, 'hex') !== told)
    return { ok: false, text: 'its hash does not match its content: the line was changed' }
  let record: unknown
  try {
    record = JSON.parse(content.toString('utf8'))
  } catch {
    return { ok: false, text: 'not JSON' }
  }
  const { sequence, prev } = record as { sequence?: unknown; prev?: unknown }
  if (!Number.isSafeInteger(sequence) || typeof prev !== 'string')
    return { ok: false, text: 'a record without sequence or prev' }
  return {
    ok: true,
    sequence: sequence as number,
    prev,
    hash: told,
    record: Object.assign(record as object, { hash: told }),
  }
}

/** Why a checked line does not follow `head`, or undefined when it does. */
export function checkLink(
  head: ChainHead,
  line: { readonly sequence: number; readonly prev: string },
): string | undefined {
  if (line.sequence !== head.sequence + 1)
    return `sequence ${line.sequence} follows ${head.sequence}: ${line.sequence > head.sequence ? 'records are missing' : 'records are repeated or out of order'}`
  if (line.prev !== head.hash)
    return `its prev is not the hash of record ${head.sequence}: the line before was replaced`
  return undefined
}
