import { expect, test } from 'vitest'
import { formatRecord } from '../../src/audit/format.ts'
import type { AuditRecord } from '../../src/audit/record.ts'

const base = { time: '2026-01-31T12:00:00.000001Z', sequence: 1, prev: '', hash: '' }

test.each<[Omit<AuditRecord, keyof typeof base>, string]>([
  [{ kind: 'start' }, '- start'],
  [
    {
      kind: 'message',
      domain: 'guest-a',
      agentId: 2,
      protocol: 0x14,
      protocolName: 'clock',
      message: 'CLOCK_RATE_SET',
      resource: 7,
      resourceName: 'avb',
      decision: 'denied',
      arguments: { rate: 24_000_000 },
      rule: 'not granted',
      node: '/soc/avb@e6800000',
      status: -3,
      statusName: 'DENIED',
      repeated: 3,
    },
    'guest-a CLOCK_RATE_SET clock 7 (avb) rate=24000000 denied x3 DENIED: not granted [/soc/avb@e6800000]',
  ],
  [
    {
      kind: 'message',
      domain: 'guest-a',
      protocol: 0x11,
      message: 'POWER_STATE_SET',
      resource: 0,
      decision: 'allowed',
      rule: 'granted by /soc/avb',
      node: '/soc/avb',
      status: 0,
    },
    'guest-a POWER_STATE_SET power 0 allowed: granted by /soc/avb',
  ],
  [
    {
      kind: 'grant',
      domain: 'guest-a',
      agentId: 2,
      device: 0,
      protocol: 0x14,
      resource: 3,
      resourceName: 'sd0',
      rule: 'clocks[0]',
      node: '/soc/mmc',
    },
    'guest-a grant agent 2 device 0 clock 3 (sd0) by clocks[0] [/soc/mmc]',
  ],
  [
    {
      kind: 'message',
      domain: 'guest-a',
      protocol: 0x7f,
      message: '0x5',
      resource: 1,
      decision: 'allowed',
      status: 0,
    },
    'guest-a 0x5 0x7f 1 allowed',
  ],
  [
    {
      kind: 'permission',
      domain: 'b',
      agentId: 3,
      message: 'BASE_SET_DEVICE_PERMISSIONS',
      device: 9,
      allow: false,
      status: 0,
    },
    'b permission BASE_SET_DEVICE_PERMISSIONS agent 3 device 9 allow=0 status 0',
  ],
  [{ kind: 'lost', domain: 'b', count: 12, text: 'share full' }, 'b lost 12 messages: share full'],
  [
    { kind: 'assign', domain: 'a\u001b[2J\n\u202e\u2028\ud800b' },
    'a\\u{1b}[2J\\u{a}\\u{202e}\\u{2028}\\u{d800}b assign',
  ],
])('%j', (facts, expected) => {
  expect(formatRecord({ ...base, ...facts })).toBe(`${base.time} ${expected}`)
})
