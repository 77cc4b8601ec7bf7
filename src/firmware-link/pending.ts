// Which commands await an answer, on every channel of one platform: tokens, deadlines, and what counts as the answer.
import { base } from '../scmi/base.ts'
import { NEGOTIATE_PROTOCOL_VERSION, PROTOCOL_VERSION } from '../scmi/common.ts'
import {
  COMMAND,
  DELAYED_RESPONSE,
  messageId,
  messageType,
  protocolId,
  reservedMask,
  tableIndex,
  token,
  tokenMask,
  tokenShift,
  tokens,
} from '../scmi/header.ts'
import { COMMS_ERROR, SUCCESS } from '../scmi/status.ts'
import { noSlot, SlotLists } from '../slot-lists.ts'
import type { Transfer } from '../transfer.ts'
import { anyVersion, ResponseSizes } from './response-sizes.ts'

/** A frame as it came from a platform, in memory of ours. */
export interface ReceivedFrame {
  readonly words: Uint32Array
  readonly ints: Int32Array
}

export interface PendingOptions {
  readonly channels: number
  /** Commands in flight on one channel, at most. 1 for shared memory. */
  readonly maxInFlight?: number
  /** Milliseconds until a silent platform counts as failed. */
  readonly timeoutMs?: number
  /** Seconds until the token of an unanswered command is used again, should its answer never come. */
  readonly quarantineSeconds?: number
}

/** What went wrong with answers so far. */
export interface PendingCounters {
  /** Commands that got no answer within the deadline. */
  expired: number
  /** Answers to commands that had expired: dropped. */
  late: number
  /** Responses to nothing that is pending, duplicates among them: dropped. */
  unknown: number
  /** Answers that matched, with a length or status that is no answer: COMMS_ERROR to the agent. */
  malformed: number
  /** Delayed responses that were promised and never came. */
  forsaken: number
}

const FREE = 0
const WAITING = 1
const QUARANTINED = 2
/** Answered, and a delayed response is still to come under the same token. */
const PROMISED = 3
/** Header bits 9:8. */
const typeBits = 0x300
/** Instead of a negotiated version's index: none was negotiated; or one was, and may no longer hold. */
const asPresented = -1
const lost = -2

/** Slots are channel * tokens + token. */
const slotShift = Math.log2(tokens)
const slotMask = tokens - 1
// Words of a slot: its header as sent, our token in it; the payload's first word, the version that a NEGOTIATE asks for;
// what the command's sender calls its delayed response, 0 for none; the agent's own header.
const HEADER = 0
const ARGUMENT = 1
const TAG = 2
const AGENT_HEADER = 3
const wordShift = 2

const negotiate = NEGOTIATE_PROTOCOL_VERSION
const resetAgent = base.messages.BASE_RESET_AGENT_CONFIGURATION.id
const baseId = base.id

/**
 * The table of commands in flight. A command gets a token of ours; a response is believed only if it is of type 0 and
 * its protocol, message and token are those of one command that waits on the same channel. Allocates nothing per
 * message. Times are monotonic microseconds modulo 2^32.
 */
export class Pending {
  readonly counters: PendingCounters = { expired: 0, late: 0, unknown: 0, malformed: 0, forsaken: 0 }
  readonly #channels: number
  readonly #maxInFlight: number
  readonly #timeout: number
  readonly #quarantine: number
  readonly #sizes = new ResponseSizes()
  readonly #transfer: (Transfer | undefined)[]
  readonly #words: Int32Array
  /** Slots in order of deadline, a list for each state. */
  readonly #lists: SlotLists
  /** Free tokens of each channel, a ring: the one that rested longest is taken first. */
  readonly #free: Uint16Array
  readonly #freeFirst: Uint16Array
  readonly #freeCount: Uint16Array
  readonly #inFlight: Uint16Array
  readonly #quarantined: Uint16Array
  /** Version index by protocol as presented, and by channel and protocol as negotiated. */
  readonly #presented = new Int8Array(256).fill(anyVersion)
  readonly #negotiated: Int8Array

  constructor(options: PendingOptions) {
    const { channels } = options
    const slots = channels * tokens
    this.#channels = channels
    this.#maxInFlight = Math.min(options.maxInFlight ?? tokens, tokens)
    this.#timeout = (options.timeoutMs ?? 30) * 1000
    this.#quarantine = (options.quarantineSeconds ?? 60) * 1_000_000
    this.#transfer = new Array<Transfer | undefined>(slots).fill(undefined)
    this.#lists = new SlotLists(slots, 4)
    this.#words = new Int32Array(slots << wordShift)
    this.#free = Uint16Array.from({ length: slots }, (_, i) => i % tokens)
    this.#freeFirst = new Uint16Array(channels)
    this.#freeCount = new Uint16Array(channels).fill(tokens)
    this.#inFlight = new Uint16Array(channels)
    this.#quarantined = new Uint16Array(channels)
    this.#negotiated = new Int8Array(channels * 256).fill(asPresented)
  }

