// Where the demonstration prints: plain lines, a few words in colour where a terminal wants them.
import { describe } from '../scmi/describe.ts'
import type { Outcome, Sent } from './expectations.ts'

const colours: Readonly<Record<string, number>> = {
  allowed: 32,
  ok: 32,
  denied: 31,
  'not ok': 31,
  placeholder: 33,
  'no effect': 33,
}

export interface StageOptions {
  /** Takes whole text, line ends included. */
  readonly write: (text: string) => void
  readonly colour: boolean
  /** Print every message in full. */
  readonly verbose: boolean
}

/** What a group of messages has in common. */
export interface Group {
  readonly outcome: Outcome
  readonly reason: string
  readonly sent: readonly Sent[]
}

const frame = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))

export class Stage {
  readonly #options: StageOptions

  constructor(options: StageOptions) {
    this.#options = options
  }

  line(text = ''): void {
    this.#options.write(`${text}\n`)
  }

  heading(text: string): void {
    this.line(`\n${this.#paint(text, 1)}`)
  }

  /** A word that wants an eye, and the rest of the line. */
  marked(word: string, rest: string): void {
    const colour = colours[word]
    this.line(`  ${colour === undefined ? word : this.#paint(word, colour)}  ${rest}`)
  }

  /** Messages that had the same outcome for the same reason. */
  group({ outcome, reason, sent }: Group): void {
    const counts = new Map<string, number>()
    for (const { name } of sent) counts.set(name, (counts.get(name) ?? 0) + 1)
    const names = [...counts].map(([name, count]) => (count === 1 ? name : `${name} ×${count}`)).join(', ')
    this.marked(outcome.padEnd(11), `${names}`)
    if (this.#options.verbose)
      for (const { line, version } of sent) {
        const form = { version: () => version }
        this.line(`               > ${describe(frame(line.request), { ...form, direction: 'command' })}`)
        this.line(`               < ${describe(frame(line.response), { ...form, direction: 'response' })}`)
      }
    this.line(`               ${this.#paint(reason, 2)}`)
  }

  #paint(text: string, code: number): string {
    return this.#options.colour ? `\x1b[${code}m${text}\x1b[0m` : text
  }
}
