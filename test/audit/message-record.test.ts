import { expect, test } from 'vitest'
import { DENIED } from '../../src/audit/decision.ts'
import { lostEntry, messageEntry, type RecordNames } from '../../src/audit/message-record.ts'
import { NO_RESOURCE } from '../../src/audit/ring-layout.ts'
import { RingRecord } from '../../src/audit/ring-reader.ts'

const names: RecordNames = {
  tenant: (slot, generation) =>
    slot === 1 && generation === 4 ? { domain: 'guest-a', domid: 3 } : undefined,
  protocol: protocol => (protocol === 0x14 ? 'clock' : undefined),
  message: (protocol, message) => (protocol === 0x14 && message === 5 ? 'CLOCK_RATE_SET' : undefined),
  resource: ({ protocol, resource }) => (protocol === 0x14 && resource === 7 ? 'avb' : undefined),
  status: status => (status === -3 ? 'DENIED' : undefined),
  rule: rule => (rule === 2 ? { rule: 'not granted', node: '/soc/avb' } : undefined),
  arguments: (_protocol, message, low, high) => (message === 5 ? { rate: high * 2 ** 32 + low } : undefined),
}

function record(values: Partial<RingRecord>): RingRecord {
  return Object.assign(new RingRecord(), {
    slot: 1,
    generation: 4,
    timeMicros: 1_769_860_800_000_001, // date -u -d 2026-01-31T12:00:00Z +%s, and a microsecond
    protocol: 0x14,
    message: 5,
    resource: 7,
    decision: DENIED,
    status: -3,
    durationMicros: 12,
    agentId: 2,
    argument0: 1,
    argument1: 1,
    rule: 2,
    repeated: 1,
    ...values,
  })
}

test('every number that has a name gets it', () => {
  expect(messageEntry(record({ repeated: 3 }), names)).toEqual({
    time: '2026-01-31T12:00:00.000001Z',
    kind: 'message',
    domain: 'guest-a',
    domid: 3,
    agentId: 2,
    protocol: 0x14,
    protocolName: 'clock',
    message: 'CLOCK_RATE_SET',
    resource: 7,
    resourceName: 'avb',
    arguments: { rate: 4294967297 },
    decision: 'denied',
    rule: 'not granted',
    node: '/soc/avb',
    status: -3,
    statusName: 'DENIED',
    durationMicros: 12,
    repeated: 3,
  })
})

test('numbers without names stand alone, and nothing is made up', () => {
  const unknown = {
    slot: 0,
    protocol: 0x19,
    message: 0x2a,
    resource: NO_RESOURCE,
    status: -7,
    rule: 9,
    decision: 99,
  }
  expect(messageEntry(record(unknown), names)).toEqual({
    time: '2026-01-31T12:00:00.000001Z',
    kind: 'message',
    agentId: 2,
    protocol: 0x19,
    message: '0x2a',
    status: -7,
    durationMicros: 12,
  })
})

test('what was lost is told with its count', () => {
  expect(lostEntry(1, 4, 17, names)).toMatchObject({ kind: 'lost', domain: 'guest-a', domid: 3, count: 17 })
})
