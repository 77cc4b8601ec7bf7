// One file of the audit log under its writer: opened, its end proven, appended to whole lines at a time. No rotation.
import { hash } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs'
import { errorText, MediatorError } from '../errors.ts'
import { type ChainHead, chainStart, checkLine } from './chain.ts'
import { maxLineBytes } from './lines.ts'

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_WRONLY } = constants

/** What a crash left of a line, and where it is kept now. */
export interface TornLine {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

/** An open file of whole lines. */
export class LogFile {
  readonly path: string
  readonly fd: number
  /** Bytes in the file, all of them whole lines. */
  size: number
  #lastBytes = 0
  #dirtyTail = false

  private constructor(path: string, fd: number, size: number) {
    this.path = path
    this.fd = fd
    this.size = size
  }

  /** A new, empty file; there must be none yet. Errors are the system's own. */
  static create(path: string): LogFile {
    return new LogFile(path, openSync(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600), 0)
  }

  /**
   * Opens or makes the file and finds where its chain stands; `before` is where it stands when the file is empty.
   * Throws SYSTEM when it cannot be opened, AUDIT_BROKEN when its last whole line does not hold.
   */
  static open(
    path: string,
    before: () => ChainHead,
  ): { file: LogFile; head: ChainHead; torn: TornLine | undefined } {
    const fd = openOrTell(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW)
    try {
      const status = fstatSync(fd)
      if (!status.isFile()) throw new MediatorError('SYSTEM', `${path}: not a regular file`, { path })
      if ((status.mode & 0o777) !== 0o600) fchmodSync(fd, 0o600)
      const whole = endOfWholeLines(path, fd, status.size)
      const file = new LogFile(path, fd, status.size)
      let head = lastHead(path, fd, whole, before)
      let torn: TornLine | undefined
      if (whole < status.size) {
        const rest = readRange(fd, whole, status.size)
        const line = checkLine(rest)
        if (line.ok && line.sequence === head.sequence + 1 && line.prev === head.hash) {
          file.append(Buffer.from('\n'))
          head = { sequence: line.sequence, hash: line.hash }
        } else {
          torn = setAside(path, rest)
          ftruncateSync(fd, whole)
          file.size = whole
        }
      }
      return { file, head, torn }
    } catch (error) {
      closeSync(fd)
      throw error instanceof MediatorError
        ? error
        : new MediatorError('SYSTEM', `${path}: ${errorText(error)}`, { cause: error, path })
    }
  }

  /** Where the chain stands at the end of a file that is no longer written. Throws as `open`. */
  static readHead(path: string): ChainHead {
    const fd = openOrTell(path, O_RDONLY | O_NOFOLLOW)
    try {
      const { size } = fstatSync(fd)
      const whole = endOfWholeLines(path, fd, size)
      if (whole < size || size === 0)
        throw new MediatorError(
          'AUDIT_BROKEN',
          `${path}: a rotated file ${size === 0 ? 'is empty' : 'ends in a torn line'}`,
          { path },
        )
      return lastHead(path, fd, whole, () => chainStart)
    } finally {
      closeSync(fd)
    }
  }

  /** Appends whole lines, or nothing: what a failed write left behind is cut off before the error is thrown. */
  append(bytes: Buffer): void {
    if (this.#dirtyTail) this.#cut()
    let done = 0
    try {
      while (done < bytes.length) done += writeSync(this.fd, bytes, done)
    } catch (error) {
      this.#tryCut()
      throw error
    }
    this.size += bytes.length
    this.#lastBytes = bytes.length
  }

  /** Takes back what the last `append` wrote. */
  retract(): void {
    this.size -= this.#lastBytes
    this.#lastBytes = 0
    this.#tryCut()
  }

  #tryCut(): void {
    this.#dirtyTail = true
    try {
      this.#cut()
    } catch {
      // the next append tries again; after a crash before that, `open` meets the line
    }
  }

  #cut(): void {
    ftruncateSync(this.fd, this.size)
    this.#dirtyTail = false
  }
}

function openOrTell(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o600)
  } catch (error) {
    throw new MediatorError('SYSTEM', `${path}: cannot open the audit log: ${errorText(error)}`, {
      cause: error,
      path,
    })
  }
}

function readRange(fd: number, from: number, to: number): Buffer {
  const bytes = Buffer.alloc(to - from)
  let done = 0
  while (done < bytes.length) {
    const read = readSync(fd, bytes, done, bytes.length - done, from + done)
    if (read === 0) break
    done += read
  }
  return bytes.subarray(0, done)
}

/** Offset after the last line feed before `end`, searched no further back than a line can be long. */
function endOfWholeLines(path: string, fd: number, end: number): number {
  const from = Math.max(0, end - maxLineBytes)
  const at = readRange(fd, from, end).lastIndexOf(10)
  if (at < 0 && from > 0)
    throw new MediatorError('AUDIT_BROKEN', `${path}: no line ends in its last ${maxLineBytes} bytes`, {
      path,
    })
  return at < 0 ? 0 : from + at + 1
}

function lastHead(path: string, fd: number, whole: number, before: () => ChainHead): ChainHead {
  if (whole === 0) return before()
  const start = endOfWholeLines(path, fd, whole - 1)
  const line = checkLine(readRange(fd, start, whole - 1))
  if (!line.ok)
    throw new MediatorError(
      'AUDIT_BROKEN',
      `${path}:${countLines(fd, whole)}: ${line.text}; verify the log and move it aside before starting anew`,
      { path },
    )
  return { sequence: line.sequence, hash: line.hash }
}

function countLines(fd: number, end: number): number {
  let lines = 0
  for (let from = 0; from < end; from += maxLineBytes) {
    const bytes = readRange(fd, from, Math.min(end, from + maxLineBytes))
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines++
  }
  return lines
}

/** Keeps the bytes of an unfinished line in a file of their own, on the disk before they leave the log. */
function setAside(path: string, bytes: Buffer): TornLine {
  for (let n = 1; ; n++) {
    const aside = `${path}.torn-${n}`
    let fd: number
    try {
      fd = openSync(aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue
      throw error
    }
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    return { path: aside, bytes: bytes.length, sha256: hash('sha256', bytes, 'hex') }
  }
}
