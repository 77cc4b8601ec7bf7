// The demonstration's own judgement: it must see what is wrong. Answers are written by hand, after semantics of `identity`.
import { describe, expect, test } from 'vitest'
import {
  foreignExpectation,
  foreignFault,
  listFault,
  ownFault,
  readSent,
  type Sent,
} from '../../src/demo/expectations.ts'
import { heldBy, inBoth, titleOf, without } from '../../src/demo/holdings.ts'
import { countFaults, permissionFaults } from '../../src/demo/summary.ts'
import type { ExchangeLine } from '../../src/guest/report.ts'
import type { DomainView } from '../../src/lifecycle/views.ts'
import { statusName } from '../../src/scmi/status.ts'

function sent(request: string, response: string, more: Partial<ExchangeLine> = {}): Sent {
  const bytes = Buffer.from(response.replace(/ /g, ''), 'hex')
  const status = bytes.readInt32LE(4)
  const line = {
    request: request.replace(/ /g, ''),
    response: bytes.toString('hex'),
    protocol: (Buffer.from(request.replace(/ /g, ''), 'hex').readUInt32LE(0) >>> 10) & 0xff,
    message: null,
    version: null,
    status,
    statusName: statusName(status),
    value: {},
    entries: [],
    ...more,
  }
  const read = readSent(line)
  if (read === undefined) throw new Error('no known message')
  return read
}
const zeros = (bytes: number): string => '00'.repeat(bytes)

describe('of what is another’s', () => {
  test.each<[string, string, RegExp | undefined, string]>([
    ['05500000 00000000 05000000 4078 7d01 00000000', '05500000 fdffffff', undefined, 'RATE_SET is denied'],
    [
      '05500000 00000000 05000000 4078 7d01 00000000',
      '05500000 00000000',
      /SUCCESS, not DENIED/,
      'RATE_SET took effect',
    ],
    ['07500000 05000000 01000000 00000000', '07500000 fdffffff', undefined, 'an enable is denied'],
    [
      '07500000 05000000 00000000 00000000',
      '07500000 00000000',
      undefined,
      'a disable is SUCCESS without effect',
    ],
    [
      '07500000 05000000 00000000 00000000',
      '07500000 fdffffff',
      /DENIED, not SUCCESS/,
      'a disable was denied',
    ],
    ['07500000 05000000 00000100 32000000', '07500000 00000000', undefined, 'enable bits 0: still a disable'],
    ['04440000 00000000 02000000 00000040', '04440000 00000000', undefined, 'OFF is SUCCESS without effect'],
    ['04440000 00000000 02000000 00000000', '04440000 00000000', /SUCCESS, not DENIED/, 'ON took effect'],
    ['055c0000 02000000 00000000', '055c0000 fdffffff', undefined, 'a voltage off is denied'],
    ['06500000 05000000', `06500000 00000000 ${zeros(8)}`, undefined, 'RATE_GET reads 0'],
    [
      '06500000 05000000',
      '06500000 00000000 00c2eb0b00000000',
      /not the constant/,
      'RATE_GET leaks the rate',
    ],
    ['03500000 05000000', `03500000 00000000 ${zeros(24)}`, undefined, 'CLOCK_ATTRIBUTES has no name'],
    ['03500000 05000000', '03500000 fcffffff', /NOT_FOUND, not SUCCESS/, 'CLOCK_ATTRIBUTES is missing'],
    [
      '03440800 0c000000',
      `03440800 00000000 00000020 756e757365642d703132 ${zeros(6)}`,
      undefined,
      'POWER_DOMAIN_ATTRIBUTES: set_sync, unused-p12',
    ],
    [
      '03440800 0c000000',
      `03440800 00000000 00000020 756e757365642d7031 ${zeros(7)}`,
      /not the constant/,
      'another domain’s name',
    ],
    ['05440000 02000000', '05440000 00000000 00000040', undefined, 'POWER_STATE_GET reads OFF'],
    ['0a500000 05000000 01000000', '0a500000 ffffffff', undefined, 'subscriptions are not supported'],
    ['0e500000 05000000', '0e500000 ffffffff', undefined, 'the parent is not told'],
  ])('%s answered %s', (request, response, fault) => {
    const one = sent(request, response)
    const found = foreignFault(one, foreignExpectation(one, true))
    if (fault === undefined) expect(found).toBeUndefined()
    else expect(found).toMatch(fault)
  })

  test('without anything of the protocol even queries are denied', () => {
    const query = sent('034c0000 00000000', '034c0000 fdffffff')
    expect(foreignFault(query, foreignExpectation(query, false))).toBeUndefined()
    const leak = sent('034c0000 00000000', `034c0000 00000000 ${zeros(32)}`)
    expect(foreignFault(leak, foreignExpectation(leak, false))).toMatch(/SUCCESS, not DENIED/)
  })
})

