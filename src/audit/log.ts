// The audit log: hash-chained JSON Lines, written through pino, each on the file before `append` returns. It rotates by
// size and recovers from a crash. It does not read the log; query.ts and verify.ts do.
import { closeSync, fdatasyncSync, fstatSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Logger, pino } from 'pino'
import { errorText, MediatorError } from '../errors.ts'
import { type ChainHead, chainStart, sealLine } from './chain.ts'
import { rotatedNumbers, rotatedPath } from './files.ts'
import { maxLineBytes } from './lines.ts'
import { LogFile, type TornLine } from './log-file.ts'
import { type AuditEntry, isoTime, type RecordKind } from './record.ts'

/** When the file is also forced to the disk: never, after each record but a guest's messages, or after every record. */
export type AuditSync = 'none' | 'management' | 'all'

export interface AuditLogOptions {
  /** The file that is written; the rotated ones stand beside it. */
  readonly path: string
  /** A file is rotated out before it would grow beyond this many bytes. Default 16 MiB. */
  readonly maxBytes?: number
  /** Rotated files to keep; the oldest beyond are removed. Default: every one. */
  readonly keep?: number
  /** Default `management`: grants and revocations survive a power failure, messages a crash of the process. */
  readonly sync?: AuditSync
}

const messageKinds: ReadonlySet<RecordKind> = new Set<RecordKind>(['message', 'lost'])

/** The one writer of an audit log. Synchronous: what `append` has returned from is in the file, in order. */
export class AuditLog {
  readonly path: string
  readonly #maxBytes: number
  readonly #keep: number
  readonly #sync: AuditSync
  readonly #logger: Logger
  #file: LogFile
  #head: ChainHead
  #time = ''
  #next: ChainHead = chainStart
  #closed = false

  /**
   * Opens the log at `path` (0600, no symbolic link), or begins it, and continues its chain once the last line has
   * proven whole. What a crash left of an unfinished line is moved to `path.torn-N`, which a `recover` record tells;
   * a whole line that only lacks its line feed gets it. Throws AUDIT_BROKEN when the last line does not hold.
   */
  constructor(options: AuditLogOptions) {
    this.path = options.path
    this.#maxBytes = options.maxBytes ?? 16 << 20
    this.#keep = options.keep ?? Number.POSITIVE_INFINITY
    this.#sync = options.sync ?? 'management'
    const opened = LogFile.open(this.path, () => {
      const newest = rotatedNumbers(this.path).at(-1)
      return newest === undefined ? chainStart : LogFile.readHead(rotatedPath(this.path, newest))
    })
    this.#file = opened.file
    this.#head = opened.head
    this.#logger = pino(
      {
        base: null,
        timestamp: () => `"time":"${this.#time}"`,
        formatters: { level: () => ({}) }, // every record is of one level; the kind tells what it is
        hooks: { streamWrite: line => this.#seal(line) },
      },
      { write: (line: string) => this.#write(line) },
    )
    if (opened.torn !== undefined) this.#tellTorn(opened.torn)
  }

  /** Number and hash of the last record: kept elsewhere, it also proves that nothing was cut off the end. */
  get head(): ChainHead {
    return this.#head
  }

  /**
   * Writes one record and returns its sequence. When this returns, the record is in the file (and on the disk, as
   * `sync` says); when it throws MediatorError SYSTEM, it is not, the chain is as before, and the same entry may be
   * appended again.
   */
  append(entry: AuditEntry): number {
    if (this.#closed)
      throw new MediatorError('SYSTEM', `${this.path}: the audit log is closed`, { path: this.path })
    const { time, kind, ...facts } = entry
    const sequence = this.#head.sequence + 1
    this.#time = time ?? isoTime(Date.now() * 1000)
    const before = this.#head
    this.#next = { sequence, hash: '' }
    this.#logger.info({ sequence, kind, ...facts, prev: before.hash })
    if (this.#sync === 'none' || (this.#sync === 'management' && messageKinds.has(kind))) return sequence
    try {
      this.flush()
    } catch (error) {
      this.#file.retract() // not on the disk, so not at all: the caller will not do what it would have recorded
      this.#head = before
      throw error
    }
    return sequence
  }

  /** Forces what was written to the disk. Throws SYSTEM when that fails, or nobody could find the file any more. */
  flush(): void {
    this.#call('fstat', () => {
      if (fstatSync(this.#file.fd).nlink === 0)
        throw new Error('the file was removed while it is being written')
    })
    this.#call('fdatasync', () => fdatasyncSync(this.#file.fd))
  }

  /** Flushes and closes. Twice is once. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    try {
      this.flush()
    } finally {
      closeSync(this.#file.fd)
    }
  }

  #seal(line: string): string {
    const sealed = sealLine(line.slice(0, -1))
    this.#next = { sequence: this.#next.sequence, hash: sealed.hash }
    return `${sealed.line}\n`
  }

  #write(line: string): void {
    const bytes = Buffer.from(line)
    if (bytes.length > maxLineBytes)
      throw new MediatorError(
        'SYSTEM',
        `${this.path}: a record of ${bytes.length} bytes, above ${maxLineBytes}`,
      )
    if (this.#file.size > 0 && this.#file.size + bytes.length > this.#maxBytes) this.#rotate()
    this.#call('write', () => this.#file.append(bytes))
    this.#head = this.#next
  }

  /** One rename, then a new file: at any moment a crash leaves a chain that opens again. */
  #rotate(): void {
    const numbers = rotatedNumbers(this.path)
    const target = rotatedPath(this.path, (numbers.at(-1) ?? 0) + 1)
    this.#call('rotate', () => {
      if (this.#sync !== 'none') fdatasyncSync(this.#file.fd)
      renameSync(this.path, target)
      let file: LogFile
      try {
        file = LogFile.create(this.path)
      } catch (error) {
        renameSync(target, this.path) // the old file is still open and still ours
        throw error
      }
      closeSync(this.#file.fd)
      this.#file = file
      if (this.#sync !== 'none') syncFolder(this.path)
      const rotated = [...numbers, (numbers.at(-1) ?? 0) + 1]
      for (const n of rotated.slice(0, Math.max(0, rotated.length - this.#keep)))
        rmSync(rotatedPath(this.path, n), { force: true })
    })
  }

  #tellTorn(torn: TornLine): void {
    this.append({
      kind: 'recover',
      text: `${torn.bytes} bytes of an unfinished line were moved to ${torn.path}, SHA-256 ${torn.sha256}`,
    })
  }

  #call(what: string, run: () => void): void {
    try {
      run()
    } catch (error) {
      if (error instanceof MediatorError) throw error
      throw new MediatorError('SYSTEM', `${this.path}: audit ${what} failed: ${errorText(error)}`, {
        cause: error,
        path: this.path,
      })
    }
  }
}

function syncFolder(path: string): void {
  const fd = openSync(dirname(path), 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
