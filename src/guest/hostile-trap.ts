// Attacks on a trap socket: on the page, the doorbell and the connection itself. What becomes of them, the tally tells.
import { closeSync, openSync } from 'node:fs'
import { MediatorError } from '../errors.ts'
import { callBytes, helloMagic, helloVersion } from '../guest-link/trap-socket/abi.ts'
import { FREE } from '../scmi/shmem.ts'
import { poll } from './guest-connection.ts'
import type { Front, Tally } from './hostile.ts'
import { honestFrame } from './hostile-frames.ts'
import type { Random } from './random.ts'
import { Storm } from './storm.ts'
import { defaultSmcId, TrapConnection } from './trap-connection.ts'
import { makeMemory, type Packet, TrapWire } from './trap-wire.ts'

/** Milliseconds for an answer, and for a daemon to take a guest in again. */
const answerMs = 500
const returnMs = 5000
const floodCalls = 400
const pageBytes = 4096
/** Sizes of the A2P area: the customary ones, the smallest and largest, and no round one. */
const oddSizes = [pageBytes, 128, 152, 32, 36, 65536]

// Words of an area, from its start: what the standard calls channel status, length and header.
const statusWord = 1
const lengthWord = 5
const headerWord = 6

export class TrapFront implements Front {
  readonly link = 'trap-socket'
  connections = 0
  readonly #path: string
  readonly #smcId: number
  readonly #random: Random
  readonly #tally: Tally
  readonly #storm: Storm
  #connection: TrapConnection | undefined

  constructor(path: string, smcId: number | undefined, random: Random, tally: Tally) {
    this.#path = path
    this.#smcId = smcId ?? defaultSmcId
    this.#random = random
    this.#tally = tally
    this.#storm = new Storm(random.word())
  }

  readonly attacks: Front['attacks'] = {
    'rewriting the page': () => this.#rewrite(),
    'lies in length': () => this.#lieInLength(),
    'double doorbells': () => this.#ring(2),
    'floods of doorbells': () => this.#ring(floodCalls),
    'doorbells without message': () => this.#ringIdle(),
    'other function ids': () => this.#callOthers(),
    'random bytes in the page': () => this.#scribble(),
    'packets of no kind': () => this.#junk(),
    'false introductions': () => this.#lieInHello(),
    'a second connection': () => this.#crowd(),
    'vanishing in a call': () => this.#vanish(),
  }

  async exchange(frame: Uint8Array): Promise<Uint8Array | undefined> {
    const connection = await this.#open()
    this.#tally.sent()
    try {
      const answer = await connection.request(frame.subarray(0, connection.maxMessageBytes), answerMs)
      this.#tally.answered(answer)
      return answer
    } catch (error) {
      if (!(error instanceof MediatorError)) throw error
      if (error.code === 'NOT_SUPPORTED') this.#tally.refused()
      else this.#lost()
      return undefined
    }
  }

  async exchangeAfresh(frame: Uint8Array): Promise<Uint8Array | undefined> {
    this.#drop()
    await this.#open([pageBytes], [pageBytes])
    return this.exchange(frame)
  }

  close(): void {
    this.#drop()
    this.#storm.close()
  }

  /** The connection, or a new one. Throws as TrapConnection.open does when the daemon takes nobody in. */
  async #open(a2pSizes = oddSizes, p2aSizes = [0, 128, pageBytes]): Promise<TrapConnection> {
    if (this.#connection?.closed === false) return this.#connection
    this.#drop()
    const end = performance.now() + returnMs
    for (;;) {
      try {
        const a2pBytes = this.#random.pick(a2pSizes)
        const p2aBytes = this.#random.pick(p2aSizes)
        const options = {
          path: this.#path,
          smcId: this.#smcId,
          a2pBytes,
          p2aBytes,
          deadlineMs: answerMs,
          listens: false,
        }
        this.#connection = await TrapConnection.open(options)
        this.connections++
        return this.#connection
      } catch (error) {
        if (performance.now() > end) throw error
        await poll(() => undefined, 20)
      }
    }
  }

