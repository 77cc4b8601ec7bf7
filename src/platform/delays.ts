// Which resources of a protocol can be asked to answer later, and how much later. As the platform file says; no state.
import { type Static, Type } from 'typebox'
import { closed } from './config-shapes.ts'

/** Longest delay in milliseconds: times are microseconds modulo 2^32. */
const msLimit = 2_000_000

export const delay = Type.Union(
  [
    Type.Object({ ms: Type.Integer({ minimum: 0, maximum: msLimit }) }, closed),
    Type.Object({ messages: Type.Integer({ minimum: 0, maximum: 0xffff }) }, closed),
  ],
  {
    description:
      'Can be asked to answer later: after `ms` milliseconds, or when the platform has received `messages` more.',
  },
)

/** Delayed responses one agent can have outstanding in one protocol: five protocols' fit a link's 256. */
export const maxAsync = Type.Integer({
  minimum: 1,
  maximum: 51,
  default: 4,
  description: 'Asynchronous requests one agent can have pending; those beyond are BUSY.',
})

type Delay = Static<typeof delay>

/** The delays of one protocol's resources. */
export class Delays {
  /** Requests one agent can have pending; 0 where no resource answers later. */
  readonly limit: number
  /** Milliseconds, or messages, by resource. */
  readonly amount: Int32Array
  /** 1 where `amount` counts messages. */
  readonly counted: Uint8Array
  readonly #has: Uint8Array

  constructor(resources: readonly { readonly async?: Delay }[], limit: number) {
    this.#has = Uint8Array.from(resources, r => (r.async === undefined ? 0 : 1))
    this.limit = this.#has.includes(1) ? limit : 0
    this.amount = Int32Array.from(resources, ({ async }) =>
      async === undefined ? 0 : 'ms' in async ? async.ms : async.messages,
    )
    this.counted = Uint8Array.from(resources, ({ async }) => (async !== undefined && 'ms' in async ? 0 : 1))
  }

  /** Whether the file says that the resource answers later. */
  has(resource: number): boolean {
    return this.#has[resource] !== 0
  }
}
