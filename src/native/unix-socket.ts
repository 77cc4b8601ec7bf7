// Unix sockets by path: listen and connect with the checks that a daemon owes its operator. No protocol.
import { chmodSync, chownSync, fchmodSync, lstatSync, rmSync } from 'node:fs'
import { errorText, MediatorError } from '../errors.ts'
import * as libc from './libc.ts'
import {
  AF_UNIX,
  ECONNREFUSED,
  ENOENT,
  errnoName,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
} from './linux.ts'
import { NativeMemory } from './native-memory.ts'

/** Longest path of a Unix socket in bytes: sun_path less its ending zero. Node would cut a longer one silently. */
const socketPathBytesLimit = 107
const backlog = 8

/** A Unix socket's kind. */
export type SocketKind = 'stream' | 'seqpacket'
const typeOf = (kind: SocketKind): number => (kind === 'stream' ? SOCK_STREAM : SOCK_SEQPACKET)

/** Who may connect to a socket file; unsaid, its maker alone. */
export interface SocketAccess {
  /** Permission bits of the file: 0o600 unless said otherwise. */
  readonly mode?: number
  /** Its owner and group, where not the maker's. */
  readonly uid?: number
  readonly gid?: number
}

/**
 * Listens on a new socket file of mode 0600, unless `access` says otherwise; a file left by a dead process is removed
 * first. Gives a non-blocking fd. SOCKET_PATH when the path is too long, in use, something other than a socket, or
 * cannot be given to its owner.
 */
export function listenUnix(path: string, kind: SocketKind, access: SocketAccess = {}): number {
  const name = checkedPath(path)
  removeStale(path, kind)
  const fd = libc.socket(AF_UNIX, typeOf(kind) | SOCK_NONBLOCK | SOCK_CLOEXEC)
  if (fd < 0) throw new MediatorError('SYSTEM', `socket for ${path}: ${errnoName(fd)}`, { path })
  fchmodSync(fd, 0o600) // before bind, so that the file never stands with a wider mode
  const failed = withAddress(name, (address, length) => libc.bind(fd, address, length))
  const result = failed < 0 ? failed : libc.listen(fd, backlog)
  if (result < 0) {
    libc.close(fd)
    throw new MediatorError('SOCKET_PATH', `${path}: cannot listen: ${errnoName(result)}`, { path })
  }
  try {
    grant(path, access)
  } catch (cause) {
    libc.close(fd)
    rmSync(path, { force: true })
    throw new MediatorError('SOCKET_PATH', `${path}: ${errorText(cause)}`, { path, cause })
  }
  return fd
}

/** Gives the socket file to its owner, and only then opens it to others. */
function grant(path: string, { mode, uid, gid }: SocketAccess): void {
  const stat = lstatSync(path)
  if (uid !== undefined || gid !== undefined) chownSync(path, uid ?? stat.uid, gid ?? stat.gid)
  if (mode !== undefined) chmodSync(path, mode)
}

/**
 * Connects to a socket file. Gives an fd that blocks, unless `nonBlocking`; a Unix socket connects at once either
 * way. SOCKET_PATH when the path is too long or nobody listens.
 */
export function connectUnix(path: string, kind: SocketKind, options: { nonBlocking?: boolean } = {}): number {
  const result = tryConnect(checkedPath(path), kind, options.nonBlocking === true)
  if (result < 0)
    throw new MediatorError('SOCKET_PATH', `${path}: cannot connect: ${errnoName(result)}`, { path })
  return result
}

/** As `connectUnix` with `nonBlocking`, but a socket file that takes no connection now gives -errno. */
export const tryConnectUnix = (path: string, kind: SocketKind): number =>
  tryConnect(checkedPath(path), kind, true)

/** Who is at the other end of a connected Unix socket. */
export interface PeerCredentials {
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/** SO_PEERCRED, or undefined where the kernel does not say. */
export function peerCredentials(fd: number): PeerCredentials | undefined {
  const memory = NativeMemory.allocate(64)
  memory.words[4] = 12
  const result = libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, memory.address, memory.address + 16)
  const [pid = 0, uid = 0, gid = 0] = memory.words
  memory.release()
  return result < 0 ? undefined : { pid, uid, gid }
}

/** A connected pair, each end non-blocking. */
export function socketPair(kind: SocketKind): [number, number] {
  const memory = NativeMemory.allocate(64)
  const result = libc.socketpair(AF_UNIX, typeOf(kind) | SOCK_NONBLOCK | SOCK_CLOEXEC, memory.address)
  const [a = -1, b = -1] = memory.ints
  memory.release()
  if (result < 0) throw new MediatorError('SYSTEM', `socketpair: ${errnoName(result)}`)
  return [a, b]
}

function checkedPath(path: string): Buffer {
  const name = Buffer.from(path)
  if (name.length === 0 || name.includes(0))
    throw new MediatorError('SOCKET_PATH', 'an empty socket path', { path })
  if (name.length > socketPathBytesLimit)
    throw new MediatorError(
      'SOCKET_PATH',
      `${path}: a socket path of ${name.length} bytes; at most ${socketPathBytesLimit} are possible`,
      { path },
    )
  return name
}

/** Runs `call` with the address and length of a struct sockaddr_un for `name`. */
function withAddress(name: Buffer, call: (address: number, length: number) => number): number {
  const memory = NativeMemory.allocate(128)
  memory.bytes[0] = AF_UNIX
  memory.bytes.set(name, 2)
  const result = call(memory.address, 2 + name.length + 1)
  memory.release()
  return result
}

function tryConnect(name: Buffer, kind: SocketKind, nonBlocking: boolean): number {
  const fd = libc.socket(AF_UNIX, typeOf(kind) | SOCK_CLOEXEC | (nonBlocking ? SOCK_NONBLOCK : 0))
  if (fd < 0) return fd
  const result = withAddress(name, (address, length) => libc.connect(fd, address, length))
  if (result >= 0) return fd
  libc.close(fd)
  return result
}

function removeStale(path: string, kind: SocketKind): void {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isSocket())
    throw new MediatorError('SOCKET_PATH', `${path}: exists and is not a socket; it was left alone`, { path })
  const result = tryConnect(Buffer.from(path), kind, true)
  if (result >= 0) libc.close(result)
  if (result !== -ECONNREFUSED && result !== -ENOENT)
    throw new MediatorError('SOCKET_PATH', `${path}: another process listens there`, { path })
  try {
    rmSync(path, { force: true })
  } catch (cause) {
    throw new MediatorError('SOCKET_PATH', `${path}: a stale socket that cannot be removed`, { path, cause })
  }
}
