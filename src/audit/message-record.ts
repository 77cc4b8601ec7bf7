// From a ring's numbers to the words of a log entry. Names come from whoever knows them; none are known here.
import { decisions } from './decision.ts'
import type { AuditEntry } from './record.ts'
import { isoTime } from './record.ts'
import { NO_RESOURCE } from './ring-layout.ts'
import type { RingRecord } from './ring-reader.ts'

/** Where the names of numbers come from; undefined is "no name", and the number stands alone. */
export interface RecordNames {
  /** The tenant of `slot` in its `generation`. */
  tenant(slot: number, generation: number): { readonly domain: string; readonly domid?: number } | undefined
  protocol(protocol: number): string | undefined
  message(protocol: number, message: number): string | undefined
  resource(record: RingRecord): string | undefined
  status(status: number): string | undefined
  /** The rule's text, and the device tree node it stems from. */
  rule(rule: number, record: RingRecord): { readonly rule: string; readonly node?: string } | undefined
  /** The two argument words as the fields they are, as in `{ rate: 24000000 }`. */
  arguments?(
    protocol: number,
    message: number,
    argument0: number,
    argument1: number,
  ): Record<string, number> | undefined
}

/** The log entry of one record. */
export function messageEntry(record: RingRecord, names: RecordNames): AuditEntry {
  const { protocol, message, status } = record
  const entry: AuditEntry = {
    time: isoTime(record.timeMicros),
    kind: 'message',
    ...names.tenant(record.slot, record.generation),
    agentId: record.agentId,
    protocol,
  }
  const protocolName = names.protocol(protocol)
  if (protocolName !== undefined) entry.protocolName = protocolName
  entry.message = names.message(protocol, message) ?? `0x${message.toString(16)}`
  if (record.resource !== NO_RESOURCE) {
    entry.resource = record.resource
    const resourceName = names.resource(record)
    if (resourceName !== undefined) entry.resourceName = resourceName
  }
  const values = names.arguments?.(protocol, message, record.argument0, record.argument1)
  if (values !== undefined) entry.arguments = values
  const decision = decisions[record.decision]
  if (decision !== undefined) entry.decision = decision
  Object.assign(entry, names.rule(record.rule, record))
  entry.status = status
  const statusName = names.status(status)
  if (statusName !== undefined) entry.statusName = statusName
  entry.durationMicros = record.durationMicros
  if (record.repeated > 1) entry.repeated = record.repeated
  return entry
}

/** The log entry for `count` messages that found the share of `slot` full. */
export function lostEntry(slot: number, generation: number, count: number, names: RecordNames): AuditEntry {
  return {
    kind: 'lost',
    ...names.tenant(slot, generation),
    count,
    text: 'answered BUSY: the share of the audit ring was full',
  }
}
