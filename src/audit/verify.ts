// Proves that an audit log is whole, or names the first line that is not. It reads only, a line at a time.
import { setTimeout as sleep } from 'node:timers/promises'
import { type ChainHead, chainStart, checkLine, checkLink } from './chain.ts'
import { type LineReader, maxLineBytes } from './lines.ts'
import { places } from './places.ts'

/** What verification found. */
export interface Verification {
  /** Records that hold, up to the first that does not. */
  readonly records: number
  readonly chain: 'ok' | 'broken'
  /** The log; when it is broken, the file of it in which. */
  readonly path: string
  /** The first bad line, from 1. */
  readonly line?: number
  /** Why it is bad. */
  readonly text?: string
  /** Sequence of the first record: above 1 when older files were removed. */
  readonly first: number
  /** Where the chain stands at its end. */
  readonly head: ChainHead
}

export interface VerifyOptions {
  /** Only the file named, without the rotated ones beside it. */
  readonly single?: boolean
  /** A head known from elsewhere that the log must reach: proves that its end was not cut off. */
  readonly expected?: ChainHead
}

/** Looks, and milliseconds between them, that a writer is given to finish the line it is at. */
const looks = 3
const settleMs = 20

/**
 * Verifies the log at `path`: the rotated files beside it, then itself. It may be written and rotated meanwhile; what
 * comes into later files is left for another time. Throws SYSTEM when there is nothing to read.
 */
export async function verifyAudit(path: string, options: VerifyOptions = {}): Promise<Verification> {
  const walk = new Walk(options.expected)
  for await (const { file, reader } of places(path, options.single)) {
    const fault = await walk.file(reader)
    if (fault !== undefined) return walk.result('broken', file, fault)
  }
  const fault = walk.end()
  return fault === undefined ? walk.result('ok', path) : walk.result('broken', path, fault)
}

interface Fault {
  readonly line?: number
  readonly text: string
}

/** One pass along a chain, over any number of files. */
class Walk {
  readonly #expected: ChainHead | undefined
  #records = 0
  #first = 0
  #head = chainStart
  #lastLine = 0

  constructor(expected: ChainHead | undefined) {
    this.#expected = expected
  }

  async file(reader: LineReader): Promise<Fault | undefined> {
    for (let look = 1; ; look++) {
      for await (const bytes of reader.lines()) {
        const text = this.#line(bytes)
        if (text !== undefined) return { line: reader.line, text }
      }
      if (reader.unfinished.length === 0 || reader.overlong || look === looks) break
      await sleep(settleMs)
      await reader.forgetCutOff()
    }
    this.#lastLine = reader.line
    if (reader.unfinished.length === 0) return undefined
    const text = reader.overlong
      ? `longer than ${maxLineBytes} bytes`
      : `torn: ${reader.unfinished.length} bytes without a line feed at the end of the file`
    return { line: reader.line + 1, text }
  }

  end(): Fault | undefined {
    const expected = this.#expected
    if (expected === undefined || this.#head.sequence >= expected.sequence) return undefined
    const text = `ends at record ${this.#head.sequence}, but record ${expected.sequence} was written: the end was cut off`
    return { line: this.#lastLine + 1, text }
  }

  result(chain: 'ok' | 'broken', path: string, fault?: Fault): Verification {
    return { records: this.#records, chain, path, ...fault, first: this.#first, head: this.#head }
  }

  #line(bytes: Buffer): string | undefined {
    const line = checkLine(bytes)
    if (!line.ok) return line.text
    // A log whose oldest files were removed begins anywhere, but record 1 has nothing before it.
    if (this.#records > 0 || line.sequence === 1) {
      const text = checkLink(this.#head, line)
      if (text !== undefined) return text
    }
    if (this.#expected?.sequence === line.sequence && this.#expected.hash !== line.hash)
      return `record ${line.sequence} is not the one that was written: its hash is another`
    if (this.#records === 0) this.#first = line.sequence
    this.#head = { sequence: line.sequence, hash: line.hash }
    this.#records++
    return undefined
  }
}