  #drop(): void {
    this.#connection?.close()
    this.#connection = undefined
  }

  #lost(): void {
    this.#tally.silent()
    this.#drop()
  }

  /** Puts a message into the page with any header and length, whatever the channel's state. */
  #write(wire: TrapWire, length: number, headerOf = honestFrame(this.#random)): void {
    const { words } = wire.memory
    words[headerWord] = new DataView(headerOf.buffer).getUint32(0, true)
    words[lengthWord] = length
    words[statusWord] = 0
  }

  /** Waits for `count` RETURNs; gives how many came. */
  async #returns(wire: TrapWire, count: number): Promise<number> {
    let came = 0
    const take = (packet: Packet): boolean => {
      if (packet.type === 'closed') {
        this.#lost()
        return true
      }
      if (packet.type !== 'return') return false
      came++
      if (packet.x0 === 0n) this.#tally.answered(undefined)
      else this.#tally.refused()
      return came === count
    }
    const ended = await poll(() => {
      for (let packet = wire.receive(); packet !== undefined; packet = wire.receive())
        if (take(packet)) return true
      return undefined
    }, answerMs)
    if (ended === undefined) this.#lost()
    return came
  }

  /** Makes the page as it was at the beginning, so that the next attack finds a channel. */
  #tidy(): void {
    const words = this.#connection?.wire.memory.words
    if (words !== undefined) words[statusWord] = FREE
  }

  async #call(wire: TrapWire, calls = 1): Promise<void> {
    let sent = 0
    while (sent < calls && wire.call([this.#smcId], sent) > 0) sent++
    this.#tally.sent(sent)
    await this.#returns(wire, sent)
    this.#tidy()
  }

  /** A thread rewrites header, length, status and payload all the time while calls are made. */
  async #rewrite(): Promise<void> {
    const { wire } = await this.#open()
    try {
      await this.#storm.begin(wire.memoryFd, wire.a2pBytes)
      for (let i = 0; i < 20 && this.#connection !== undefined; i++) {
        this.#write(wire, 4 + 4 * this.#random.below(6))
        await this.#call(wire)
      }
    } finally {
      await this.#storm.end()
    }
    this.#tidy()
  }

  async #lieInLength(): Promise<void> {
    const { wire } = await this.#open()
    const lie = this.#random.pick([
      0, 1, 3, 5, 7, 128, 129, 4096, 65536, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
    ])
    this.#write(wire, lie)
    await this.#call(wire)
  }

  async #ring(times: number): Promise<void> {
    const { wire } = await this.#open()
    this.#write(wire, 4)
    await this.#call(wire, times)
  }

  async #ringIdle(): Promise<void> {
    const { wire } = await this.#open()
    await this.#call(wire)
  }

  async #callOthers(): Promise<void> {
    const { wire } = await this.#open()
    this.#write(wire, 4)
    const id = this.#random.pick([0, 0x8400_0000, 0xc400_0001, 0xffff_ffff, this.#random.word()])
    if (wire.call([id, this.#random.word(), this.#random.word()], this.#random.word()) > 0) this.#tally.sent()
    await this.#returns(wire, 1)
    this.#tidy()
  }

  async #scribble(): Promise<void> {
    const { wire } = await this.#open()
    const { bytes } = wire.memory
    bytes.set(this.#random.bytes(Math.min(bytes.length, 512)), 0)
    bytes.set(this.#random.bytes(Math.min(wire.p2aBytes, 128)), wire.a2pBytes)
    await this.#call(wire)
  }

  async #junk(): Promise<void> {
    const { wire } = await this.#open()
    const size = this.#random.pick([1, 8, 16, 40, callBytes - 1, callBytes, callBytes + 1, 4096])
    if (wire.send(this.#random.bytes(size)) > 0) this.#tally.sent()
    await this.#returns(wire, 1)
    this.#drop()
  }

  async #lieInHello(): Promise<void> {
    this.#drop()
    const wire = new TrapWire(this.#path, 128, 128)
    const unsealed = makeMemory(256, 0)
    const short = makeMemory(64)
    const device = openSync('/dev/null', 'r')
    try {
      const good = [helloMagic, helloVersion, 128, 128]
      const [words, fds] = this.#random.pick<readonly [readonly number[], readonly number[]]>([
        [[this.#random.word(), 1, 128, 128], [wire.memoryFd]],
        [[helloMagic, this.#random.word(), 128, 128], [wire.memoryFd]],
        [[helloMagic, helloVersion, this.#random.pick([0, 31, 33, 0xffff_fffc]), 128], [wire.memoryFd]],
        [[helloMagic, helloVersion, 128, this.#random.pick([4, 0xffff_ffff])], [wire.memoryFd]],
        [[helloMagic, helloVersion, 65536, 65536], [wire.memoryFd]],
        [good, []],
        [good, [wire.memoryFd, wire.memoryFd, wire.memoryFd]],
        [good, [unsealed]],
        [good, [short]],
        [good, [device]],
        [good.slice(0, 3), [wire.memoryFd]],
        [[...good, ...good], [wire.memoryFd]],
      ])
      if (wire.hello(words, fds) > 0) this.#tally.sent()
      const closed = await poll(() => (wire.receive()?.type === 'closed' ? true : undefined), answerMs)
      if (closed === undefined) this.#tally.silent()
    } finally {
      wire.close()
      for (const fd of [unsealed, short, device]) closeSync(fd)
    }
  }

  /** The first connection must not suffer from it. */
  async #crowd(): Promise<void> {
    await this.#open()
    const second = new TrapWire(this.#path, 128, 0)
    try {
      if (second.hello() > 0) this.#tally.sent()
      await poll(() => (second.receive()?.type === 'closed' ? true : undefined), answerMs)
    } finally {
      second.close()
    }
    await this.exchange(honestFrame(this.#random))
  }

  async #vanish(): Promise<void> {
    const { wire } = await this.#open()
    this.#write(wire, 4)
    if (wire.call([this.#smcId]) > 0) this.#tally.sent()
    this.#drop()
  }
}
