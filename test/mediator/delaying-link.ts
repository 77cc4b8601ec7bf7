// A firmware-link around a real platform that takes its time: requests and answers travel when a test says so. No test.
import type { FirmwareHandler, FirmwareLink } from '../../src/firmware-link/firmware-link.ts'
import type { Platform } from '../../src/platform/platform.ts'
import { COMMS_ERROR } from '../../src/scmi/status.ts'
import type { Transfer } from '../../src/transfer.ts'

interface Travelling {
  readonly channel: number
  readonly transfer: Transfer
  readonly words: readonly number[]
}

/** Requests and answers overtake one another as a test has it; each is carried exactly once. */
export class DelayingLink implements FirmwareLink {
  readonly kind = 'delaying'
  readonly channels: number
  readonly maxMessageBytes = 128
  /** On their way to the platform, oldest first. */
  readonly requests: Travelling[] = []
  /** On their way back. */
  readonly answers: Travelling[] = []
  /** A status with which the platform refuses a command that it then does not carry out. */
  refuses: (words: readonly number[], channel: number) => number | undefined = () => undefined
  readonly #platform: Platform
  readonly #maxInFlight: number
  readonly #inFlight: number[]
  readonly #out = new Set<Transfer>()
  #handler: FirmwareHandler | undefined

  constructor(platform: Platform, maxInFlight = 1024) {
    this.#platform = platform
    this.channels = platform.channels
    this.#maxInFlight = maxInFlight
    this.#inFlight = new Array<number>(platform.channels).fill(0)
  }

  open(handler: FirmwareHandler): void {
    this.#handler = handler
  }

  get pending(): number {
    return this.requests.length + this.answers.length
  }

  send(channel: number, transfer: Transfer): boolean {
    if (this.#out.has(transfer)) throw new Error('a transfer is sent twice')
    if ((this.#inFlight[channel] as number) >= this.#maxInFlight) return false
    this.#inFlight[channel] = (this.#inFlight[channel] as number) + 1
    this.#out.add(transfer)
    this.requests.push({
      channel,
      transfer,
      words: Array.from(transfer.words.subarray(0, transfer.length >>> 2)),
    })
    return true
  }

  /** The request at `at` reaches the platform. */
  arrive(at = 0): void {
    const [request] = this.requests.splice(at, 1)
    if (request === undefined) return
    const memory = new ArrayBuffer(this.maxMessageBytes)
    const frame = {
      bytes: new Uint8Array(memory),
      words: new Uint32Array(memory),
      ints: new Int32Array(memory),
    }
    frame.words.set(request.words)
    const refused = this.refuses(request.words, request.channel)
    let length = 8
    if (refused === undefined)
      length = this.#platform.handle(request.channel, frame, request.words.length * 4)
    else frame.ints[1] = refused
    this.answers.push({ ...request, words: Array.from(frame.words.subarray(0, length >>> 2)) })
  }

  /** The answer at `at` reaches the mediator. */
  answer(at = 0): void {
    const [answer] = this.answers.splice(at, 1)
    if (answer !== undefined) this.#complete(answer, answer.words)
  }

  /** The request at `at` is lost on its way: silence. */
  lose(at = 0): void {
    const [request] = this.requests.splice(at, 1)
    if (request !== undefined) this.#complete(request, [0, COMMS_ERROR >>> 0])
  }

  /** The answer at `at` is lost on its way, though the command was carried out. */
  loseAnswer(at = 0): void {
    const [answer] = this.answers.splice(at, 1)
    if (answer !== undefined) this.#complete(answer, [0, COMMS_ERROR >>> 0])
  }

  /** Everything arrives, in order, until nothing travels. */
  settle(): void {
    while (this.pending > 0) {
      this.arrive()
      this.answer()
    }
  }

  expire(): void {}
  close(): void {}

  #complete({ channel, transfer }: Travelling, words: readonly number[]): void {
    this.#inFlight[channel] = (this.#inFlight[channel] as number) - 1
    this.#out.delete(transfer)
    for (const [i, word] of words.entries()) transfer.words[i] = word
    transfer.words[0] = transfer.header
    transfer.length = words.length * 4
    this.#handler?.complete(transfer)
  }
}