describe('of what is its own', () => {
  test.each<[string, string, Partial<ExchangeLine>, RegExp | undefined, string]>([
    ['06500000 03000000', '06500000 00000000 00c2eb0b00000000', {}, undefined, 'SUCCESS'],
    ['06500000 03000000', '06500000 fdffffff', {}, /answered DENIED/, 'denied'],
    [
      '06500000 03000000',
      '06500000 00000000 00c2',
      { problems: ['ends before rate'] },
      /ends before rate/,
      'cut short',
    ],
    ['02500000 0f000000', '02500000 fcffffff', {}, undefined, 'an optional message that is not there'],
  ])('%s answered %s', (request, response, more, fault) => {
    const found = ownFault(sent(request, response, more))
    if (fault === undefined) expect(found).toBeUndefined()
    else expect(found).toMatch(fault)
  })
})

const domain = (
  name: string,
  agentId: number,
  devices: readonly [number, readonly [number, number][]][],
): DomainView =>
  ({
    name,
    agentId,
    devices: devices.map(([id, resources]) => ({
      node: `/passthrough/d${id}`,
      hostNode: `/soc/d${id}`,
      deviceIds: [id],
      resources: resources.map(([protocol, resource]) => ({
        protocol,
        id: resource,
        property: 'x',
        name: `r${resource}`,
      })),
    })),
  }) as unknown as DomainView

test('a list that shows another’s sensor is found out', () => {
  const held = [{ protocol: 0x15, id: 0 }]
  const descriptor = (sensor_id: number, name: string, type: number) => ({
    sensor_id,
    attributes_low: { extended: 1, trip_points: 0 },
    attributes_high: { type },
    name,
    min_range: 0,
  })
  const listed = (...entries: Record<string, unknown>[]) =>
    sent('03540000 00000000', '03540000 00000000', { entries })
  expect(listFault(listed(descriptor(0, 'gpu-temp', 2), descriptor(1, 'unused-s1', 0)), held)).toBeUndefined()
  expect(listFault(listed(descriptor(1, 'adc-in0', 0)), held)).toMatch(/adc-in0/)
  expect(listFault(listed(descriptor(1, 'unused-s1', 5)), held)).toMatch(/type/)
})

test('holdings: each resource once, with every device that names it, power first', () => {
  const a = heldBy(
    domain('a', 2, [
      [
        0,
        [
          [0x14, 3],
          [0x11, 2],
        ],
      ],
      [
        1,
        [
          [0x11, 2],
          [0x14, 1],
        ],
      ],
    ]),
  )
  const b = heldBy(
    domain('b', 3, [
      [
        3,
        [
          [0x11, 2],
          [0x14, 7],
        ],
      ],
    ]),
  )
  expect(a.map(titleOf)).toEqual(['power domain 2 (r2)', 'clock 1 (r1)', 'clock 3 (r3)'])
  expect(a[0]?.nodes).toEqual(['/soc/d0', '/soc/d1'])
  expect(inBoth(a, b).map(titleOf)).toEqual(['power domain 2 (r2)'])
  expect(without(b, a).map(titleOf)).toEqual(['clock 7 (r7)'])
})

test('permission commands: one missing and one too many are told', () => {
  const domains = [
    domain('a', 2, [
      [0, []],
      [5, []],
    ]),
  ]
  const grant = (deviceId: number, allow = true) => ({ agentId: 2, deviceId, allow })
  expect(permissionFaults(domains, [grant(5), grant(0)])).toEqual([])
  expect(permissionFaults(domains, [grant(0)])).toEqual([
    'the platform was never told: agent 2, device 5, allow',
  ])
  expect(permissionFaults(domains, [grant(0), grant(5), grant(0)])).toHaveLength(1)
  expect(permissionFaults(domains, [grant(0), grant(5), grant(7, false)])).toEqual([
    'the platform was told what is not in the plan: agent 2, device 7, deny',
  ])
})

test('counts that do not add up, or are not what the guest had answered, are told', () => {
  const guest = { name: 'a', agentId: 2, messages: 5, allowed: 3, denied: 1, errors: 1 }
  expect(countFaults([guest], new Map([['a', 5]]))).toEqual([])
  expect(countFaults([{ ...guest, errors: 0 }], new Map([['a', 5]]))).toHaveLength(1)
  expect(countFaults([guest], new Map([['a', 6]]))).toHaveLength(1)
})