  /** Commands that wait for an answer on a channel. */
  inFlight(channel: number): number {
    return this.#inFlight[channel] as number
  }

  /** Tokens of a channel that rest because their command was never answered. */
  quarantined(channel: number): number {
    return this.#quarantined[channel] as number
  }

  /**
   * Takes a token for the command in `transfer` and starts its deadline at `now`.
   * @returns the header word to send instead of the command's own; -1 when the channel takes no more now
   */
  begin(channel: number, transfer: Transfer, now: number): number {
    const free = this.#freeCount[channel] as number
    const inFlight = this.#inFlight[channel] as number
    if (inFlight >= this.#maxInFlight || free === 0) return -1
    const first = this.#freeFirst[channel] as number
    const tokenValue = this.#free[(channel << slotShift) + first] as number
    this.#freeFirst[channel] = (first + 1) & slotMask
    this.#freeCount[channel] = free - 1
    this.#inFlight[channel] = inFlight + 1
    const slot = (channel << slotShift) + tokenValue
    const { ints, header } = transfer
    const word = ((ints[0] as number) & ~(tokenMask | reservedMask)) | (tokenValue << tokenShift)
    const at = slot << wordShift
    const words = this.#words
    words[at + HEADER] = word
    words[at + ARGUMENT] = ints[1] as number
    words[at + TAG] = transfer.tag
    words[at + AGENT_HEADER] = header
    this.#transfer[slot] = transfer
    this.#lists.append(slot, WAITING, (now + this.#timeout) | 0)
    return word
  }

  /** Takes a command back that could not be sent after `begin`. */
  abandon(channel: number, word: number): void {
    const slot = (channel << slotShift) + token(word)
    if (this.#lists.state(slot) === WAITING) this.#finish(slot)
  }

  /**
   * Takes a frame of `length` bytes that came on a channel. Where it answers a command, its content goes into that
   * command's transfer, under the agent's own header, and the transfer is no longer pending.
   * @returns the transfer that is answered; undefined where the frame was counted and dropped
   */
  accept(channel: number, frame: ReceivedFrame, length: number): Transfer | undefined {
    const { ints } = frame
    const word = ints[0] as number
    if (length < 4 || channel < 0 || channel >= this.#channels || messageType(word) !== COMMAND)
      return this.#drop()
    const slot = (channel << slotShift) + token(word)
    const at = slot << wordShift
    const state = this.#lists.state(slot)
    if (state === FREE || state === PROMISED || word !== this.#words[at + HEADER]) return this.#drop()
    if (state === QUARANTINED) {
      this.counters.late++
      this.#finish(slot)
      return undefined
    }
    const transfer = this.#transfer[slot] as Transfer
    const argument = this.#words[at + ARGUMENT] as number
    const status = ints[1] as number
    const promised = transfer.tag !== 0
    // After an error status nothing counts: the standard lets a receiver ignore what follows.
    const believed =
      status === SUCCESS
        ? length <= transfer.bytes.length &&
          length <= ints.length * 4 &&
          ((promised && length === 8) || // accepted, and no more than that
            this.#sizes.fits(tableIndex(word), this.#version(channel, protocolId(word)), length))
        : status < 0 && length >= 8
    if (believed && status === SUCCESS && promised) this.#promise(slot)
    else this.#finish(slot)
    if (!believed) {
      this.counters.malformed++
      transfer.answer(COMMS_ERROR)
      return transfer
    }
    transfer.length = status === SUCCESS ? length : 8
    const answer = transfer.ints
    const end = (transfer.length + 3) >>> 2
    for (let i = 1; i < end; i++) answer[i] = ints[i] as number
    answer[0] = transfer.header
    if (status === SUCCESS) this.#learn(channel, word, argument, ints[2] as number)
    return transfer
  }

  /**
   * Takes a delayed response that came on a channel, and writes the agent's own header over its own.
   * @returns the tag its command was sent with; 0 where nobody waits for it
   */
  acceptDelayed(channel: number, frame: ReceivedFrame, length: number): number {
    const word = frame.ints[0] as number
    if (length < 8 || channel < 0 || channel >= this.#channels || messageType(word) !== DELAYED_RESPONSE) {
      this.counters.unknown++
      return 0
    }
    const slot = (channel << slotShift) + token(word)
    const at = slot << wordShift
    const words = this.#words
    const tag = words[at + TAG] as number
    const state = this.#lists.state(slot)
    if (tag === 0 || state === FREE || (word & ~typeBits) !== words[at + HEADER]) {
      this.counters.unknown++
      return 0
    }
    words[at + TAG] = 0
    if (state === QUARANTINED) {
      this.counters.late++ // its agent was told that the platform is silent
      return 0
    }
    frame.ints[0] = (words[at + AGENT_HEADER] as number) | (DELAYED_RESPONSE << 8)
    if (state === PROMISED) this.#finish(slot)
    else (this.#transfer[slot] as Transfer).tag = 0 // it came before its synchronous response
    return tag
  }

  /** The tag of the next delayed response that is overdue at `now`, 0 when there is none. Call until 0. */
  forsake(now: number): number {
    const slot = this.#lists.first(PROMISED)
    if (slot === noSlot || ((now - this.#lists.wait(slot)) | 0) < 0) return 0
    const tag = this.#words[(slot << wordShift) + TAG] as number
    this.counters.forsaken++
    this.#finish(slot)
    return tag
  }

  /**
   * The next command that is overdue at `now`, answered COMMS_ERROR; undefined when there is none. Its token rests until
   * the late answer comes or the quarantine has passed. Call until undefined.
   */
  expire(now: number): Transfer | undefined {
    for (let slot = this.#lists.first(QUARANTINED); slot !== noSlot; ) {
      if (((now - this.#lists.wait(slot)) | 0) < 0) break
      const next = this.#lists.next(slot)
      this.#finish(slot)
      slot = next
    }
    const slot = this.#lists.first(WAITING)
    if (slot === noSlot || ((now - this.#lists.wait(slot)) | 0) < 0) return undefined
    this.counters.expired++
    return this.#giveUp(slot, now)
  }

  /**
   * The next command that waits on a channel whose connection is gone, answered COMMS_ERROR; undefined when there is
   * none. Its token rests as an overdue one's: whatever stood behind that connection may answer over the next. Call
   * until undefined.
   */
  sever(channel: number, now: number): Transfer | undefined {
    // Behind the next connection there may be a platform that negotiated nothing, or the same one.
    for (let i = channel * 256; i < (channel + 1) * 256; i++)
      if (this.#negotiated[i] !== asPresented) this.#negotiated[i] = lost
    for (let slot = this.#lists.first(WAITING); slot !== noSlot; slot = this.#lists.next(slot))
      if (slot >>> slotShift === channel) return this.#giveUp(slot, now)
    return undefined
  }

  /** Keeps a slot's token for the delayed response that was promised, as long as a quarantine. */
  #promise(slot: number): void {
    const channel = slot >>> slotShift
    const due = (this.#lists.wait(slot) + this.#quarantine) | 0
    this.#lists.remove(slot)
    this.#transfer[slot] = undefined
    this.#inFlight[channel] = (this.#inFlight[channel] as number) - 1
    this.#lists.append(slot, PROMISED, due)
  }

  /** Answers COMMS_ERROR for a slot that waits; its token goes into quarantine. */
  #giveUp(slot: number, now: number): Transfer {
    const transfer = this.#transfer[slot] as Transfer
    const channel = slot >>> slotShift
    this.#lists.remove(slot)
    this.#transfer[slot] = undefined
    this.#inFlight[channel] = (this.#inFlight[channel] as number) - 1
    this.#quarantined[channel] = (this.#quarantined[channel] as number) + 1
    this.#lists.append(slot, QUARANTINED, (now + this.#quarantine) | 0)
    transfer.answer(COMMS_ERROR)
    return transfer
  }

  #drop(): undefined {
    this.counters.unknown++
    return undefined
  }

  /** Ends a slot's use: out of its list, its token last in the ring. */
  #finish(slot: number): void {
    const channel = slot >>> slotShift
    const state = this.#lists.state(slot)
    if (state === WAITING) this.#inFlight[channel] = (this.#inFlight[channel] as number) - 1
    else if (state === QUARANTINED) this.#quarantined[channel] = (this.#quarantined[channel] as number) - 1
    this.#words[(slot << wordShift) + TAG] = 0
    this.#lists.remove(slot)
    this.#lists.leave(slot, FREE)
    this.#transfer[slot] = undefined
    const free = this.#freeCount[channel] as number
    const place = ((this.#freeFirst[channel] as number) + free) & slotMask
    this.#free[(channel << slotShift) + place] = slot & slotMask
    this.#freeCount[channel] = free + 1
  }

  #version(channel: number, protocol: number): number {
    const negotiated = this.#negotiated[channel * 256 + protocol] as number
    if (negotiated === asPresented) return this.#presented[protocol] as number
    return negotiated === lost ? anyVersion : negotiated
  }

  /** Answers tell which version is in force, and with it the sizes to expect. */
  #learn(channel: number, sent: number, argument: number, answer: number): void {
    const protocol = protocolId(sent)
    const message = messageId(sent)
    if (message === PROTOCOL_VERSION) this.#presented[protocol] = this.#sizes.indexOf(protocol, answer >>> 0)
    else if (message === negotiate)
      this.#negotiated[channel * 256 + protocol] = this.#sizes.indexOf(protocol, argument >>> 0)
    else if (protocol === baseId && message === resetAgent) {
      // One of the agents is back at what is presented; which of the channels is its, this table does not know.
      for (let i = 0; i < this.#negotiated.length; i++)
        if (this.#negotiated[i] !== asPresented) this.#negotiated[i] = lost
    }
  }
}
