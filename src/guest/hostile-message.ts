// Attacks on a message socket: on lengths, on the stream and on the connection itself. The tally tells what becomes of
// them.
import { MediatorError } from '../errors.ts'
import { poll } from './guest-connection.ts'
import type { Front, Tally } from './hostile.ts'
import { honestFrame } from './hostile-frames.ts'
import { framed, MessageConnection } from './message-connection.ts'
import type { Random } from './random.ts'

/** Milliseconds for an answer, and for a daemon to take a guest in again. */
const answerMs = 500
const returnMs = 5000
const floodFrames = 500

export class MessageFront implements Front {
  readonly link = 'message-socket'
  connections = 0
  readonly #path: string
  readonly #random: Random
  readonly #tally: Tally
  #connection: MessageConnection | undefined
  /** Frames that came without being waited for. */
  #came = 0

  constructor(path: string, random: Random, tally: Tally) {
    this.#path = path
    this.#random = random
    this.#tally = tally
  }

  readonly attacks: Front['attacks'] = {
    'lengths below a header': () => this.#ends(framed(this.#random.bytes(8), this.#random.below(4))),
    'lengths beyond all bounds': () =>
      this.#ends(
        framed(this.#random.bytes(8), this.#random.pick([65_537, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])),
      ),
    'frames beyond the maximum': () => this.#overlong(),
    'frames byte by byte': () => this.#dribble(),
    'floods of frames': () => this.#flood(),
    'half a frame': () => this.#half(),
    'a second connection': () => this.#crowd(),
    'vanishing in a call': () => this.#vanish(),
  }

  async exchange(frame: Uint8Array): Promise<Uint8Array | undefined> {
    const connection = await this.#open()
    this.#tally.sent()
    try {
      const answer = await connection.request(frame, answerMs)
      this.#tally.answered(answer)
      return answer
    } catch (error) {
      if (!(error instanceof MediatorError)) throw error
      this.#lost()
      return undefined
    }
  }

  exchangeAfresh(frame: Uint8Array): Promise<Uint8Array | undefined> {
    this.close()
    return this.exchange(frame)
  }

  close(): void {
    this.#connection?.close()
    this.#connection = undefined
  }

  /** The connection, or a new one. Throws SOCKET_PATH when the daemon takes nobody in. */
  async #open(): Promise<MessageConnection> {
    if (this.#connection?.closed === false) return this.#connection
    this.close()
    const end = performance.now() + returnMs
    for (;;) {
      try {
        const connection = await MessageConnection.open(this.#path)
        connection.onFrame = frame => {
          this.#came++
          this.#tally.answered(frame)
        }
        this.#connection = connection
        this.connections++
        return connection
      } catch (error) {
        if (performance.now() > end) throw error
        await poll(() => undefined, 20)
      }
    }
  }

  #lost(): void {
    this.#tally.silent()
    this.close()
  }

  async #send(bytes: Uint8Array, frames = 1): Promise<MessageConnection> {
    const connection = await this.#open()
    connection.send(bytes)
    this.#tally.sent(frames)
    return connection
  }

  /** Waits for as many frames after the first `before`; gives up when the connection ends. */
  async #answers(connection: MessageConnection, wanted: number, before: number): Promise<void> {
    const enough = () => (this.#came - before >= wanted || connection.closed ? true : undefined)
    if ((await poll(enough, answerMs)) === undefined || connection.closed) this.#lost()
  }

  /** Sends what is answered by PROTOCOL_ERROR or by hanging up; the stream is out of step afterwards. */
  async #ends(bytes: Uint8Array): Promise<void> {
    const before = this.#came
    const connection = await this.#send(bytes)
    const over = () => (connection.closed || this.#came > before ? true : undefined)
    if ((await poll(over, answerMs)) === undefined) this.#tally.silent()
    this.close()
  }

  async #overlong(): Promise<void> {
    const frame = this.#random.bytes(129 + this.#random.below(65_536 - 129))
    const before = this.#came
    const connection = await this.#send(framed(frame))
    await this.#answers(connection, 1, before)
  }

  async #dribble(): Promise<void> {
    const connection = await this.#open()
    const before = this.#came
    for (const byte of framed(honestFrame(this.#random))) {
      connection.send(Uint8Array.of(byte))
      await poll(() => undefined, 1)
    }
    this.#tally.sent()
    await this.#answers(connection, 1, before)
  }

  /** Reads nothing until all of it was sent, so that answers pile up. */
  async #flood(): Promise<void> {
    const connection = await this.#open()
    const before = this.#came
    connection.socket.pause()
    const frames = Array.from({ length: floodFrames }, () => framed(honestFrame(this.#random)))
    await this.#send(Uint8Array.from(Buffer.concat(frames)), floodFrames)
    await poll(() => undefined, 20)
    connection.socket.resume()
    await this.#answers(connection, floodFrames, before)
  }

  async #half(): Promise<void> {
    const frame = framed(honestFrame(this.#random))
    const connection = await this.#send(frame.subarray(0, 1 + this.#random.below(frame.length - 1)))
    await poll(() => (connection.socket.writableLength === 0 ? true : undefined), answerMs)
    this.close()
  }

  /** The first connection must not suffer from it. */
  async #crowd(): Promise<void> {
    await this.#open()
    const second = await MessageConnection.open(this.#path)
    second.send(framed(honestFrame(this.#random)))
    this.#tally.sent()
    await poll(() => (second.closed ? true : undefined), answerMs)
    second.close()
    await this.exchange(honestFrame(this.#random))
  }

  async #vanish(): Promise<void> {
    const connection = await this.#send(framed(honestFrame(this.#random)))
    await poll(() => (connection.socket.writableLength === 0 ? true : undefined), answerMs)
    this.close()
  }
}
