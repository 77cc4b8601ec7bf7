// One exchange between an agent and a platform, and the pool it comes from. Memory only: no link, no policy.

/** Bytes of an SCMI message header. */
export const headerBytes = 4
/** Default largest frame of a link: header and payload, in bytes. Linux's own default for every transport. */
export const defaultMaxMessageBytes = 128
/** No link carries a frame above this many bytes. */
export const maxMessageBytesLimit = 4096

if (new Uint8Array(new Uint32Array([1]).buffer)[0] !== 1)
  throw new Error('SCMI is little-endian, and so must this host be')

/**
 * One exchange: the command on the way in, its response on the way back, in the same bytes. Preallocated and
 * reused; the link that took it from its pool gives it back. A link never reads guest memory again for it.
 */
export class Transfer {
  /** The frame: header first, then payload. Its capacity is the link's maxMessageBytes, at least. */
  readonly bytes: Uint8Array
  /** The same memory as 32-bit words: words[0] is the header, words[1] a response's status. */
  readonly words: Uint32Array
  /** The same memory as signed words. */
  readonly ints: Int32Array
  /** Bytes of the frame in use, header included. */
  length = 0
  /** Slot of the guest that sent it; set once when the link opens. */
  guest = 0
  /** The link's own: which vCPU, descriptor or connection generation to answer. */
  cookie = 0
  /**
   * The command's header word as the agent sent it, signed (`ints[0]`); restored in the response. Signed, like every
   * word kept in a field here: V8 boxes a number of 2^31 or more that is stored in an object.
   */
  header = 0
  /** The mediator's own: what is still to be done when the answer comes. */
  plan = 0
  /** The resource the command names, by the platform's id, signed; -1 where it names none that there is. */
  resource = 0
  /** Which numbering that is from: scmi/space.ts. */
  space = 0
  /** Two words of what the command asked for, signed, for the audit record. */
  argument0 = 0
  argument1 = 0
  /** Answers still awaited, when one exchange became several downstream. */
  awaited = 0
  /** Status that a part of it failed with, when it became several. */
  failed = 0
  /** The exchange that this one is a part of. */
  parent: Transfer | undefined = undefined
  /** Not 0: a delayed response will follow a SUCCESS; what it is for, as whoever sends the command knows it. */
  tag = 0
  /** Which set of grants it was judged by. */
  epoch = 0
  /** Monotonic time of arrival, microseconds, modulo 2^32, signed. */
  arrivedAt = 0
  /** Next in whatever list holds it. */
  next: Transfer | undefined = undefined

  constructor(buffer: ArrayBuffer, byteOffset: number, stride: number) {
    this.bytes = new Uint8Array(buffer, byteOffset, stride)
    this.words = new Uint32Array(buffer, byteOffset, stride >>> 2)
    this.ints = new Int32Array(buffer, byteOffset, stride >>> 2)
  }

  /** Makes the frame a response that carries `status` alone, under the command's own header. */
  answer(status: number): void {
    this.words[0] = this.header
    this.ints[1] = status
    this.length = 8
  }
}

/** Transfers at a fixed stride in one slab. An empty pool is BUSY for the one guest that owns it. */
export class TransferPool {
  readonly size: number
  /** Transfers not in use. */
  free: number
  #head: Transfer | undefined = undefined

  /** `size` transfers of at least `maxMessageBytes` each, marked as coming from the guest in slot `guest`. */
  constructor(size: number, maxMessageBytes: number, guest: number) {
    const stride = (Math.max(maxMessageBytes, 32) + 63) & ~63
    const slab = new ArrayBuffer(size * stride)
    this.size = size
    this.free = size
    for (let i = size - 1; i >= 0; i--) {
      const transfer = new Transfer(slab, i * stride, stride)
      transfer.guest = guest
      transfer.next = this.#head
      this.#head = transfer
    }
  }

  /** A transfer, or undefined when all are in flight. */
  take(): Transfer | undefined {
    const transfer = this.#head
    if (transfer === undefined) return undefined
    this.#head = transfer.next
    transfer.next = undefined
    this.free--
    return transfer
  }

  /** Takes a transfer back. Each is given back exactly once. */
  give(transfer: Transfer): void {
    transfer.next = this.#head
    this.#head = transfer
    this.free++
  }
}
