// The audit log as the demonstration reads it: follows the file, and finds the record of a message that a guest sent.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Decision } from '../audit/decision.ts'
import { followAudit } from '../audit/follow.ts'
import type { AuditRecord } from '../audit/record.ts'
import type { ControlClient } from '../cli/client.ts'
import { MediatorError } from '../errors.ts'

const lookMs = 10
/** Milliseconds for a record to reach the file. */
const patienceMs = 5000

/** What record is wanted. Messages about no resource leave it out. */
export interface Question {
  readonly domain: string
  readonly protocol: number
  readonly message: string
  readonly resource?: number
}

const keyOf = ({ domain, protocol, message, resource }: Question, decision: Decision): string =>
  `${domain} ${protocol} ${message} ${resource ?? '-'} ${decision}`

/** Everything recorded of messages so far; equal ones share a record. */
export class Evidence {
  readonly #client: ControlClient
  readonly #records = new Map<string, AuditRecord>()
  readonly #stop = new AbortController()
  readonly #following: Promise<void>
  #sequence = 0
  #fault: unknown

  /** Follows the log at `path` from its beginning until `close`. */
  constructor(client: ControlClient, path: string) {
    this.#client = client
    this.#following = this.#follow(path).catch(error => {
      this.#fault = error
    })
  }

  /** Waits until all that guests have been answered so far is in the log and was read. */
  async settle(): Promise<void> {
    const { records } = await this.#client.flushAudit()
    const end = performance.now() + patienceMs
    while (this.#sequence < records) {
      if (this.#fault !== undefined) throw this.#fault
      if (performance.now() > end)
        throw new MediatorError('SYSTEM', `the audit log holds ${this.#sequence} of ${records} records`)
      await sleep(lookMs)
    }
  }

  /** The newest record of such a message with one of these decisions. */
  find(question: Question, ...decisions: readonly Decision[]): AuditRecord | undefined {
    return decisions
      .flatMap(decision => this.#records.get(keyOf(question, decision)) ?? [])
      .reduce<AuditRecord | undefined>(
        (a, b) => (a === undefined || b.sequence > a.sequence ? b : a),
        undefined,
      )
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#following
  }

  async #follow(path: string): Promise<void> {
    const options = { signal: this.#stop.signal, from: 'start', pollMs: lookMs } as const
    for await (const record of followAudit(path, {}, options)) {
      const { kind, domain, protocol, message, resource, decision } = record
      if (
        kind === 'message' &&
        domain !== undefined &&
        protocol !== undefined &&
        message !== undefined &&
        decision
      ) {
        const question = { domain, protocol, message, ...(resource === undefined ? {} : { resource }) }
        this.#records.set(keyOf(question, decision), record)
      }
      this.#sequence = record.sequence
    }
  }
}
