// The guest-link to a VMM that speaks vhost-user: the guest's virtio SCMI device (id 32), served from shared memory.
// It listens for the front end, or connects to one that listens. docs/vhost-user.md states what it offers.
import { errorText } from '../../errors.ts'
import { close } from '../../native/libc.ts'
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from '../../native/linux.ts'
import { processStart } from '../../native/provenance.ts'
import type { Reactor, Source } from '../../native/reactor.ts'
import type { Timer } from '../../native/timer.ts'
import { peerCredentials, type SocketAccess } from '../../native/unix-socket.ts'
import { defaultMaxMessageBytes, type Transfer } from '../../transfer.ts'
import { F_P2A_CHANNELS } from '../../virtio/features.ts'
import type { UnsealedMemory } from '../../virtio/guest-region.ts'
import { InflightLog, inflightBytes } from '../../virtio/inflight.ts'
import { OwnLog } from '../../virtio/inflight-memory.ts'
import type { VhostDevice } from '../../virtio/vhost-device.ts'
import { VhostUserBackend } from '../../virtio/vhost-user-backend.ts'
import type { Vring } from '../../virtio/vring.ts'
import type { FrameHandler, GuestLink } from '../guest-link.ts'
import { LinkCounters, type LinkParts } from '../link-parts.ts'
import { LogShare } from '../log-share.ts'
import { SocketDialer } from '../socket-dialer.ts'
import { SocketDoor } from '../socket-door.ts'
import { CommandQueue, inFlightMax } from './command-queue.ts'
import { EventQueue } from './event-queue.ts'

/** The ring of commands; the other one is the eventq. */
const cmdq = 0
/** How long a ring that is to stop waits for answers under way, before they are BUSY, in milliseconds. */
const drainMs = 100
/** First word of `run`: a vhost-user guest's. */
const vhostUser = 1

/** What one guest's vhost-user socket is configured with. */
export interface VhostUserOptions {
  readonly path: string
  /** `server`: we listen, the front end connects. `client`: the front end listens, and we connect whenever it does. */
  readonly role: 'server' | 'client'
  /** Who may connect, where we listen. */
  readonly access?: SocketAccess
  /** What becomes of guest memory that is not sealed against shrinking. */
  readonly unsealed?: UnsealedMemory
  /**
   * Where to write what is under way, for front ends that keep no log: a successor of this process takes it up. Without
   * it, a successor can only trust the ring's used index.
   */
  readonly inflightFile?: string
  /** Largest frame in bytes. */
  readonly maxMessageBytes?: number
  /** The guest's slot, for its transfers. */
  readonly guest: number
}

/** One guest's virtio SCMI device, from its construction until `close`. */
export class VhostUserLink implements GuestLink, Source, VhostDevice {
  readonly kind = 'vhost-user'
  readonly maxInFlight = inFlightMax
  readonly maxMessageBytes: number
  readonly counters = new LinkCounters()
  readonly rings = 2
  readonly features = F_P2A_CHANNELS
  /**
   * Not where the front end listens. It negotiates nothing anew when we come back after a crash, and then QEMU (10.0)
   * tells only differences to the memory that it told our predecessor: none.
   */
  readonly memorySlots: boolean
  /** A front end that has hung up has said all it had to say. */
  readonly leaving = false

  readonly #reactor: Reactor
  readonly #handler: FrameHandler
  readonly #log: LogShare
  readonly #backend: VhostUserBackend
  readonly #commands: CommandQueue
  readonly #events: EventQueue
  readonly #ownLog: OwnLog | undefined
  readonly #drain: Timer
  readonly #door: SocketDoor | undefined
  readonly #dialer: SocketDialer | undefined
  #fd = -1
  /** The front end's process. */
  #pid = 0
  #run: Uint32Array | undefined = undefined
  #watched = 0
  #open = true

