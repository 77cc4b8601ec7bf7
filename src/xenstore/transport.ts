// The ways to a xenstore daemon as streams of bytes: its Unix socket, or the kernel's /dev/xen/xenbus. No messages here.
import {
  closeSync,
  constants,
  openSync,
  read as readCallback,
  statSync,
  write as writeCallback,
} from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { errorText, MediatorError } from '../errors.ts'
import { POLLIN, POLLOUT, waitFor } from '../native/poll.ts'
import { unreachable } from './error.ts'

/** Told of what comes; after `closed` nothing more. */
export interface TransportEvents {
  data(chunk: Uint8Array): void
  /** The other side went away, or the stream broke. Not called after an own `close`. */
  closed(reason: string): void
}

export interface Transport {
  /** Takes whole messages, in order; never blocks. */
  write(bytes: Uint8Array): void
  /** Resolves when nothing of it is left. Twice is once. */
  close(): Promise<void>
}

/** Where Linux toolstacks find the daemon, first that is there: its socket, or the kernel's device for one in a domain of its own. */
export const usualPaths = ['/run/xenstored/socket', '/var/run/xenstored/socket', '/dev/xen/xenbus'] as const

/** Opens `path`, a Unix socket or a character device. Throws XENSTORE_UNREACHABLE naming it. */
export async function openTransport(path: string, events: TransportEvents): Promise<Transport> {
  const file = statSync(path, { throwIfNoEntry: false })
  if (file === undefined) throw unreachable(path, 'there is no such file; is xenstored running?')
  if (file.isSocket()) return openSocket(path, events)
  if (file.isCharacterDevice()) return openDevice(path, events)
  throw unreachable(path, 'is neither a socket nor a device')
}

/** How long the daemon may be too busy to take a connection, and how soon it is asked again. */
const crowdedMs = 5000
const askAgainMs = 20

/** C xenstored lets one connection wait: where libxenstore's connect blocks, node's says EAGAIN. */
async function openSocket(path: string, events: TransportEvents): Promise<Transport> {
  for (const end = Date.now() + crowdedMs; ; await sleep(askAgainMs)) {
    try {
      return await connectSocket(path, events)
    } catch (error) {
      const isCrowded = error instanceof MediatorError && isAgain(error.cause)
      if (!isCrowded || Date.now() > end) throw error
    }
  }
}

function connectSocket(path: string, events: TransportEvents): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(path)
    let reason = 'the daemon closed the connection'
    let open = false
    socket.on('connect', () => {
      open = true
      resolve({
        write: bytes => void socket.write(bytes),
        close: async () => {
          open = false
          socket.destroy()
        },
      })
    })
    socket.on('data', chunk => open && events.data(chunk))
    socket.on('error', error => {
      reason = errorText(error)
      if (!open) reject(unreachable(path, reason, error))
    })
    socket.on('close', () => {
      if (!open) return
      open = false
      events.closed(reason)
    })
  })
}

/** Milliseconds that a close may have to wait for a reader in the pool. */
const pollMs = 200
const readBytes = 65536
const read = promisify(readCallback)
const write = promisify(writeCallback)
const isAgain = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'EAGAIN'

/**
 * The kernel's device is a character device: node has no event for it, so a reader waits for it in the pool. Source: Linux
 * drivers/xen/xenbus/xenbus_dev_frontend.c.
 */
function openDevice(path: string, events: TransportEvents): Transport {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    throw unreachable(path, errorText(error), error)
  }
  let open = true
  let waiting: Uint8Array[] = []
  let writing: Promise<void> | undefined

  const fail = (error: unknown): void => {
    if (!open) return
    open = false
    events.closed(errorText(error))
  }
  const readAll = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafe(readBytes)
    while (open) {
      try {
        const { bytesRead } = await read(fd, buffer, 0, buffer.length, null)
        if (bytesRead === 0) throw new Error('the device came to an end')
        if (open) events.data(Uint8Array.from(buffer.subarray(0, bytesRead)))
      } catch (error) {
        if (!isAgain(error)) return fail(error)
        await waitFor(fd, POLLIN, pollMs)
      }
    }
  }
  const writeAll = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && open; next = waiting.shift()) {
      for (let offset = 0; offset < next.length && open; ) {
        try {
          offset += (await write(fd, next, offset, next.length - offset)).bytesWritten
        } catch (error) {
          if (!isAgain(error)) return fail(error)
          await waitFor(fd, POLLOUT, pollMs)
        }
      }
    }
  }
  const reading = readAll()
  let closing: Promise<void> | undefined
  return {
    write(bytes) {
      if (!open) return
      waiting.push(bytes)
      writing ??= writeAll().finally(() => {
        writing = undefined
      })
    },
    close() {
      closing ??= (async () => {
        open = false
        waiting = []
        await reading
        await writing
        closeSync(fd)
      })()
      return closing
    },
  }
}
