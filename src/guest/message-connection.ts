// A guest's end of a message socket: frames with their length in front on a Unix stream socket. ABI: docs/trap-socket.md.
import { connect, type Socket } from 'node:net'
import { checkSocketPath } from '../config/paths.ts'
import { errorText, MediatorError } from '../errors.ts'
import { checkLength, defaultDeadlineMs, type GuestConnection, unreachable } from './guest-connection.ts'

const lengthBytes = 4
/** What no daemon sends: the stream is then not one of frames. */
const maxFrameBytes = 65536

interface Pending {
  readonly header: number
  readonly resolve: (frame: Uint8Array) => void
  readonly reject: (error: unknown) => void
}

/** A frame as it goes over the socket: its length, then itself. */
export function framed(frame: Uint8Array, length = frame.length): Uint8Array {
  const bytes = new Uint8Array(lengthBytes + frame.length)
  new DataView(bytes.buffer).setUint32(0, length, true)
  bytes.set(frame, lengthBytes)
  return bytes
}

/** One connection over a stream socket; as many requests at once as the caller likes. */
export class MessageConnection implements GuestConnection {
  readonly kind = 'message-socket'
  readonly maxMessageBytes = maxFrameBytes
  onFrame: (frame: Uint8Array) => void = () => {}
  /** The raw side, for those who want to misbehave. */
  readonly socket: Socket
  readonly path: string
  readonly #pending: Pending[] = []
  #received: Buffer = Buffer.alloc(0)
  #gone: string | undefined

  private constructor(path: string, socket: Socket) {
    this.path = path
    this.socket = socket
    socket.on('data', chunk => this.#take(chunk))
    socket.on('error', error => this.#end(errorText(error)))
    socket.on('close', () => this.#end('the daemon hung up'))
  }

  /** Connects. Throws SOCKET_PATH when the path is too long or nobody listens. */
  static open(path: string): Promise<MessageConnection> {
    checkSocketPath(path)
    return new Promise((resolve, reject) => {
      const socket = connect({ path })
      const fail = (cause: Error): void =>
        reject(new MediatorError('SOCKET_PATH', `${path}: cannot connect: ${cause.message}`, { path, cause }))
      socket.once('error', fail)
      socket.once('connect', () => {
        socket.off('error', fail)
        resolve(new MessageConnection(path, socket))
      })
    })
  }

  get closed(): boolean {
    return this.#gone !== undefined
  }

  request(frame: Uint8Array, deadlineMs = defaultDeadlineMs): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      checkLength(frame, this.maxMessageBytes)
      if (this.#gone !== undefined) throw unreachable(this.path, this.#gone)
      const header = new DataView(frame.buffer, frame.byteOffset).getUint32(0, true)
      const timer = setTimeout(() => {
        this.#pending.splice(this.#pending.indexOf(pending), 1)
        reject(unreachable(this.path, `no answer within ${deadlineMs} ms`))
      }, deadlineMs)
      const done =
        <T>(settle: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer)
          settle(value)
        }
      const pending = { header, resolve: done(resolve), reject: done(reject) }
      this.#pending.push(pending)
      this.send(framed(frame))
    })
  }

  /** Puts any bytes on the stream. */
  send(bytes: Uint8Array): void {
    if (this.#gone === undefined) this.socket.write(bytes)
  }

  close(): void {
    this.#end('closed on this side')
  }

  #end(reason: string): void {
    this.#gone ??= reason
    this.socket.destroy()
    for (const pending of this.#pending.splice(0)) pending.reject(unreachable(this.path, this.#gone))
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    while (this.#received.length >= lengthBytes) {
      const length = this.#received.readUInt32LE(0)
      if (length < 4 || length > maxFrameBytes)
        return this.#end(`the daemon sent a frame of ${length} bytes, which cannot be`)
      if (this.#received.length < lengthBytes + length) return
      const frame = Uint8Array.from(this.#received.subarray(lengthBytes, lengthBytes + length))
      this.#received = this.#received.subarray(lengthBytes + length)
      this.#hand(frame)
    }
  }

  /** An answer repeats its request's header word; of equal ones the oldest is meant. */
  #hand(frame: Uint8Array): void {
    const header = new DataView(frame.buffer).getUint32(0, true)
    const at = this.#pending.findIndex(pending => pending.header === header)
    const [pending] = at < 0 ? [] : this.#pending.splice(at, 1)
    if (pending === undefined) this.onFrame(frame)
    else pending.resolve(frame)
  }
}
