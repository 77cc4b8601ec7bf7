// The C library's system calls as typed functions: each gives a result >= 0 or -errno. No policy, no objects.
//
// Buffers are plain addresses (numbers) of native memory (native-memory.ts), so that a call allocates nothing: an
// address below 2^31 is a small integer to V8, any other number costs a heap number whenever it is read from a field.
// Interrupted calls are repeated; epollWait alone gives 0 then, so that its caller can look at its stop flag.
import { errno, load, view } from 'koffi'
import { EFD_CLOEXEC, EFD_NONBLOCK, EINTR, F_GETFL, F_SETFL, O_NONBLOCK } from './linux.ts'

type Int = number
type Address = number

const lib = load(null)
const int = 'int'
const long = 'intptr_t' // koffi 3 has no ssize_t
const size = 'size_t'
const address = 'uintptr_t'

const c = {
  socket: lib.func('socket', int, [int, int, int]) as (domain: Int, type: Int, protocol: Int) => number,
  socketpair: lib.func('socketpair', int, [int, int, int, address]) as (
    domain: Int,
    type: Int,
    protocol: Int,
    to: Address,
  ) => number,
  bind: lib.func('bind', int, [int, address, 'uint']) as (fd: Int, name: Address, length: Int) => number,
  listen: lib.func('listen', int, [int, int]) as (fd: Int, backlog: Int) => number,
  accept4: lib.func('accept4', int, [int, address, address, int]) as (
    fd: Int,
    name: Address,
    length: Address,
    flags: Int,
  ) => number,
  connect: lib.func('connect', int, [int, address, 'uint']) as (
    fd: Int,
    name: Address,
    length: Int,
  ) => number,
  recvmsg: lib.func('recvmsg', long, [int, address, int]) as (
    fd: Int,
    message: Address,
    flags: Int,
  ) => number,
  sendmsg: lib.func('sendmsg', long, [int, address, int]) as (
    fd: Int,
    message: Address,
    flags: Int,
  ) => number,
  recv: lib.func('recv', long, [int, address, size, int]) as (
    fd: Int,
    to: Address,
    length: Int,
    flags: Int,
  ) => number,
  send: lib.func('send', long, [int, address, size, int]) as (
    fd: Int,
    from: Address,
    length: Int,
    flags: Int,
  ) => number,
  read: lib.func('read', long, [int, address, size]) as (fd: Int, to: Address, length: Int) => number,
  write: lib.func('write', long, [int, address, size]) as (fd: Int, from: Address, length: Int) => number,
  pread: lib.func('pread64', long, [int, address, size, 'int64_t']) as (
    fd: Int,
    to: Address,
    length: Int,
    offset: number,
  ) => number,
  pwrite: lib.func('pwrite64', long, [int, address, size, 'int64_t']) as (
    fd: Int,
    from: Address,
    length: Int,
    offset: number,
  ) => number,
  process_vm_writev: lib.func('process_vm_writev', long, [int, address, size, address, size, size]) as (
    pid: Int,
    from: Address,
    fromCount: Int,
    to: Address,
    toCount: Int,
    flags: Int,
  ) => number,
  close: lib.func('close', int, [int]) as (fd: Int) => number,
  flock: lib.func('flock', int, [int, int]) as (fd: Int, operation: Int) => number,
  shutdown: lib.func('shutdown', int, [int, int]) as (fd: Int, how: Int) => number,
  getsockopt: lib.func('getsockopt', int, [int, int, int, address, address]) as (
    fd: Int,
    level: Int,
    name: Int,
    to: Address,
    length: Address,
  ) => number,
  setsockopt: lib.func('setsockopt', int, [int, int, int, address, 'uint']) as (
    fd: Int,
    level: Int,
    name: Int,
    from: Address,
    length: Int,
  ) => number,
  mmap: lib.func('mmap', long, [address, size, int, int, int, 'int64_t']) as (
    at: Address,
    length: number,
    protection: Int,
    flags: Int,
    fd: Int,
    offset: number,
  ) => number,
  munmap: lib.func('munmap', int, [address, size]) as (at: Address, length: number) => number,
  memfd_create: lib.func('memfd_create', int, ['str', 'uint']) as (name: string, flags: Int) => number,
  ftruncate: lib.func('ftruncate64', int, [int, 'int64_t']) as (fd: Int, length: number) => number,
  fcntl: lib.func('fcntl', int, [int, int, '...']) as (
    fd: Int,
    command: Int,
    type: 'int',
    argument: Int,
  ) => number,
  eventfd: lib.func('eventfd', int, ['uint', int]) as (initial: Int, flags: Int) => number,
  timerfd_create: lib.func('timerfd_create', int, [int, int]) as (clock: Int, flags: Int) => number,
  timerfd_settime: lib.func('timerfd_settime', int, [int, int, address, address]) as (
    fd: Int,
    flags: Int,
    value: Address,
    old: Address,
  ) => number,
  epoll_create1: lib.func('epoll_create1', int, [int]) as (flags: Int) => number,
  epoll_ctl: lib.func('epoll_ctl', int, [int, int, int, address]) as (
    epoll: Int,
    operation: Int,
    fd: Int,
    event: Address,
  ) => number,
  epoll_wait: lib.func('epoll_wait', int, [int, address, int, int]) as (
    epoll: Int,
    events: Address,
    count: Int,
    timeoutMs: Int,
  ) => number,
  _exit: lib.func('_exit', 'void', [int]) as (code: Int) => void,
  clock_gettime: lib.func('clock_gettime', int, [int, address]) as (clock: Int, to: Address) => number,
}

