// What a successor of this process is to find: the session of each guest that can outlive it, and everybody's votes. A
// guest is served all the same where that cannot be kept. What is in the files is KeptSession's and KeptVotes' matter.
import { errorText } from '../errors.ts'
import type { GuestLinkSpec } from '../guest-link/guest-link.ts'
import { KeptSession } from './kept-session.ts'
import { KeptVotes, type Shape } from './kept-votes.ts'
import type { GuestOpening } from './relay-port.ts'
import type { Subscriptions } from './subscriptions.ts'

/** Where things are kept, and who hears that they cannot be. */
export interface KeepingParts {
  /** Where the session of a guest is kept for a successor of this process; undefined for guests that cannot outlive it. */
  readonly sessionFile?: (name: string, link: GuestLinkSpec) => string | undefined
  /** Where votes are kept for a successor of this process. */
  readonly votesFile?: string
  readonly log?: (level: 'info' | 'warn', text: string) => void
}

/** The files that one relay keeps. */
export class Keeping {
  /** Everybody's votes, where they are kept. */
  votes: KeptVotes | undefined = undefined
  readonly #parts: KeepingParts
  /** By slot: sessions, and of which link. */
  readonly #sessions = new Map<number, { readonly session: KeptSession; readonly link: GuestLinkSpec }>()

  constructor(parts: KeepingParts) {
    this.#parts = parts
  }

  /** Keeps votes for a platform of this shape from now on. */
  openVotes(shape: Shape): void {
    const { votesFile } = this.#parts
    this.votes?.close()
    this.votes =
      votesFile === undefined ? undefined : this.#orWarn('votes', () => KeptVotes.open(votesFile, shape))
  }

  /** Keeps a guest's session from now on; undefined when it is not kept. */
  open({ slot, name, link, returning }: GuestOpening, subscriptions: Subscriptions): KeptSession | undefined {
    const path = this.#parts.sessionFile?.(name, link)
    if (path === undefined) return undefined
    return this.#orWarn(`${name}: its session`, () => {
      const session = KeptSession.open(path, subscriptions.kinds)
      if (returning !== true) session.mark(undefined) // of a former domain of that name
      this.#sessions.set(slot, { session, link })
      subscriptions.keep(slot, session)
      return session
    })
  }

  /** The guest in a slot has another name. */
  rename(slot: number, name: string): void {
    const kept = this.#sessions.get(slot)
    const path = kept && this.#parts.sessionFile?.(name, kept.link)
    if (path !== undefined) this.#orWarn(`${name}: its session`, () => kept?.session.rename(path))
  }

  /** The guest in a slot is gone for good, and so is what was kept of it. */
  forget(slot: number, name: string, subscriptions: Subscriptions): void {
    const kept = this.#sessions.get(slot)
    this.votes?.assign(slot, 0)
    if (kept === undefined) return
    this.#sessions.delete(slot)
    subscriptions.keep(slot, undefined)
    this.#orWarn(`${name}: its session`, () => kept.session.remove())
  }

  /** Keeps nothing more; the files stay. */
  close(): void {
    for (const { session } of this.#sessions.values()) session.close()
    this.#sessions.clear()
    this.votes?.close()
  }

  #orWarn<T>(what: string, work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      this.#parts.log?.('warn', `${what} cannot be kept over a restart: ${errorText(error)}`)
      return undefined
    }
  }
}
