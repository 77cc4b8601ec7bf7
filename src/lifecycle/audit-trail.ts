// The audit log as the lifecycle writes it: guests' messages out of the ring, and what it does itself, in one order.
import type { ChainHead } from '../audit/chain.ts'
import type { AuditLog } from '../audit/log.ts'
import { lostEntry, messageEntry, type RecordNames } from '../audit/message-record.ts'
import type { AuditEntry } from '../audit/record.ts'
import type { AuditRingReader } from '../audit/ring-reader.ts'

/** The one writer of the audit log. Synchronous: what it returns from is in the file. */
export class AuditTrail {
  /** Messages that were answered BUSY because a guest's share was full. */
  lost = 0
  readonly #log: AuditLog
  readonly #ring: AuditRingReader
  readonly #names: RecordNames

  constructor(log: AuditLog, ring: AuditRingReader, names: RecordNames) {
    this.#log = log
    this.#ring = ring
    this.#names = names
  }

  get path(): string {
    return this.#log.path
  }

  /** Where the chain stands. */
  get head(): ChainHead {
    return this.#log.head
  }

  /** Records written so far, over all files. */
  get records(): number {
    return this.#log.head.sequence
  }

  /** Writes what the relay has recorded. Called often, and before anything that changes what names mean. */
  drain(): void {
    this.#ring.drain({
      message: record => {
        this.#log.append(messageEntry(record, this.#names))
      },
      lost: (slot, generation, count) => {
        this.lost += count
        this.#log.append(lostEntry(slot, generation, count, this.#names))
      },
    })
  }

  /** Writes one record of the daemon's own doing, after all that guests did before it. */
  append(entry: AuditEntry): void {
    this.drain()
    this.#log.append(entry)
  }

  close(): void {
    this.drain()
    this.#log.close()
  }
}
