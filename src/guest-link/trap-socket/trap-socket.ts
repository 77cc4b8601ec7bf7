// The guest-link to a hypervisor side that traps SMCs: shared memory for messages, a SEQPACKET socket for doorbells.
// It knows areas and packets; what a message means is the handler's matter. ABI: docs/trap-socket.md.
import { close, recv } from '../../native/libc.ts'
import { EAGAIN, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, errnoName, MSG_DONTWAIT } from '../../native/linux.ts'
import { NativeMemory } from '../../native/native-memory.ts'
import type { Reactor, Source } from '../../native/reactor.ts'
import { RightsMessage } from '../../native/rights-message.ts'
import type { Timer } from '../../native/timer.ts'
import { peerCredentials } from '../../native/unix-socket.ts'
import type { SharedMemoryArea } from '../../scmi/shmem.ts'
import { defaultMaxMessageBytes, type Transfer } from '../../transfer.ts'
import { AreaExchange } from '../area-exchange.ts'
import { namesArea, registersOf } from '../call-registers.ts'
import type { FrameHandler, GuestLink } from '../guest-link.ts'
import { LinkCounters, type LinkParts } from '../link-parts.ts'
import { LogShare } from '../log-share.ts'
import { SocketDoor } from '../socket-door.ts'
import { CALL, callBytes, p2aChannel } from './abi.ts'
import { GuestAreas } from './guest-areas.ts'
import { helloFault } from './hello.ts'
import { PacketQueue } from './packet-queue.ts'

/** How long a connection may take to say HELLO. */
const helloMs = 5000

/** x0 of a call that was for us and carried a message, whatever became of the message. */
const CALL_DONE = 0
/** x0 of any other: SMCCC NOT_SUPPORTED. */
const CALL_NOT_SUPPORTED = -1

/** What one guest's trap socket is configured with. */
export interface TrapSocketOptions {
  /** Where to listen. */
  readonly path: string
  /** The function id that `arm,smc-id` of the guest's tree names: W0 of a call. */
  readonly smcId: number
  /** `arm,scmi-smc-param`: the guest-physical address of the area, which x1 (4 KiB page) and x2 (offset) must name. */
  readonly shmemAddress?: number
  /** Largest frame in bytes; a smaller area lowers it. */
  readonly maxMessageBytes?: number
  /** The guest's slot, for its transfers. */
  readonly guest: number
}

/** One guest's trap socket: listens from its construction until `close`, serves one connection at a time. */
export class TrapSocketLink implements GuestLink, Source {
  readonly kind = 'trap-socket'
  readonly maxInFlight = 1
  readonly counters = new LinkCounters()
  /** Lowered to what the connected guest's area carries. */
  maxMessageBytes: number

  readonly #maxMessageBytes: number
  readonly #smcId: number
  readonly #takesParameters: boolean
  readonly #areaRegisters: Int32Array
  readonly #reactor: Reactor
  readonly #handler: FrameHandler
  readonly #log: LogShare
  readonly #door: SocketDoor
  readonly #helloTimer: Timer
  readonly #exchange: AreaExchange
  readonly #areas: GuestAreas
  readonly #hello = new RightsMessage(64, 4)
  readonly #packet = NativeMemory.allocate(128)
  readonly #queue = new PacketQueue()

  /** The connection: -1 when there is none. Its areas exist once it has said HELLO. */
  #fd = -1
  #watched = 0
  #open = true

  /** Starts to listen. MediatorError SOCKET_PATH when it cannot. */
  constructor(options: TrapSocketOptions, parts: LinkParts) {
    this.#maxMessageBytes = options.maxMessageBytes ?? defaultMaxMessageBytes
    this.maxMessageBytes = this.#maxMessageBytes
    this.#smcId = options.smcId | 0
    this.#takesParameters = options.shmemAddress !== undefined
    this.#areaRegisters = registersOf(options.shmemAddress ?? 0)
    this.#reactor = parts.reactor
    this.#handler = parts.handler
    this.#areas = new GuestAreas(this.#maxMessageBytes)
    const { maxMessageBytes, counters } = this
    const { guest } = options
    const answered = (vcpu: number): void => this.#return(vcpu, CALL_DONE)
    this.#exchange = new AreaExchange({ link: this, ...parts, counters, maxMessageBytes, guest, answered })
    this.#log = new LogShare(options.path, parts.reactor, parts.log)
    this.#helloTimer = parts.reactor.timer({ expired: () => this.#disconnect('warn', 'no HELLO came') })
    this.#door = new SocketDoor(options.path, 'seqpacket', parts.reactor, this, this.counters, this.#log)
  }

  get hasP2A(): boolean {
    return this.#areas.p2a !== undefined
  }

  get occupied(): boolean {
    return this.#fd >= 0
  }

