// The audit log as the lifecycle writes it: guests' messages out of the ring, and what it does itself, in one order.
import type { ChainHead } from '../audit/chain.ts'
import type { AuditLog } from '../audit/log.ts'
import { lostEntry, messageEntry, type RecordNames } from '../audit/message-record.ts'
import { type AuditEntry, isoTime } from '../audit/record.ts'
import type { AuditRingReader, RingSink } from '../audit/ring-reader.ts'
import { errorText } from '../errors.ts'

/** The one writer of the audit log. Synchronous: what it returns from is in the file. */
export class AuditTrail {
  /** Messages that were answered BUSY because a guest's share was full. */
  lost = 0
  /** Why the log could not be written when that was last tried. */
  fault: string | undefined
  readonly #log: AuditLog
  readonly #ring: AuditRingReader
  readonly #sink: RingSink
  /** What was done and could not be written yet, oldest first. */
  #owed: AuditEntry[] = []

  constructor(log: AuditLog, ring: AuditRingReader, names: RecordNames) {
    this.#log = log
    this.#ring = ring
    this.#sink = {
      message: record => {
        this.#log.append(messageEntry(record, names))
      },
      lost: (slot, generation, count) => {
        this.#log.append(lostEntry(slot, generation, count, names))
        this.lost += count
      },
    }
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

  /**
   * Writes what is owed and what the relay has recorded. Called before anything that changes what names mean. Throws
   * when the log cannot be written; nothing is lost by that: guests find their shares full, and are answered BUSY.
   */
  drain(): void {
    try {
      while (this.#owed[0] !== undefined) {
        this.#log.append(this.#owed[0])
        this.#owed.shift()
      }
      this.#ring.drain(this.#sink)
      this.fault = undefined
    } catch (error) {
      this.fault = errorText(error)
      throw error
    }
  }

  /** As `drain`, but leaves it at `fault` when the log cannot be written. */
  tryDrain(): void {
    try {
      this.drain()
    } catch {
      // told by `fault`, and tried again
    }
  }

  /** Writes one record of the daemon's own doing, after all that guests did before it. What it tells of must not be done when this throws. */
  append(entry: AuditEntry): void {
    this.drain()
    try {
      this.#log.append(entry)
    } catch (error) {
      this.fault = errorText(error)
      throw error
    }
  }

  /**
   * Writes one record of what takes rights away, or has happened already: that must not wait for a log that cannot be
   * written. The record is owed then, and comes before any other as soon as it can.
   */
  note(entry: AuditEntry): void {
    try {
      this.append(entry)
    } catch {
      this.#owed.push({ time: isoTime(Date.now() * 1000), ...entry })
    }
  }

  close(): void {
    try {
      this.drain()
    } finally {
      this.#log.close()
    }
  }
}
