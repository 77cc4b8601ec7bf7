// The xenstore wire protocol: message types, the header of four words, and the reader that cuts a stream into messages.
// It opens nothing and means nothing. Source: Xen, xen/include/public/io/xs_wire.h and docs/misc/xenstore.txt.

/** Message types by their names in xs_wire.h. */
export const messageTypes = {
  CONTROL: 0,
  DIRECTORY: 1,
  READ: 2,
  GET_PERMS: 3,
  WATCH: 4,
  UNWATCH: 5,
  TRANSACTION_START: 6,
  TRANSACTION_END: 7,
  INTRODUCE: 8,
  RELEASE: 9,
  GET_DOMAIN_PATH: 10,
  WRITE: 11,
  MKDIR: 12,
  RM: 13,
  SET_PERMS: 14,
  WATCH_EVENT: 15,
  ERROR: 16,
  IS_DOMAIN_INTRODUCED: 17,
  RESUME: 18,
  SET_TARGET: 19,
  RESET_WATCHES: 21,
  DIRECTORY_PART: 22,
} as const

export type MessageName = keyof typeof messageTypes

/** Types that a client may send. */
export type RequestName = Exclude<MessageName, 'WATCH_EVENT' | 'ERROR'>

/** Bytes before the payload: type, req_id, tx_id, len, each 32 bits in the machine's order. */
const headerBytes = 16
/** XENSTORE_PAYLOAD_MAX: C xenstored closes the connection of a client that sends more. */
export const maxRequestBytes = 4096
/**
 * Largest reply believed. oxenstored sends a directory whole, beyond XENSTORE_PAYLOAD_MAX; what claims more than this
 * has lost its place in the stream.
 */
export const maxReplyBytes = 16 << 20

export interface WireMessage {
  readonly type: number
  readonly requestId: number
  readonly transactionId: number
  readonly payload: Uint8Array
}

/** x86 and Arm, the machines that Xen's toolstack runs on, are little-endian here. */
const littleEndian = true

/** One message as it goes out. */
export function encodeMessage({ type, requestId, transactionId, payload }: WireMessage): Uint8Array {
  const bytes = new Uint8Array(headerBytes + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, type, littleEndian)
  view.setUint32(4, requestId, littleEndian)
  view.setUint32(8, transactionId, littleEndian)
  view.setUint32(12, payload.length, littleEndian)
  bytes.set(payload, headerBytes)
  return bytes
}

/** Cuts a stream into messages, however it arrives. */
export class MessageReader {
  /** What has come and is no whole message yet; joined only when its length is known to be there. */
  #pieces: Uint8Array[] = []
  #length = 0
  /** Bytes that the message under way has in all; unknown below a header. */
  #wanted = headerBytes

  /** Whether it stands between two messages. */
  get isEmpty(): boolean {
    return this.#length === 0
  }

  /** The messages that `chunk` completes. Throws RangeError when a length cannot be: the stream is of no use then. */
  push(chunk: Uint8Array): WireMessage[] {
    this.#pieces.push(chunk)
    this.#length += chunk.length
    const messages: WireMessage[] = []
    while (this.#length >= this.#wanted) {
      const bytes = this.#joined()
      const view = new DataView(bytes.buffer, bytes.byteOffset)
      const length = view.getUint32(12, littleEndian)
      if (length > maxReplyBytes)
        throw new RangeError(`a xenstore message of ${length} bytes; at most ${maxReplyBytes} are believed`)
      this.#wanted = headerBytes + length
      if (bytes.length < this.#wanted) break
      messages.push({
        type: view.getUint32(0, littleEndian),
        requestId: view.getUint32(4, littleEndian),
        transactionId: view.getUint32(8, littleEndian),
        payload: bytes.slice(headerBytes, this.#wanted),
      })
      const rest = bytes.subarray(this.#wanted)
      this.#pieces = rest.length === 0 ? [] : [rest]
      this.#length = rest.length
      this.#wanted = headerBytes
    }
    return messages
  }

  #joined(): Uint8Array {
    const [only] = this.#pieces
    if (this.#pieces.length === 1 && only !== undefined) return only
    const bytes = new Uint8Array(this.#length)
    let offset = 0
    for (const piece of this.#pieces) {
      bytes.set(piece, offset)
      offset += piece.length
    }
    this.#pieces = [bytes]
    return bytes
  }
}

/** Arguments as the protocol wants them: each ends with NUL. A value of WRITE goes behind, as it is. */
export function encodeArguments(texts: readonly string[], value: Uint8Array = noBytes): Uint8Array {
  const head = utf8.encode(texts.map(text => `${text}\0`).join(''))
  const bytes = new Uint8Array(head.length + value.length)
  bytes.set(head)
  bytes.set(value, head.length)
  return bytes
}

/** The NUL-terminated texts of a payload; what stands behind the last NUL counts as one too. */
export function decodeTexts(payload: Uint8Array): string[] {
  if (payload.length === 0) return []
  const texts = decodeText(payload).split('\0')
  if (payload[payload.length - 1] === 0) texts.pop()
  return texts
}

/** A payload as text. Bytes that are no UTF-8 are shown, not refused: guests write what they like. */
export const decodeText = (payload: Uint8Array): string => text.decode(payload)

const noBytes = new Uint8Array(0)
const utf8 = new TextEncoder()
const text = new TextDecoder('utf-8', { ignoreBOM: true })