  /** A vCPU whose hypervisor has hung up waits for nothing: what it still sent is not read. */
  readonly leaving = false

  admit(fd: number): void {
    this.#fd = fd
    this.#watched = EPOLLIN
    this.#reactor.add(fd, EPOLLIN, this)
    this.#helloTimer.set(helloMs)
  }

  /** One packet per round. */
  ready(events: number): void {
    if ((events & (EPOLLHUP | EPOLLERR)) !== 0) return this.#disconnect('info', 'the guest disconnected')
    if ((events & EPOLLOUT) !== 0) this.#flush()
    if ((events & EPOLLIN) === 0 || this.#fd < 0 || !this.#queue.empty) return
    const area = this.#areas.a2p
    if (area === undefined) this.#readHello()
    else this.#readCall(area)
  }

  /** Answers GENERIC_ERROR to the command under which the handler broke; without one the connection is not to be saved. */
  faulted(): void {
    if (!this.#exchange.faulted()) this.#disconnect('error', 'closed after an internal fault')
  }

  complete(transfer: Transfer): void {
    this.#exchange.complete(transfer)
  }

  deliver(frame: Uint8Array, length: number): boolean {
    if (this.#areas.p2a === undefined || !this.#areas.p2a.post(frame, length)) {
      this.counters.undelivered++
      return false
    }
    this.counters.delivered++
    this.#queue.putDoorbell(p2aChannel)
    this.#flush()
    return true
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#disconnect('info', 'closed')
    this.#door.close()
    this.#areas.close()
    this.#hello.release()
    this.#packet.release()
    this.#queue.release()
  }

  #readHello(): void {
    const length = this.#hello.receive(this.#fd)
    if (length === -EAGAIN) return
    const a2pBytes = this.#hello.words[2]!
    const p2aBytes = this.#hello.words[3]!
    const fault =
      length < 0
        ? errnoName(length)
        : (helloFault(this.#hello, length) ?? this.#areas.attach(this.#hello.fds[0]!, a2pBytes, p2aBytes))
    this.#hello.closeFds()
    if (length === 0) return this.#disconnect('info', 'the guest disconnected before HELLO')
    if (fault !== undefined) return this.#disconnect('warn', `refused: ${fault}`)
    this.#helloTimer.clear()
    this.maxMessageBytes = this.#areas.a2p?.maxMessageBytes ?? this.#maxMessageBytes
    const peer = peerCredentials(this.#fd)
    this.#log.say('info', `pid ${peer?.pid} connected: A2P ${a2pBytes} bytes, P2A ${p2aBytes}`)
    this.#handler.restarted?.(this)
  }

  #readCall(area: SharedMemoryArea): void {
    const length = recv(this.#fd, this.#packet.address, this.#packet.size, MSG_DONTWAIT)
    if (length === -EAGAIN) return
    if (length <= 0) return this.#disconnect('info', 'the guest disconnected')
    const call = this.#packet.ints
    if (length !== callBytes || call[0] !== CALL)
      return this.#disconnect('warn', `refused: a packet of type ${call[0]} and ${length} bytes, not CALL`)
    const vcpu = call[1]!
    if (call[2] !== this.#smcId || (this.#takesParameters && !namesArea(call, 4, this.#areaRegisters))) {
      this.counters.unknownCalls++
      return this.#return(vcpu, CALL_NOT_SUPPORTED)
    }
    if (this.#exchange.busy) {
      this.counters.busy++
      return this.#return(vcpu, CALL_NOT_SUPPORTED)
    }
    this.#exchange.take(area, vcpu)
  }

  #return(vcpu: number, x0: number): void {
    if (this.#fd < 0) return
    this.#queue.putReturn(vcpu, x0)
    this.#flush()
  }

  /** Sends what waits; while the peer takes nothing, nothing is read from it either. */
  #flush(): void {
    const result = this.#queue.flush(this.#fd)
    if (result === 0) this.#watch(EPOLLIN)
    else if (result === -EAGAIN) this.#watch(EPOLLOUT)
    else this.#disconnect('info', `the guest disconnected: ${errnoName(result)}`)
  }

  #watch(events: number): void {
    if (this.#watched === events || this.#fd < 0) return
    this.#watched = events
    this.#reactor.modify(this.#fd, events)
  }

  /** Ends the connection. A command in flight is answered to nobody; its area is left free for the next owner. */
  #disconnect(level: 'info' | 'warn' | 'error', reason: string): void {
    if (this.#fd < 0) return
    this.#reactor.remove(this.#fd)
    close(this.#fd)
    this.#fd = -1
    this.#helloTimer.clear()
    if (this.#exchange.forget() >= 0) this.#areas.a2p?.reject()
    this.#queue.clear()
    this.#areas.detach()
    this.maxMessageBytes = this.#maxMessageBytes
    this.#log.say(level, reason)
  }
}