/** Bytes of a `struct epoll_event`: packed on x64 alone. */
export const epollEventBytes = process.arch === 'x64' ? 12 : 16
/** Where its 64-bit data begins. */
export const epollDataOffset = process.arch === 'x64' ? 4 : 8

const orErrno = (result: number): number => (result === -1 ? -errno() : result)

/** Whether the call that gave `result` was only interrupted by a signal. */
const interrupted = (result: number): boolean => result === -1 && errno() === EINTR

/** A new socket, or -errno. */
export const socket = (domain: number, type: number): number => orErrno(c.socket(domain, type, 0))
/** Two connected sockets, whose fds go to the two words at `to`. */
export const socketpair = (domain: number, type: number, to: number): number =>
  orErrno(c.socketpair(domain, type, 0, to))
/** Gives a socket the name in the `struct sockaddr` at `name`. */
export const bind = (fd: number, name: number, length: number): number => orErrno(c.bind(fd, name, length))
export const listen = (fd: number, backlog: number): number => orErrno(c.listen(fd, backlog))

/** The fd of the next waiting connection, with SOCK_ flags, or -errno. */
export function accept4(fd: number, flags: number): number {
  let result = c.accept4(fd, 0, 0, flags)
  while (interrupted(result)) result = c.accept4(fd, 0, 0, flags)
  return orErrno(result)
}

/** Connects a socket to the name in the `struct sockaddr` at `name`. */
export function connect(fd: number, name: number, length: number): number {
  let result = c.connect(fd, name, length)
  while (interrupted(result)) result = c.connect(fd, name, length)
  return orErrno(result)
}

/** Receives into the `struct msghdr` at `message`: bytes, 0 at the end, or -errno. */
export function recvmsg(fd: number, message: number, flags: number): number {
  let result = c.recvmsg(fd, message, flags)
  while (interrupted(result)) result = c.recvmsg(fd, message, flags)
  return orErrno(result)
}

/** Sends the `struct msghdr` at `message`: bytes taken, or -errno. */
export function sendmsg(fd: number, message: number, flags: number): number {
  let result = c.sendmsg(fd, message, flags)
  while (interrupted(result)) result = c.sendmsg(fd, message, flags)
  return orErrno(result)
}

/** Receives at most `length` bytes to `to`: bytes, 0 at the end, or -errno. File descriptors sent along are dropped. */
export function recv(fd: number, to: number, length: number, flags: number): number {
  let result = c.recv(fd, to, length, flags)
  while (interrupted(result)) result = c.recv(fd, to, length, flags)
  return orErrno(result)
}

/** Sends `length` bytes at `from`: bytes taken, or -errno. Pass MSG_NOSIGNAL, or a closed peer raises SIGPIPE. */
export function send(fd: number, from: number, length: number, flags: number): number {
  let result = c.send(fd, from, length, flags)
  while (interrupted(result)) result = c.send(fd, from, length, flags)
  return orErrno(result)
}

export function read(fd: number, to: number, length: number): number {
  let result = c.read(fd, to, length)
  while (interrupted(result)) result = c.read(fd, to, length)
  return orErrno(result)
}

export function write(fd: number, from: number, length: number): number {
  let result = c.write(fd, from, length)
  while (interrupted(result)) result = c.write(fd, from, length)
  return orErrno(result)
}

