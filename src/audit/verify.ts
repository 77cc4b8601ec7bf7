// Proves that an audit log is whole, or names the first line that is not. It reads only, a line at a time.
import { statSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { MediatorError } from '../errors.ts'
import { type ChainHead, chainStart, checkLine, checkLink } from './chain.ts'
import { auditFiles, openIfThere } from './files.ts'
import { LineReader, maxLineBytes } from './lines.ts'

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

const attempts = 3
/** Milliseconds that a writer is given to finish the line it is at. */
const settleMs = 20

/**
 * Verifies the log at `path`: the rotated files beside it, then itself. A log that is being written may be verified:
 * a line under way, and a rotation meanwhile, are given a second look. Throws SYSTEM when there is nothing to read.
 */
export async function verifyAudit(path: string, options: VerifyOptions = {}): Promise<Verification> {
  const list = () => (options.single === true ? [path] : auditFiles(path))
  for (let attempt = 1; ; attempt++) {
    const files = list()
    const before = fingerprint(files)
    const walk = new Walk(options.expected)
    const result = await verifyFiles(path, files, walk)
    if (result.chain === 'ok' || attempt === attempts) return result
    if (walk.torn) await sleep(settleMs)
    if (fingerprint(list()) === before) return result
  }
}

async function verifyFiles(path: string, files: readonly string[], walk: Walk): Promise<Verification> {
  let found = 0
  for (const file of files) {
    const handle = await openIfThere(file)
    if (handle === undefined) continue
    found++
    try {
      const fault = await walk.file(handle)
      if (fault !== undefined) return walk.result('broken', file, fault)
    } finally {
      await handle.close()
    }
  }
  if (found === 0) throw new MediatorError('SYSTEM', `${path}: no such audit log`, { path })
  const fault = walk.end()
  return fault === undefined ? walk.result('ok', path) : walk.result('broken', path, fault)
}

/** Changes whenever one of the files is written, replaced or renamed. */
function fingerprint(files: readonly string[]): string {
  return files
    .map(file => {
      const status = statSync(file, { bigint: true, throwIfNoEntry: false })
      return `${file} ${status?.ino} ${status?.size} ${status?.mtimeNs}`
    })
    .join('\n')
}

interface Fault {
  readonly line?: number
  readonly text: string
}

/** One pass along a chain, over any number of files. */
class Walk {
  /** Whether the walk ended at a line without a line feed. */
  torn = false
  readonly #expected: ChainHead | undefined
  #records = 0
  #first = 0
  #head = chainStart
  #lastLine = 0

  constructor(expected: ChainHead | undefined) {
    this.#expected = expected
  }

  async file(handle: FileHandle): Promise<Fault | undefined> {
    const reader = new LineReader(handle)
    for await (const bytes of reader.lines()) {
      const text = this.#line(bytes)
      if (text !== undefined) return { line: reader.line, text }
    }
    this.#lastLine = reader.line
    const line = reader.line + 1
    if (reader.overlong) return { line, text: `longer than ${maxLineBytes} bytes` }
    this.torn = reader.unfinished.length > 0
    if (!this.torn) return undefined
    return {
      line,
      text: `torn: ${reader.unfinished.length} bytes without a line feed at the end of the file`,
    }
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
