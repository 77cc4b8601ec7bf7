// One message as its handler sees it: arguments, the room for an answer, who asks. One object for all messages of a platform.
import { maxMessageBytesLimit } from '../transfer.ts'
import type { Names } from './names.ts'

/** Memory that holds a frame, header first; a Transfer is one. Its three views cover the same bytes. */
export interface Frame {
  readonly bytes: Uint8Array
  readonly words: Uint32Array
  readonly ints: Int32Array
}

/** Acts on a message: reads `args`, writes the response's own fields, returns an SCMI status. Allocates nothing. */
export type Handler = (call: Call) => number

/** Word of the frame where a response's own fields start, after header and status. */
export const BODY = 2
/** Words of the longest command payload there may be: commands with entries fill what the channel carries. */
const maxArgs = maxMessageBytesLimit / 4

const none = new ArrayBuffer(0)

/** The message in hand. */
export class Call {
  /** The command's payload: a private copy, so that the answer can be written over the frame. */
  readonly args = new Uint32Array(maxArgs)
  /** The same, signed. */
  readonly signedArgs = new Int32Array(this.args.buffer)
  /** The frame the answer goes into, and the same signed. Its fixed fields are zero when the handler is called. */
  words: Uint32Array = new Uint32Array(none)
  ints: Int32Array = new Int32Array(none)
  /** Index of the calling agent: its id - 1. */
  agent = 0
  /** The channel it speaks on. */
  channel = 0
  /** Whether the agent can be sent delayed responses and notifications. */
  p2a = false
  /** Protocol version in force between agent and platform. */
  version = 0
  /** The resource the message names, proven to exist and to be the agent's to use. */
  resource = 0
  /** Which of the protocol's numberings the resource is of: the message's selector, 0 where it has none. */
  selector = 0
  /** Bytes the response may have, header included. */
  room = 0
  /** Bytes of a successful response, header included: the fixed fields, until a handler appends entries. */
  length = 0

  /** How many entries of `size` bytes the response can still take, at most `wanted`. */
  fitting(size: number, wanted: number): number {
    return Math.min(Math.floor((this.room - this.length) / size), wanted)
  }

  /** Answers a *_NAME_GET: flags, then the 64-byte name. */
  nameAnswer(names: Names): number {
    names.long(this.resource, this.words, BODY + 1)
    return 0
  }
}
