// A guest on a message-socket, in a test: answers by their header, other frames in order. Its own framing, not the product's.
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'

/** What came back: header word, status, and the words after it. */
export interface Answer {
  readonly header: number
  readonly status: number
  readonly words: readonly number[]
}

export class MessageGuest {
  readonly #socket: Socket
  #received = Buffer.alloc(0)
  readonly #waiting: ((frame: Buffer | undefined) => void)[] = []
  /** Who awaits the answer under a header. */
  readonly #asked = new Map<number, (frame: Buffer | undefined) => void>()
  #token = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', chunk => {
      this.#received = Buffer.concat([this.#received, chunk])
      while (this.#received.length >= 4 && this.#received.length >= 4 + this.#received.readUInt32LE(0)) {
        const end = 4 + this.#received.readUInt32LE(0)
        const frame = this.#received.subarray(4, end)
        const header = frame.length < 4 ? -1 : frame.readUInt32LE(0)
        const asked = this.#asked.get(header) ?? this.#waiting.shift()
        this.#asked.delete(header)
        asked?.(frame)
        this.#received = this.#received.subarray(end)
      }
    })
    socket.on('close', () => {
      for (const answer of [...this.#waiting.splice(0), ...this.#asked.values()]) answer(undefined)
      this.#asked.clear()
    })
    socket.on('error', () => {})
  }

  static async connect(path: string): Promise<MessageGuest> {
    const socket = createConnection(path)
    await once(socket, 'connect')
    return new MessageGuest(socket)
  }

  /** Sends a command of `words` after the header; resolves with its answer. */
  async ask(protocol: number, message: number, ...words: number[]): Promise<Answer> {
    const header = message | (protocol << 10) | ((this.#token++ & 0x3ff) << 18)
    const answered = new Promise<Buffer | undefined>(resolve => this.#asked.set(header, resolve))
    this.#send(Buffer.from(Uint32Array.of(header, ...words).buffer))
    const frame = await answered
    if (frame === undefined) throw new Error('the daemon closed the connection')
    const answer = new Int32Array(
      frame.buffer.slice(frame.byteOffset, frame.byteOffset + (frame.length & ~3)),
    )
    return { header, status: answer[1] ?? 0, words: [...answer.subarray(2)].map(word => word >>> 0) }
  }

  /** Sends a whole frame; resolves with the next that comes, undefined when the connection ends first. */
  raw(frame: Uint8Array): Promise<Buffer | undefined> {
    const answer = new Promise<Buffer | undefined>(resolve => this.#waiting.push(resolve))
    this.#send(frame)
    return answer
  }

  #send(frame: Uint8Array): void {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(frame.length)
    this.#socket.write(Buffer.concat([length, frame]))
  }

  /** Sends bytes as they are. */
  bytes(bytes: Uint8Array): Promise<Buffer | undefined> {
    const answer = new Promise<Buffer | undefined>(resolve => this.#waiting.push(resolve))
    this.#socket.write(bytes)
    return answer
  }

  close(): void {
    this.#socket.destroy()
  }
}