/** Reads file bytes at `offset` without mapping them: never a SIGBUS, whatever happens to the file. */
export function pread(fd: number, to: number, length: number, offset: number): number {
  let result = c.pread(fd, to, length, offset)
  while (interrupted(result)) result = c.pread(fd, to, length, offset)
  return orErrno(result)
}

export function pwrite(fd: number, from: number, length: number, offset: number): number {
  let result = c.pwrite(fd, from, length, offset)
  while (interrupted(result)) result = c.pwrite(fd, from, length, offset)
  return orErrno(result)
}

/** Copies between two struct iovec, the second one's memory in process `pid`: bytes copied, or -errno; never a signal. */
export const processVmWrite = (pid: number, from: number, to: number): number =>
  orErrno(c.process_vm_writev(pid, from, 1, to, 1, 0))

/** Closes an fd. Never repeated: Linux has freed the number even when it reports EINTR. */
export const close = (fd: number): number => orErrno(c.close(fd))
export const shutdown = (fd: number, how: number): number => orErrno(c.shutdown(fd, how))
/** Advisory lock of a whole open file: LOCK_ bits. The kernel gives it back when the process dies. */
export const flock = (fd: number, operation: number): number => orErrno(c.flock(fd, operation))

/** Reads a socket option to `to`; the 32-bit word at `length` holds the room and then the size. */
export const getsockopt = (fd: number, level: number, name: number, to: number, length: number): number =>
  orErrno(c.getsockopt(fd, level, name, to, length))
export const setsockopt = (fd: number, level: number, name: number, from: number, length: number): number =>
  orErrno(c.setsockopt(fd, level, name, from, length))

/** The address of a new mapping, or -errno. */
export const mmap = (
  at: number,
  length: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
): number => orErrno(c.mmap(at, length, protection, flags, fd, offset))
/** Ends a mapping. A view of it that is still used then kills the process: mapped-memory.ts never needs this. */
export const munmap = (at: number, length: number): number => orErrno(c.munmap(at, length))

/** The native memory at `at` as an ArrayBuffer over the very bytes. Make it once: it costs a microsecond. */
export const viewMemory = (at: number, length: number): ArrayBuffer => view(at, length)

/** A new anonymous file, named for /proc only. */
export const memfdCreate = (name: string, flags: number): number => orErrno(c.memfd_create(name, flags))
export const ftruncate = (fd: number, length: number): number => orErrno(c.ftruncate(fd, length))
export const fcntl = (fd: number, command: number, argument: number): number =>
  orErrno(c.fcntl(fd, command, 'int', argument))

/** Makes the open file behind `fd` non-blocking, for everyone who shares it. */
export function setNonBlocking(fd: number): number {
  const flags = fcntl(fd, F_GETFL, 0)
  return flags < 0 ? flags : fcntl(fd, F_SETFL, flags | O_NONBLOCK)
}

/** A new non-blocking eventfd with a count of 0. */
export const eventfd = (): number => orErrno(c.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
/** A new timer file of a CLOCK_, non-blocking. */
export const timerfdCreate = (clock: number): number =>
  orErrno(c.timerfd_create(clock, EFD_CLOEXEC | EFD_NONBLOCK))
/** Sets a timer from the `struct itimerspec` at `value`. */
export const timerfdSettime = (fd: number, flags: number, value: number): number =>
  orErrno(c.timerfd_settime(fd, flags, value, 0))

export const epollCreate = (): number => orErrno(c.epoll_create1(EFD_CLOEXEC))
/** Adds, changes or removes `fd` with the `struct epoll_event` at `event`. */
export const epollCtl = (epoll: number, operation: number, fd: number, event: number): number =>
  orErrno(c.epoll_ctl(epoll, operation, fd, event))

/** Waits for events of `epoll`, written to `events`: how many, 0 after `timeoutMs` or a signal, or -errno. */
export function epollWait(epoll: number, events: number, count: number, timeoutMs: number): number {
  const result = c.epoll_wait(epoll, events, count, timeoutMs)
  if (result >= 0) return result
  const error = errno()
  return error === EINTR ? 0 : -error
}

/** Writes a CLOCK_ to the `struct timespec` at `to`: 64-bit seconds, 64-bit nanoseconds. */
export const clockGettime = (clock: number, to: number): number => orErrno(c.clock_gettime(clock, to))

/** Ends the process with all its threads at once. `process.exit` waits for a thread that is inside a call of these. */
export function exitNow(code: number): never {
  c._exit(code)
  throw new Error('_exit returned')
}