  /** Starts to listen or to dial. MediatorError SOCKET_PATH when it cannot. */
  constructor(options: VhostUserOptions, parts: LinkParts) {
    const { path, role, access, unsealed } = options
    const { reactor, handler, log } = parts
    this.maxMessageBytes = options.maxMessageBytes ?? defaultMaxMessageBytes
    this.memorySlots = role === 'server'
    this.#reactor = reactor
    this.#handler = handler
    this.#log = new LogShare(path, reactor, log)
    const kicks: Source[] = [
      { ready: () => this.#commands.serve(), faulted: () => this.#commandFaulted() },
      { ready: () => this.#handler.room?.(this), faulted: () => this.faulted() },
    ]
    this.#backend = new VhostUserBackend({ device: this, reactor, kicks, unsealed: unsealed ?? 'copy' })
    const [commandRing, eventRing] = this.#backend.rings
    if (commandRing === undefined || eventRing === undefined) throw new RangeError('a device has two rings')
    this.#commands = new CommandQueue(commandRing, this, handler, reactor, this.counters, options.guest)
    this.#events = new EventQueue(eventRing, reactor, this.counters, this.maxMessageBytes)
    this.#ownLog = options.inflightFile === undefined ? undefined : new OwnLog(options.inflightFile)
    this.#drain = reactor.timer({ expired: () => this.#drained() })
    if (role === 'server')
      this.#door = new SocketDoor(path, 'stream', reactor, this, this.counters, this.#log, access)
    else this.#dialer = new SocketDialer(path, 'stream', reactor, this, this.counters, this.#log)
  }

  /** What the guest's driver agreed to, on the present connection. */
  get hasP2A(): boolean {
    return this.#backend.has(F_P2A_CHANNELS)
  }

  get occupied(): boolean {
    return this.#fd >= 0
  }

  /** The front end's process, and its cmdq. */
  get run(): Uint32Array | undefined {
    return this.#run
  }

  admit(fd: number): void {
    this.#fd = fd
    this.#watched = EPOLLIN
    this.#backend.connect(fd)
    this.#reactor.add(fd, EPOLLIN, this)
    this.#pid = peerCredentials(fd)?.pid ?? 0
    this.#log.say('info', `front end connected: pid ${this.#pid}`)
  }

  /** One message of the front end per round. What it said before it hung up is nobody's wish: its next one is there. */
  ready(events: number): void {
    if ((events & (EPOLLHUP | EPOLLERR)) !== 0) return this.#disconnect('info', 'the front end disconnected')
    if ((events & EPOLLOUT) !== 0) this.#said(this.#backend.flush())
    if (this.#fd < 0) return
    if ((events & EPOLLIN) !== 0 && !this.#backend.busy) this.#said(this.#backend.receive())
  }

  /** The connection is not to be saved. */
  faulted(): void {
    this.#disconnect('error', 'closed after an internal fault')
  }

  complete(transfer: Transfer): void {
    this.#commands.complete(transfer)
    if (this.#drain.isSet && this.#commands.inFlight === 0) this.#drained()
  }

  deliver(frame: Uint8Array, length: number): boolean {
    if (this.hasP2A) return this.#events.deliver(frame, length)
    this.counters.undelivered++
    return false
  }

  ringStarted(index: number): void {
    if (index !== cmdq) return
    this.#commands.forget()
    // Both rings at their beginnings: the driver, or its machine, was reset. Else it only stood still. A cmdq of which
    // nothing was ever used is at its beginning, even where a log says what was taken from it: a driver that was reset
    // while we were away has the same places anew. The base of an eventq that nobody has started is a former driver's.
    const [commands, events] = this.#backend.rings
    const eventsAnew = (events?.queue?.next ?? events?.base) === 0 || events?.kickFd === -1
    const commandsAnew = commands?.queue?.next === 0 || commands?.queue?.used === 0
    const anew = commandsAnew && eventsAnew
    this.#run = commands === undefined ? undefined : nameOf(this.#pid, commands)
    if (anew) this.#handler.restarted?.(this)
    else this.#handler.resumed?.(this)
  }

  ringStopping(index: number): boolean {
    if (index !== cmdq || this.#commands.inFlight === 0) return true
    this.#drain.set(drainMs)
    return false
  }

  ownLog(index: number, size: number, address: number): { log: InflightLog; known: boolean } | undefined {
    if (index !== cmdq) return undefined // what the guest was to be told is not in its buffers
    try {
      const own = this.#ownLog?.open(this.#pid, size, address)
      if (own !== undefined) return own
    } catch (error) {
      this.#log.say('error', `cannot keep what is under way: ${errorText(error)}`)
    }
    // For no successor, but for a ring whose memory goes and comes.
    return { log: new InflightLog(new ArrayBuffer(inflightBytes(size)), 0, size), known: false }
  }

  ringDropped(index: number): void {
    if (index === cmdq) this.#commands.forget()
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#disconnect('info', 'closed')
    this.#door?.close()
    this.#dialer?.close()
    this.#backend.release()
    this.#ownLog?.release()
  }

  /** Everything under way is answered, or never will be in time: the front end gets what it waits for. */
  #drained(): void {
    this.#drain.clear()
    if (this.#commands.inFlight > 0) this.#commands.abandon()
    this.#said(this.#backend.stopped())
  }

  #commandFaulted(): void {
    if (!this.#commands.faulted()) this.faulted()
  }

  /** Ends the connection for a reason, or goes on with it. */
  #said(reason: string | undefined): void {
    if (reason !== undefined) return this.#disconnect(reason.startsWith('refused') ? 'warn' : 'info', reason)
    const events = this.#backend.sending ? EPOLLOUT : this.#backend.busy ? 0 : EPOLLIN
    if (events === this.#watched || this.#fd < 0) return
    this.#watched = events
    this.#reactor.modify(this.#fd, events)
  }

  /** Ends the connection. What is in flight is answered to nobody; the guest's memory is not touched again. */
  #disconnect(level: 'info' | 'warn' | 'error', reason: string): void {
    if (this.#fd < 0) return
    this.#drain.clear()
    this.#reactor.remove(this.#fd)
    close(this.#fd)
    this.#fd = -1
    this.#backend.disconnect()
    this.#commands.forget()
    this.#log.say(level, reason)
    this.#dialer?.redial()
  }
}

/** A run's name: the front end's process, and where its cmdq is. Undefined where its process cannot be known. */
function nameOf(pid: number, { descriptors, size }: Vring): Uint32Array | undefined {
  const start = processStart(pid)
  if (start === 0) return undefined
  return Uint32Array.of(vhostUser, pid, start, start / 2 ** 32, descriptors, descriptors / 2 ** 32, size, 0)
}
