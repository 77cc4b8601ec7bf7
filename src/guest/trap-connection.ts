// A guest's end of a trap socket that behaves: one message at a time through its own shared memory, each call awaited.
import { MediatorError } from '../errors.ts'
import { EAGAIN, errnoName } from '../native/linux.ts'
import { BAD_LENGTH, SharedMemoryArea } from '../scmi/shmem.ts'
import {
  checkLength,
  defaultDeadlineMs,
  type GuestConnection,
  poll,
  unreachable,
} from './guest-connection.ts'
import { TrapWire } from './trap-wire.ts'

/** The function id that the daemon expects of guests unless its configuration says otherwise. */
export const defaultSmcId = 0x82000002
/** A page each way, as guests' device trees give it. */
const pageBytes = 4096
/** Milliseconds between looks for what the daemon sends unasked. */
const idleMs = 20
/** Frames are cut here on the way out of the area: what no link carries. */
const frameRoom = 65536

export interface TrapConnectionOptions {
  readonly path: string
  /** Function id, `arm,smc-id` of the guest's tree; 0x82000002 unless given. */
  readonly smcId?: number
  /** `arm,scmi-smc-param`: the guest-physical address of the area, which then goes along in x1 and x2. */
  readonly shmemAddress?: number
  /** Bytes of the A2P area, and of the P2A area (0: none); a page each unless given. */
  readonly a2pBytes?: number
  readonly p2aBytes?: number
  /** Milliseconds to wait for the daemon to take the memory over. */
  readonly deadlineMs?: number
  /** Whether to look for what comes unasked while no request is under way; whoever uses `wire` wants it off. */
  readonly listens?: boolean
}

/** One connection over shared memory. */
export class TrapConnection implements GuestConnection {
  readonly kind = 'trap-socket'
  readonly maxMessageBytes: number
  onFrame: (frame: Uint8Array) => void = () => {}
  /** The raw side, for those who want to misbehave. Packets that it receives itself are lost to this connection. */
  readonly wire: TrapWire
  readonly #a2p: SharedMemoryArea
  readonly #p2a: SharedMemoryArea | undefined
  readonly #registers: readonly (number | bigint)[]
  readonly #room = new Uint32Array(frameRoom / 4)
  readonly #bytes = new Uint8Array(this.#room.buffer)
  readonly #idle: NodeJS.Timeout | undefined
  /** Counts calls: RETURN repeats it, so that a late one is known. */
  #vcpu = 0
  #returned: { readonly vcpu: number; readonly x0: bigint } | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #gone: string | undefined

  private constructor(wire: TrapWire, options: TrapConnectionOptions) {
    this.wire = wire
    const { a2pBytes, p2aBytes, memory } = wire
    this.#a2p = new SharedMemoryArea(memory.buffer, 0, a2pBytes)
    if (p2aBytes > 0) this.#p2a = new SharedMemoryArea(memory.buffer, a2pBytes, p2aBytes)
    this.maxMessageBytes = this.#a2p.maxMessageBytes
    const { smcId = defaultSmcId, shmemAddress } = options
    this.#registers =
      shmemAddress === undefined ? [smcId] : [smcId, Math.floor(shmemAddress / 4096), shmemAddress % 4096]
    this.#idle = options.listens === false ? undefined : setInterval(() => this.#receive(), idleMs)
    this.#idle?.unref()
  }

  /**
   * Connects, brings the memory and waits until the daemon has taken it over. Throws SOCKET_PATH when nobody listens,
   * DAEMON_UNREACHABLE when the daemon refuses or stays silent.
   */
  static async open(options: TrapConnectionOptions): Promise<TrapConnection> {
    const { path, a2pBytes = pageBytes, p2aBytes = pageBytes, deadlineMs = defaultDeadlineMs } = options
    const connection = new TrapConnection(new TrapWire(path, a2pBytes, p2aBytes), options)
    try {
      const said = connection.wire.hello()
      if (said < 0) throw unreachable(path, `HELLO was not taken: ${errnoName(said)}`)
      const free = () => (connection.#receive() || connection.#a2p.free ? true : undefined)
      const ready = await poll(free, deadlineMs)
      if (connection.#gone !== undefined) throw unreachable(path, connection.#gone)
      if (ready === undefined)
        throw unreachable(path, `the channel was not made free within ${deadlineMs} ms`)
      return connection
    } catch (error) {
      connection.close()
      throw error
    }
  }

  get closed(): boolean {
    return this.#gone !== undefined
  }

  request(frame: Uint8Array, deadlineMs = defaultDeadlineMs): Promise<Uint8Array> {
    const answer = this.#turn.then(() => this.#exchange(frame, deadlineMs))
    this.#turn = answer.catch(() => {})
    return answer
  }

  close(): void {
    this.#gone ??= 'closed on this side'
    clearInterval(this.#idle)
    this.wire.close()
  }

  async #exchange(frame: Uint8Array, deadlineMs: number): Promise<Uint8Array> {
    const { path } = this.wire
    checkLength(frame, this.maxMessageBytes)
    if (this.#gone !== undefined) throw unreachable(path, this.#gone)
    const end = performance.now() + deadlineMs
    const left = () => Math.max(0, end - performance.now())
    const posted = () => (this.#receive() || this.#a2p.post(frame, frame.length) ? true : undefined)
    if ((await poll(posted, left())) === undefined)
      throw unreachable(path, `the channel stayed busy for ${deadlineMs} ms`)
    this.#vcpu = (this.#vcpu + 1) >>> 0
    this.#returned = undefined
    const rung = () => {
      if (this.#receive()) return -1
      const result = this.wire.call(this.#registers, this.#vcpu)
      return result === -EAGAIN ? undefined : result
    }
    const sent = await poll(rung, left())
    if (sent !== undefined && sent < 0) throw unreachable(path, this.#gone ?? errnoName(sent))
    await poll(() => (this.#receive() || this.#returned !== undefined ? true : undefined), left())
    const returned = this.#returned as { readonly x0: bigint } | undefined
    if (returned === undefined) throw unreachable(path, this.#gone ?? `no answer within ${deadlineMs} ms`)
    if (returned.x0 !== 0n) {
      this.#a2p.release() // the daemon leaves the area alone then
      const told = BigInt.asUintN(64, returned.x0).toString(16)
      throw new MediatorError(
        'NOT_SUPPORTED',
        `${path}: the call was answered x0 = 0x${told}: another function id or area is expected, or a call is under way`,
        { path },
      )
    }
    return this.#collect()
  }

  #collect(): Uint8Array {
    const length = this.#a2p.collect(this.#room, this.#bytes)
    if (length > 0) return this.#bytes.slice(0, length)
    const text = length === BAD_LENGTH ? 'with a length that cannot be' : 'without an answer'
    throw unreachable(this.wire.path, `the call returned ${text} in the channel`)
  }

  /** Takes in every packet that came; true when the connection is at its end. */
  #receive(): boolean {
    while (this.#gone === undefined) {
      const packet = this.wire.receive()
      if (packet === undefined) return false
      if (packet.type === 'return' && packet.vcpu === this.#vcpu) this.#returned = packet
      if (packet.type === 'doorbell') this.#takeUnasked()
      if (packet.type === 'closed') this.#gone = packet.reason
    }
    return true
  }

  #takeUnasked(): void {
    const area = this.#p2a
    if (area === undefined) return
    const length = area.take(this.#room, this.#bytes)
    const frame = length > 0 ? this.#bytes.slice(0, length) : undefined
    area.release()
    if (frame !== undefined) this.onFrame(frame)
  }
}
