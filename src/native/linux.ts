// Numbers of the Linux ABI that the native calls need, equal on x64 and arm64. Constants only: it calls nothing.
import { os } from 'koffi'

export const AF_UNIX = 1
export const SOCK_STREAM = 1
export const SOCK_SEQPACKET = 5
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const SOL_SOCKET = 1
export const SO_SNDBUF = 7
export const SO_PEERCRED = 17
export const SCM_RIGHTS = 1

export const MSG_CTRUNC = 0x8
export const MSG_DONTWAIT = 0x40
export const MSG_NOSIGNAL = 0x4000
export const MSG_CMSG_CLOEXEC = 0x40000000

export const EPOLLIN = 0x1
export const EPOLLOUT = 0x4
export const EPOLLERR = 0x8
export const EPOLLHUP = 0x10
/** As a signed number, so that a mask with it stays a small integer. */
export const EPOLLET = 0x80000000 | 0
export const EPOLL_CTL_ADD = 1
export const EPOLL_CTL_DEL = 2
export const EPOLL_CTL_MOD = 3

export const PROT_READ = 1
export const PROT_WRITE = 2
export const MAP_SHARED = 0x1
export const MAP_PRIVATE = 0x2
export const MAP_FIXED = 0x10
export const MAP_ANONYMOUS = 0x20
export const MAP_NORESERVE = 0x4000
export const MAP_FIXED_NOREPLACE = 0x100000

export const MFD_CLOEXEC = 1
export const MFD_ALLOW_SEALING = 2
export const F_GETFL = 3
export const F_SETFL = 4
export const F_ADD_SEALS = 1033
export const F_GET_SEALS = 1034
export const F_SEAL_SHRINK = 2
export const F_SEAL_GROW = 4
export const F_SEAL_WRITE = 8
export const O_NONBLOCK = 0o4000

export const EFD_NONBLOCK = 0o4000
export const EFD_CLOEXEC = 0o2000000
export const CLOCK_REALTIME = 0
export const CLOCK_MONOTONIC = 1
export const TFD_TIMER_ABSTIME = 1

export const EPERM = 1
export const ENOENT = 2
export const ESRCH = 3
export const EINTR = 4
export const EBADF = 9
export const EAGAIN = 11
export const ENOMEM = 12
export const EACCES = 13
export const EBUSY = 16
export const EPIPE = 32
export const ENODATA = 61
export const EOPNOTSUPP = 95
export const ECONNABORTED = 103
export const ECONNREFUSED = 111

// Of two names for one number the first by letter: EAGAIN, not EWOULDBLOCK.
const namesByNumber = new Map(
  Object.entries(os.errno)
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .map(([name, number]) => [number, name]),
)
/** `ENOENT` for 2 or -2; the number itself where this system has no name for it. */
export const errnoName = (errno: number): string =>
  namesByNumber.get(Math.abs(errno)) ?? String(Math.abs(errno))
