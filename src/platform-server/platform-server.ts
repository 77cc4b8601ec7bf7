// A virtual SCP behind sockets: each channel's commands go to the platform, its answers and events back. No policy of its
// own: who may do what is the platform's matter.
import type { FrameHandler, GuestLink } from '../guest-link/guest-link.ts'
import type { LinkLog } from '../guest-link/link-parts.ts'
import { MessageSocketLink } from '../guest-link/message-socket/message-socket.ts'
import type { Reactor } from '../native/reactor.ts'
import type { Timer, TimerSource } from '../native/timer.ts'
import type { Platform } from '../platform/platform.ts'
import { DELAYED_RESPONSE } from '../scmi/header.ts'
import { PROTOCOL_ERROR } from '../scmi/status.ts'
import { headerBytes, type Transfer } from '../transfer.ts'
import { KeptFrames } from './kept-frames.ts'
import type { AgentSocket } from './sockets.ts'

/** Delayed responses kept for one agent that does not read. It cannot ask for more meanwhile: it is not read from. */
const keptMax = 256
/** Milliseconds between attempts to deliver what is kept. */
const againMs = 5

/** What is served. */
export type ServedPlatform = Pick<Platform, 'handle' | 'flush' | 'tick' | 'dueIn'>

export interface PlatformServerParts {
  readonly reactor: Reactor
  readonly log: LinkLog
}

/** What became of the frames that the platform sent of its own accord. Plain numbers that only grow. */
class EventCounters {
  /** Delayed responses that had to wait for their agent. */
  kept = 0
  /** Delayed responses whose connection ended first, or that were too many. */
  delayedLost = 0
  notificationsDropped = 0
}

/**
 * Serves each channel on a message-socket of its own, all on one reactor, from its construction until `close`. A
 * connection is only a wire: an agent's votes, permissions and subscriptions outlive it; what it still had to hear does
 * not, since the next one at the wire may use the same tokens.
 */
export class PlatformServer implements FrameHandler, TimerSource {
  readonly events = new EventCounters()
  readonly links: readonly MessageSocketLink[]
  readonly #platform: ServedPlatform
  readonly #kept: readonly KeptFrames[]
  readonly #again: Timer
  /** For what the platform carries out later. */
  readonly #due: Timer
  readonly #reactor: Reactor
  readonly #deliver = (channel: number, frame: Uint8Array, length: number): void =>
    this.#event(channel, frame, length)

  /** @param sockets one for each of the platform's channels, in order. SOCKET_PATH when one cannot be had. */
  constructor(
    platform: ServedPlatform,
    sockets: readonly AgentSocket[],
    { reactor, log }: PlatformServerParts,
  ) {
    this.#platform = platform
    this.#reactor = reactor
    this.#again = reactor.timer(this)
    this.#due = reactor.timer({
      expired: now => {
        platform.tick(now)
        this.#flush()
      },
    })
    this.#kept = sockets.map(({ maxMessageBytes }) => new KeptFrames(keptMax, maxMessageBytes))
    const links: MessageSocketLink[] = []
    try {
      for (const { path, maxMessageBytes, channel } of sockets)
        links.push(
          new MessageSocketLink({ path, maxMessageBytes, guest: channel }, { reactor, handler: this, log }),
        )
    } catch (error) {
      for (const link of links) link.close()
      throw error
    }
    this.links = links
  }

  handle(transfer: Transfer, link: GuestLink): void {
    this.#platform.tick(this.#reactor.now)
    const length = this.#platform.handle(transfer.guest, transfer, transfer.length)
    // Without a header there is nothing the platform could answer; with one, it has its reasons to be silent.
    if (length === 0 && transfer.length < headerBytes) transfer.answer(PROTOCOL_ERROR)
    else transfer.length = length
    link.complete(transfer)
    this.#flush() // events come after the response that caused them
  }

  /** Hands on what the platform has to say, and comes back when the next request is due. */
  #flush(): void {
    this.#platform.flush(this.#deliver)
    const { dueIn } = this.#platform
    if (dueIn >= 0) this.#due.set(Math.ceil(dueIn / 1000))
    else this.#due.clear()
  }

  restarted(link: GuestLink): void {
    const kept = this.#kept[this.links.indexOf(link as MessageSocketLink)]
    if (kept === undefined) return
    this.events.delayedLost += kept.count
    kept.clear()
  }

  /** Tries again to deliver what was kept. */
  expired(): void {
    let left = 0
    for (let channel = 0; channel < this.#kept.length; channel++) {
      const kept = this.#kept[channel]!
      const link = this.links[channel]!
      while (kept.count > 0 && link.deliver(kept.oldest, kept.oldestLength)) kept.shift()
      left += kept.count
    }
    if (left > 0) this.#again.set(againMs)
  }

  /** Stops serving and removes the sockets. Twice is once. */
  close(): void {
    this.#again.clear()
    this.#due.clear()
    for (const link of this.links) link.close()
  }

  #event(channel: number, frame: Uint8Array, length: number): void {
    const link = this.links[channel]!
    if ((frame[1]! & 3) !== DELAYED_RESPONSE) {
      if (!link.deliver(frame, length)) this.events.notificationsDropped++
      return
    }
    const kept = this.#kept[channel]!
    if (kept.count === 0 && link.deliver(frame, length)) return
    if (!link.occupied || !kept.put(frame, length)) {
      this.events.delayedLost++
      return
    }
    this.events.kept++
    if (!this.#again.isSet) this.#again.set(againMs)
  }
}
