// One end of a vhost-user socket: cuts the stream into messages with their descriptors, and sends messages back. It does
// not know what they mean.
import { close } from '../native/libc.ts'
import { EAGAIN, EPIPE } from '../native/linux.ts'
import { RightsMessage } from '../native/rights-message.ts'
import { headerBytes, maxFds, maxPayloadBytes, VERSION, versionMask } from './vhost-user-wire.ts'

/** What `read` found. Below 0: -errno. */
const WHOLE = 1
export const MORE = 2
export const ENDED = 0
/** The stream cannot be a vhost-user front end's. */
export const SENSELESS = 3

const capacity = headerBytes + maxPayloadBytes
const payloadWord = headerBytes / 4

/** Reads one message at a time, and keeps at most one that has not left yet. */
export class MessageStream {
  /** Header of the message that was read last. */
  request = 0
  flags = 0
  size = 0
  /** Its payload, and the descriptors that came with it; what is not taken is closed by `next`. */
  readonly payload: Uint32Array
  readonly fds = new Int32Array(maxFds).fill(-1)
  fdCount = 0
  readonly #in = new RightsMessage(capacity, maxFds)
  readonly #out = new RightsMessage(capacity, 1)
  #have = 0
  /** Bytes to send, those sent, and the descriptor that goes with the first of them. */
  #length = 0
  #sent = 0
  readonly #outFds: number[] = []
  #fdToClose = -1

  constructor() {
    this.payload = this.#in.words.subarray(payloadWord, payloadWord + maxPayloadBytes / 4)
  }

  /** Payload of the message that is to be sent. */
  get answer(): Uint32Array {
    return this.#out.words.subarray(payloadWord, payloadWord + maxPayloadBytes / 4)
  }

  /** Whether something has not left yet. */
  get sending(): boolean {
    return this.#sent < this.#length
  }

  /** Reads on in the present message: WHOLE, MORE, ENDED, SENSELESS or -errno. One read for a header, one for a payload. */
  read(fd: number): number {
    if (this.#have < headerBytes) {
      const result = this.#receive(fd, headerBytes)
      if (result !== WHOLE) return result
      const words = this.#in.words
      this.request = words[0] as number
      this.flags = words[1] as number
      this.size = words[2] as number
      if ((this.flags & versionMask) !== VERSION || this.size > maxPayloadBytes) return SENSELESS
    }
    return this.#have < headerBytes + this.size ? this.#receive(fd, headerBytes + this.size) : WHOLE
  }

  /** Takes a descriptor of the message over; -1 when there is none. */
  take(index: number): number {
    const fd = index < this.fdCount ? (this.fds[index] as number) : -1
    if (fd >= 0) this.fds[index] = -1
    return fd
  }

  /** Done with the message: what it brought and nobody took is closed. */
  next(): void {
    for (let i = 0; i < this.fdCount; i++) if ((this.fds[i] as number) >= 0) close(this.fds[i] as number)
    this.fds.fill(-1, 0, this.fdCount)
    this.fdCount = 0
    this.#have = 0
  }

  /** Makes `size` bytes of `answer` a message, to go with `flush`; `fd` goes with it and is closed then. */
  put(request: number, flags: number, size: number, fd = -1): void {
    const words = this.#out.words
    words[0] = request
    words[1] = VERSION | flags
    words[2] = size
    this.#length = headerBytes + size
    this.#sent = 0
    this.#outFds.length = 0
    if (fd >= 0) this.#outFds.push(fd)
    this.#fdToClose = fd
  }

  /** Sends what waits: 0 when all of it left, -EAGAIN when the socket takes no more, another -errno when it is dead. */
  flush(fd: number): number {
    if (!this.sending) return 0
    // A message is small and the socket's buffer is not: it takes all or nothing, except from a peer that broke it.
    const result = this.#out.send(fd, this.#length, this.#outFds)
    if (result === -EAGAIN) return result
    this.#dropFd()
    if (result < 0) return result
    this.#sent = this.#length
    return result === this.#length ? 0 : -EPIPE
  }

  /** Forgets both directions: another peer comes, or none. */
  clear(): void {
    this.next()
    this.#dropFd()
    this.#length = 0
    this.#sent = 0
  }

  /** Gives the buffers back. */
  release(): void {
    this.clear()
    this.#in.release()
    this.#out.release()
  }

  #dropFd(): void {
    if (this.#fdToClose >= 0) close(this.#fdToClose)
    this.#fdToClose = -1
    this.#outFds.length = 0
  }

  #receive(fd: number, wanted: number): number {
    const length = this.#in.receive(fd, this.#have, wanted - this.#have)
    if (length === -EAGAIN) return MORE
    if (length < 0) return length
    const late = this.#have > 0 && this.#in.fdCount > 0 // descriptors come with a message's first byte
    if (this.fdCount === 0 && !late) {
      this.fdCount = this.#in.fdCount
      for (let i = 0; i < this.fdCount; i++) this.fds[i] = this.#in.fds[i] as number
      this.#in.fdCount = 0
    } else this.#in.closeFds()
    if (this.#in.fdsLost || late) return SENSELESS
    if (length === 0) return ENDED
    this.#have += length
    return this.#have < wanted ? MORE : WHOLE
  }
}
