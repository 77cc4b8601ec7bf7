// What a guest's end of a link is to the programs that play the guest: frames there and back. It knows no message.
import { MediatorError } from '../errors.ts'

/** Milliseconds that a request waits for its answer unless told otherwise: far beyond any firmware's deadline. */
export const defaultDeadlineMs = 5000

/** A guest's end of a link. */
export interface GuestConnection {
  readonly kind: 'trap-socket' | 'message-socket'
  /** Largest frame in bytes, header included, that can be sent here; what the daemon takes may be less. */
  readonly maxMessageBytes: number
  /** Whether the daemon has hung up, or `close` was called. */
  readonly closed: boolean
  /** Called with each frame that answers no request: delayed responses and notifications. */
  onFrame: (frame: Uint8Array) => void
  /**
   * Sends a frame, header and payload as they are, and gives the frame that answers it. Throws RangeError when the
   * link cannot carry it, DAEMON_UNREACHABLE when the connection ends or no answer comes within `deadlineMs`,
   * NOT_SUPPORTED when the hypervisor side says that the call is none of its.
   */
  request(frame: Uint8Array, deadlineMs?: number): Promise<Uint8Array>
  /** Hangs up; requests under way fail. Twice is once. */
  close(): void
}

/** The daemon at `path` is gone, or silent: `text` says which. */
export const unreachable = (path: string, text: string, cause?: unknown): MediatorError =>
  new MediatorError('DAEMON_UNREACHABLE', `${path}: ${text}`, { path, cause })

/** Refuses what has no header, or does not fit. */
export function checkLength(frame: Uint8Array, maxMessageBytes: number): void {
  if (frame.length < 4) throw new RangeError(`a frame of ${frame.length} bytes: a header has 4`)
  if (frame.length > maxMessageBytes)
    throw new RangeError(`a frame of ${frame.length} bytes: this link carries ${maxMessageBytes}`)
}

/** Milliseconds that a poll spins through the event loop before it sleeps between looks. */
const spinMs = 1

/** Looks until there is something, without holding up the event loop; undefined after `deadlineMs`. */
export async function poll<T>(look: () => T | undefined, deadlineMs: number): Promise<T | undefined> {
  const began = performance.now()
  for (;;) {
    const found = look()
    if (found !== undefined) return found
    const waited = performance.now() - began
    if (waited >= deadlineMs) return undefined
    await new Promise<void>(resolve => {
      if (waited < spinMs) setImmediate(resolve)
      else setTimeout(resolve, 1)
    })
  }
}
