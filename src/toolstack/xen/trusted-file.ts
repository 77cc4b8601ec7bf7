// Reads a file that decides what a guest is granted: only when nobody but root, or the daemon's own user, could have
// written it or put another in its place.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
} from 'node:fs'
import { basename, dirname, isAbsolute, join, normalize } from 'node:path'
import { errorText, MediatorError } from '../../errors.ts'

const othersMayWrite = 0o022
const sticky = 0o1000

/** Users whose files are believed: root, and whom the daemon runs as. */
const trusted = (uid: number): boolean => uid === 0 || uid === process.geteuid?.()

/**
 * The whole file. DTB_REFUSED, naming path and reason: relative, a symbolic link, somebody else's, writable by others, or
 * in a directory that somebody else could change; SYSTEM when it cannot be read (`cause` has the errno).
 */
export function readTrusted(path: string, maxBytes: number): Uint8Array {
  const refuse = (what: string, text: string): never => {
    throw new MediatorError('DTB_REFUSED', `${path}: ${what === path ? '' : `${what}: `}${text}`, { path })
  }
  if (!isAbsolute(path)) refuse(path, 'is relative to where xl was started; give an absolute path')
  let fd: number | undefined
  try {
    // What is named, and where it leads: whoever could change a part of either could name another file.
    checkDirectories(dirname(normalize(path)), refuse)
    const real = realpathSync(dirname(path))
    checkDirectories(real, refuse)
    fd = openSync(
      join(real, basename(path)),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    )
    const file = fstatSync(fd)
    if (!file.isFile()) refuse(path, 'is no regular file')
    if (!trusted(file.uid)) refuse(path, `belongs to user ${file.uid}, not to root`)
    if ((file.mode & othersMayWrite) !== 0) refuse(path, `${modeOf(file)}: others may write to it`)
    if (file.size > maxBytes) refuse(path, `has ${file.size} bytes; at most ${maxBytes} are read`)
    const bytes = new Uint8Array(file.size)
    for (let filled = 0; filled < bytes.length; ) {
      const count = readSync(fd, bytes, filled, bytes.length - filled, null)
      if (count === 0) refuse(path, 'was cut off while it was read')
      filled += count
    }
    return bytes
  } catch (cause) {
    if (cause instanceof MediatorError) throw cause
    if ((cause as NodeJS.ErrnoException).code === 'ELOOP') return refuse(path, 'is a symbolic link')
    throw new MediatorError('SYSTEM', `${path}: ${errorText(cause)}`, { cause, path })
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** Every directory from the root down to `directory`. In one that all may write to, the sticky bit keeps what is trusted. */
function checkDirectories(directory: string, refuse: (what: string, text: string) => never): void {
  const above = dirname(directory)
  if (above !== directory) checkDirectories(above, refuse)
  const found = lstatSync(directory)
  if (!trusted(found.uid)) refuse(directory, `belongs to user ${found.uid}, not to root`)
  if (found.isDirectory() && (found.mode & othersMayWrite) !== 0 && (found.mode & sticky) === 0)
    refuse(directory, `${modeOf(found)}: others may write to it`)
}

const modeOf = ({ mode }: Stats): string => `mode ${(mode & 0o7777).toString(8).padStart(4, '0')}`
