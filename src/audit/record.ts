// What one line of the audit log says: its shape, declared once, as JSON Schema and as a type.
import { type Static, Type } from 'typebox'
import { decisions } from './decision.ts'

/** What a record tells of. */
export const recordKinds = [
  'start', // the daemon opened its log
  'stop',
  'reload', // configuration read again
  'assign', // an agent id to a domain
  'release', // the agent id back
  'quarantine', // an agent id that could not be swept
  'grant', // a device, or a resource, to a domain
  'revoke',
  'permission', // a permission command to the firmware, and its answer
  'restore', // what a firmware that came back was told again
  'refuse', // an operator's or a toolstack's request that was not honoured
  'message', // a guest's message and what was decided
  'lost', // messages that found the guest's share full and were answered BUSY without a record
  'recover', // an unfinished line of an earlier run was set aside
] as const

export type RecordKind = (typeof recordKinds)[number]

const count = (description: string) => Type.Integer({ minimum: 0, description })
const text = (description: string) => Type.String({ description })
const digest = (description: string) => Type.String({ pattern: '^[0-9a-f]{64}$', description })

/** What the teller of a record gives; the log adds sequence, prev and hash. */
const facts = {
  kind: Type.Enum(recordKinds),
  domain: Type.Optional(text('name of the domain')),
  domid: Type.Optional(count('Xen domain id')),
  agentId: Type.Optional(count('SCMI agent id at the firmware')),
  protocol: Type.Optional(count('SCMI protocol id')),
  protocolName: Type.Optional(text('its name')),
  message: Type.Optional(text('name of the message, else its id in hex')),
  resource: Type.Optional(count('id of the clock, domain, sensor …')),
  resourceName: Type.Optional(text('its name')),
  device: Type.Optional(count('SCMI device id')),
  decision: Type.Optional(Type.Enum(decisions)),
  allow: Type.Optional(Type.Boolean({ description: 'what a permission command set' })),
  arguments: Type.Optional(
    Type.Record(Type.String(), Type.Number(), { description: 'what a control command set' }),
  ),
  rule: Type.Optional(text('the rule that decided')),
  node: Type.Optional(text('path of the device tree node that decided')),
  status: Type.Optional(Type.Integer({ description: 'SCMI status, signed' })),
  statusName: Type.Optional(text('its name')),
  durationMicros: Type.Optional(count('microseconds from arrival to answer')),
  repeated: Type.Optional(count('equal messages that the record stands for, when more than one')),
  count: Type.Optional(count('messages lost')),
  text: Type.Optional(text('what else there is to say')),
}

const time = text('ISO 8601, UTC, to the microsecond where it is known')

/** What `AuditLog.append` takes. Without a time, it is now. */
export const AuditEntry = Type.Object({ time: Type.Optional(time), ...facts })
export type AuditEntry = Static<typeof AuditEntry>

/** One line of the log. */
export const AuditRecord = Type.Object({
  time,
  sequence: Type.Integer({ minimum: 1, description: 'number of the record, from 1, across files' }),
  ...facts,
  prev: digest('hash of the line before; 64 zeros in the first'),
  hash: digest('SHA-256 of the line without this member'),
})
export type AuditRecord = Static<typeof AuditRecord>

/** ISO 8601 to the microsecond, UTC; `micros` since 1970. */
export function isoTime(micros: number): string {
  const millis = Math.floor(micros / 1000)
  const rest = Math.floor(micros - millis * 1000)
  return `${new Date(millis).toISOString().slice(0, -1)}${String(rest).padStart(3, '0')}Z`
}
