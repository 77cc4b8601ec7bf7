// A guest as a child process of the demonstration: scmi-guest fed with script lines, its answers read back as they come.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { MediatorError } from '../errors.ts'
import type { ExchangeLine, ReportLine } from '../guest/report.ts'
import { stopChild } from './daemon-process.ts'

const patienceMs = 2000
/** Milliseconds that one batch of lines may take. */
const batchMs = 30_000

/** What came of a batch of lines. */
export interface Played {
  readonly exchanges: readonly ExchangeLine[]
  /** What the guest itself complained of. */
  readonly mismatches: readonly string[]
}

interface Batch {
  readonly mark: string
  readonly exchanges: ExchangeLine[]
  readonly mismatches: string[]
  readonly resolve: (played: Played) => void
  readonly reject: (error: Error) => void
}

/** One guest at its trap-socket. Batches are played one after the other. */
export class GuestProcess {
  readonly name: string
  /** Messages that the guest has sent and had answered. */
  messages = 0
  readonly #child: ChildProcessWithoutNullStreams
  #batch: Batch | undefined
  #marks = 0
  #said = ''

  /** `program`: dist/guest/main.js. `socket`: its trap-socket. */
  constructor(name: string, program: string, socket: string) {
    this.name = name
    const args = [program, '--trap-socket', socket, '--json', '--script', '-']
    this.#child = spawn(process.execPath, args, { stdio: 'pipe', detached: true })
    this.#child.stdin.on('error', () => {}) // its end is told by 'close'
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text
    })
    createInterface({ input: this.#child.stdout }).on('line', line =>
      this.#take(JSON.parse(line) as ReportLine),
    )
    this.#child.on('error', error => this.#fail(error.message))
    this.#child.on('close', (code, signal) =>
      this.#fail(`ended (${signal ?? `exit ${code}`}): ${this.#said.trim()}`),
    )
  }

  /** Sends lines and waits for all their answers. SYSTEM when the guest ends or hangs. */
  play(lines: readonly string[]): Promise<Played> {
    return new Promise((resolve, reject) => {
      if (this.#batch !== undefined) throw new Error(`${this.name} is still playing`)
      if (this.#child.exitCode !== null)
        throw new MediatorError('SYSTEM', `${this.name} has ended: ${this.#said}`)
      const mark = `end ${++this.#marks}`
      const timer = setTimeout(() => this.#fail(`gave no answer within ${batchMs / 1000} s`), batchMs)
      const done =
        <T>(settle: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer)
          this.#batch = undefined
          settle(value)
        }
      this.#batch = { mark, exchanges: [], mismatches: [], resolve: done(resolve), reject: done(reject) }
      this.#child.stdin.write(`${[...lines, `mark ${mark}`].join('\n')}\n`)
    })
  }

  /** Lets it hang up; kills it when it does not. */
  async stop(): Promise<void> {
    this.#child.stdin.end()
    await stopChild(this.#child, patienceMs)
  }

  #take(line: ReportLine): void {
    if ('request' in line) this.messages++
    const batch = this.#batch
    if (batch === undefined) return
    if ('request' in line) batch.exchanges.push(line)
    else if ('mismatch' in line) batch.mismatches.push(line.mismatch)
    else if ('mark' in line && line.mark === batch.mark) batch.resolve(batch)
  }

  #fail(text: string): void {
    this.#batch?.reject(new MediatorError('SYSTEM', `${this.name} ${text}`))
  }
}
