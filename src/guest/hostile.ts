// The programme of a hostile guest: which attacks, how many, in an order that the seed decides, and what came of them.
// Every wait in it has an end. What an attack does to a link is hostile-trap.ts's and hostile-message.ts's matter.
import { errorText, MediatorError } from '../errors.ts'
import { SUCCESS, statusName } from '../scmi/status.ts'
import { type FrameMaker, frameMakers, honestFrame } from './hostile-frames.ts'
import { Random } from './random.ts'

/** What became of the attacks of one kind. */
export interface AttackCount {
  runs: number
  /** Frames, doorbells or other packets that went out. */
  sent: number
  answered: number
  /** Answers that did not come in time, and connections that ended instead. */
  silent: number
  /** Calls answered as none of the daemon's (x0 = -1). */
  refused: number
}

/** What a hostile guest did. */
export interface HostileSummary {
  readonly link: string
  readonly seed: number
  /** Attacks that were run. */
  readonly attacks: number
  readonly connections: number
  readonly seconds: number
  /** Answers by the name of their status. */
  readonly statuses: Readonly<Record<string, number>>
  readonly kinds: Readonly<Record<string, AttackCount>>
  /** Whether a plain question at the end was answered SUCCESS. */
  readonly stillServed: boolean
  /** Why the programme ended early; absent where it was finished. */
  readonly unfinished?: string
}

/** Counts of one attack, which its front adds to. */
export class Tally {
  readonly statuses: Record<string, number> = {}
  readonly kinds: Record<string, AttackCount> = {}
  #kind: AttackCount = { runs: 0, sent: 0, answered: 0, silent: 0, refused: 0 }

  /** What is counted from now on belongs to this kind. */
  begin(name: string): void {
    this.#kind = this.kinds[name] ?? { runs: 0, sent: 0, answered: 0, silent: 0, refused: 0 }
    this.kinds[name] = this.#kind
    this.#kind.runs++
  }

  sent(count = 1): void {
    this.#kind.sent += count
  }

  silent(): void {
    this.#kind.silent++
  }

  refused(): void {
    this.#kind.refused++
  }

  /** An answer as far as it goes; only frames with a status have one. */
  answered(frame: Uint8Array | undefined): void {
    this.#kind.answered++
    if (frame === undefined || frame.length < 8) return
    const name = statusName(new DataView(frame.buffer, frame.byteOffset).getInt32(4, true))
    this.statuses[name] = (this.statuses[name] ?? 0) + 1
  }
}

/** A hostile guest's side of one link. Connections come and go behind it. */
export interface Front {
  readonly link: string
  readonly connections: number
  /** Attacks that this link knows beyond frames, by name. */
  readonly attacks: Readonly<Record<string, () => Promise<void>>>
  /** Sends a frame as a link carries it; undefined where no answer came in time. */
  exchange(frame: Uint8Array): Promise<Uint8Array | undefined>
  /** The same over a new connection such as a guest without malice makes. */
  exchangeAfresh(frame: Uint8Array): Promise<Uint8Array | undefined>
  close(): void
}

export interface HostileOptions {
  readonly seed: number
  /** Attacks to run. */
  readonly attacks: number
  /** Milliseconds after which the programme ends where it is. */
  readonly limitMs: number
}

/**
 * Runs the programme. `makeFront` builds the link's side over the same random numbers. Never throws for what the
 * daemon does; a daemon that is gone ends the programme, and `unfinished` says so.
 */
export async function runHostile(
  makeFront: (random: Random, tally: Tally) => Front,
  { seed, attacks, limitMs }: HostileOptions,
): Promise<HostileSummary> {
  const random = new Random(seed)
  const tally = new Tally()
  const front = makeFront(random, tally)
  const began = performance.now()
  const names = [...Object.keys(frameMakers), ...Object.keys(front.attacks)]
  let run = 0
  let stillServed = false
  let unfinished: string | undefined
  try {
    for (; run < attacks && unfinished === undefined; run++) {
      if (performance.now() - began > limitMs) unfinished = `the time limit of ${limitMs} ms was reached`
      else await attack(front, tally, random, random.pick(names))
    }
    tally.begin('the last question')
    const answer = await front.exchangeAfresh(honestFrame(random))
    stillServed = answer !== undefined && new DataView(answer.buffer).getInt32(4, true) === SUCCESS
  } catch (error) {
    if (!(error instanceof MediatorError)) throw error
    unfinished = errorText(error)
  } finally {
    front.close()
  }
  return {
    link: front.link,
    seed,
    attacks: run,
    connections: front.connections,
    seconds: Math.round(performance.now() - began) / 1000,
    statuses: tally.statuses,
    kinds: tally.kinds,
    stillServed,
    ...(unfinished === undefined ? {} : { unfinished }),
  }
}

async function attack(front: Front, tally: Tally, random: Random, name: string): Promise<void> {
  tally.begin(name)
  const make: FrameMaker | undefined = frameMakers[name]
  if (make === undefined) await front.attacks[name]?.()
  else await front.exchange(make(random))
}

/** The summary as lines for people. */
export function hostileLines(summary: HostileSummary): readonly string[] {
  const { link, seed, attacks, connections, seconds, statuses, kinds, stillServed, unfinished } = summary
  const row = (cells: readonly (string | number)[]): string =>
    cells.map((cell, i) => (i === 0 ? String(cell).padEnd(28) : String(cell).padStart(9))).join('')
  return [
    `hostile over the ${link}, seed ${seed}: ${attacks} attacks over ${connections} connections in ${seconds} s`,
    row(['attack', 'runs', 'sent', 'answered', 'silent', 'refused']),
    ...Object.entries(kinds)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, k]) => row([name, k.runs, k.sent, k.answered, k.silent, k.refused])),
    `answers: ${Object.entries(statuses)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')}`,
    stillServed ? 'still served at the end' : 'NOT served at the end',
    ...(unfinished === undefined ? [] : [`not finished: ${unfinished}`]),
  ]
}
