// src/permissions/rules.ts: the schema as tables. Expectations are the standard's tables, written down again.
import { describe, expect, test } from 'vitest'
import {
  ABSENT,
  CONTROL,
  commandLength,
  compileRules,
  HARMLESS,
  LISTS,
  LISTS_IDS,
  PRIVILEGED,
  RESOURCE,
  SELECTS,
  SUBSCRIBES,
  UNKNOWN_PROTOCOL,
  WHOLE,
  wellFormed,
} from '../../src/permissions/rules.ts'
import { newestVersion, protocols } from '../../src/scmi/protocols.ts'

const newest = compileRules(new Map(protocols.map(p => [p.id, newestVersion(p)])))
const oldest = compileRules(new Map(protocols.map(p => [p.id, p.versions[0]?.version ?? 0])))

/** message, payload bytes, frame word of the resource, flags; from the tables of DEN0056, newest version. */
test.each<[string, number, number, number, number]>([
  ['PROTOCOL_VERSION', 0x1400, 0, 0, 0],
  ['PROTOCOL_MESSAGE_ATTRIBUTES', 0x1402, 4, 0, 0],
  ['NEGOTIATE_PROTOCOL_VERSION', 0x1410, 4, 0, CONTROL],
  ['BASE_NOTIFY_ERRORS', 0x1008, 4, 0, CONTROL | SUBSCRIBES],
  ['BASE_SET_DEVICE_PERMISSIONS', 0x1009, 12, 0, CONTROL | PRIVILEGED],
  ['BASE_SET_PROTOCOL_PERMISSIONS', 0x100a, 16, 0, CONTROL | PRIVILEGED],
  ['BASE_RESET_AGENT_CONFIGURATION', 0x100b, 8, 0, CONTROL | PRIVILEGED],
  ['POWER_STATE_SET', 0x1104, 12, 2, CONTROL | HARMLESS],
  ['POWER_STATE_GET', 0x1105, 4, 1, 0],
  ['POWER_STATE_NOTIFY', 0x1106, 8, 1, CONTROL | SUBSCRIBES],
  ['SYSTEM_POWER_STATE_SET', 0x1203, 8, 0, CONTROL],
  ['SYSTEM_POWER_STATE_NOTIFY', 0x1205, 4, 0, CONTROL | SUBSCRIBES],
  ['PERFORMANCE_LIMITS_SET', 0x1305, 12, 1, CONTROL],
  ['PERFORMANCE_DESCRIBE_FASTCHANNEL', 0x130b, 8, 1, PRIVILEGED],
  ['CLOCK_RATE_SET', 0x1405, 16, 2, CONTROL],
  ['CLOCK_CONFIG_SET', 0x1407, 12, 1, CONTROL | HARMLESS],
  ['CLOCK_PARENT_SET', 0x140d, 8, 1, CONTROL],
  ['SENSOR_DESCRIPTION_GET', 0x1503, 4, 0, LISTS | LISTS_IDS],
  ['CLOCK_POSSIBLE_PARENTS_GET', 0x140c, 8, 1, LISTS_IDS],
  ['PINCTRL_LIST_ASSOCIATIONS', 0x1904, 12, 1, SELECTS | LISTS_IDS],
  ['SENSOR_READING_GET', 0x1506, 8, 1, 0],
  ['RESET', 0x1604, 12, 1, CONTROL],
  ['VOLTAGE_CONFIG_SET', 0x1705, 8, 1, CONTROL],
  ['VOLTAGE_LEVEL_SET', 0x1707, 12, 1, CONTROL],
  ['POWERCAP_CAP_SET', 0x1805, 12, 1, CONTROL],
  ['POWERCAP_MEASUREMENTS_NOTIFY', 0x180b, 16, 1, CONTROL | SUBSCRIBES],
  ['POWERCAP_DESCRIBE_FASTCHANNEL', 0x180c, 8, 1, PRIVILEGED],
  ['PINCTRL_ATTRIBUTES', 0x1903, 8, 1, SELECTS],
  ['PINCTRL_SETTINGS_CONFIGURE', 0x1906, 12, 1, CONTROL | SELECTS],
  ['PINCTRL_SET_PERMISSIONS', 0x190a, 12, 0, CONTROL | PRIVILEGED],
])('%s', (name, at, size, resource, flags) => {
  expect(newest.entries[at]?.name).toBe(name)
  expect(newest.size[at]).toBe(size)
  expect(newest.resource[at]).toBe(resource)
  expect(newest.flags[at]).toBe(flags)
  expect(newest.kind[at]).toBe(resource === 0 ? WHOLE : RESOURCE)
})

test('every message of the schema has an entry, and no other index has one', () => {
  const declared = new Set(protocols.flatMap(p => Object.values(p.messages).map(m => (p.id << 8) | m.id)))
  for (const [at, entry] of newest.entries.entries()) {
    expect(entry !== undefined).toBe(declared.has(at))
    const known = protocols.some(p => p.id === at >>> 8)
    if (entry === undefined) expect(newest.kind[at]).toBe(known ? ABSENT : UNKNOWN_PROTOCOL)
  }
})

test.each([
  [0x1906, 16, 0, 16, 'PINCTRL_SETTINGS_CONFIGURE without configurations'],
  [0x1906, 32, 0x8, 32, 'with two'],
  [0x1906, 16, 0x8, 32, 'with two that are not there'],
  [0x1906, 16, 0x7fd, 16 + 8 * 255, 'with 255 that are not there'],
  [0x1906, 12, 0x8, 16, 'too short to tell'],
  [0x1405, 20, 0x8, 20, 'CLOCK_RATE_SET has no entries'],
])('0x%s of %i bytes, attributes 0x%s, should have %i: %s', (at, length, attributes, expected) => {
  const ints = new Int32Array(1024)
  ints[3] = attributes
  expect(commandLength(newest, ints, at, length)).toBe(expected)
})

describe('versions', () => {
  test.each<[string, number, number, number]>([
    ['CLOCK_CONFIG_SET grew a word', 0x1407, 8, 12],
    ['VOLTAGE_LEVEL_SET stayed', 0x1707, 12, 12],
  ])('%s', (_name, at, before, now) => {
    expect([oldest.size[at], newest.size[at]]).toEqual([before, now])
  })

  test('messages of later versions are absent', () => {
    for (const at of [0x140b, 0x1410, 0x1009, 0x1108, 0x130b, 0x1607]) expect(oldest.kind[at]).toBe(ABSENT)
  })

  test('a protocol that is not presented does not exist', () => {
    const clockOnly = compileRules(new Map([[0x14, 0x3_0000]]))
    expect(clockOnly.kind[0x1100]).toBe(UNKNOWN_PROTOCOL)
    expect(clockOnly.kind[0x1400]).toBe(WHOLE)
  })

  test('a version newer than the schema is taken as the newest it knows', () => {
    const later = compileRules(new Map([[0x14, 0x7_0000]]))
    expect(later.size[0x1407]).toBe(12)
  })
})

describe('delayed responses', () => {
  test.each<[string, number, number, number]>([
    ['POWER_STATE_SET', 0x1104, 1, 1],
    ['CLOCK_RATE_SET', 0x1405, 1, 1],
    ['SENSOR_READING_GET', 0x1506, 2, 1],
    ['RESET', 0x1604, 2, 4],
    ['VOLTAGE_LEVEL_SET', 0x1707, 2, 1],
    ['CLOCK_RATE_GET: none', 0x1406, 0, 0],
  ])('%s', (_name, at, word, mask) =>
    expect([newest.asyncWord[at], newest.asyncMask[at]]).toEqual([word, mask]),
  )

  test('a flags word that has no such bit yet asks for none', () => {
    expect(oldest.asyncWord[0x1707]).toBe(0)
  })
})

describe('votes and views, words signed', () => {
  test.each([
    ['power', 0x1104, { word: 3, mask: -1, off: 0x4000_0000, on: 0, neutral: 0x4000_0000 }],
    ['clock', 0x1407, { word: 2, mask: 3, off: 0, on: 1, neutral: 3 }],
    ['voltage', 0x1705, { word: 2, mask: -1, off: 0, on: 7, neutral: 0 }],
  ])('%s', (_name, at, vote) => expect(newest.votes[at]).toEqual(vote))

  test.each([
    ['POWER_STATE_GET', 0x1105, { word: 2, mask: -1, on: 0, off: 0x4000_0000 }],
    ['CLOCK_ATTRIBUTES', 0x1403, { word: 2, mask: 1, on: 1, off: 0 }],
    ['CLOCK_CONFIG_GET', 0x140b, { word: 3, mask: 1, on: 1, off: 0 }],
    ['VOLTAGE_CONFIG_GET', 0x1706, { word: 2, mask: -1, on: 7, off: 0 }],
  ])('%s', (_name, at, view) => expect(newest.views[at]).toEqual(view))

  test('nothing else has them', () => {
    expect([...newest.votes.keys()].filter(at => newest.votes[at] !== undefined)).toEqual([
      0x1104, 0x1407, 0x1705,
    ])
    expect(newest.views.filter(view => view !== undefined)).toHaveLength(4)
  })
})

test.each<[string, number, number, number]>([
  ['a rate, always', 0x1405, 0, -1],
  ['a parent, always', 0x140d, 0, -1],
  ['an extended configuration, by its type', 0x1407, 2, 0xff_0000],
  ['a level, always', 0x1307, 0, -1],
  ['a reset, always', 0x1604, 0, -1],
  ['a voltage level, always', 0x1707, 0, -1],
  ['a power state, never', 0x1104, 0, 0],
])('exclusive: %s', (_name, at, word, mask) => {
  expect([newest.exclusiveWord[at], newest.exclusiveMask[at]]).toEqual([word, mask])
})

/** Words of the response: header, status, then fields. */
test.each<[string, number, number[], number[]]>([
  ['power: the statistics area', 0x1101, [3, -1, 4, -1, 5, -1], []],
  ['performance: the statistics area', 0x1301, [3, -1, 4, -1, 5, -1], []],
  ['sensor: the register area; the count of delayed readings', 0x1501, [3, -1, 4, -1, 5, -1], [2, 0xff_0000]],
  ['performance: a fast channel of a message', 0x1302, [2, 1], []],
  ['performance: a fast channel of a domain; notifications', 0x1303, [2, 1 << 27], [2, 0x3000_0000]],
  ['clock: the count of delayed rates', 0x1401, [], [2, 0xff_0000]],
  ['clock: notifications', 0x1403, [], [2, 0xc000_0000 | 0]],
  ['power: notifications and asynchronous states', 0x1103, [], [2, 0xd000_0000 | 0]],
  ['reset: notifications and asynchronous resets', 0x1603, [], [2, 0xc000_0000 | 0]],
  ['voltage: asynchronous levels', 0x1703, [], [2, 0x8000_0000 | 0]],
])('hidden of %s', (_name, at, always, withoutWayBack) => {
  expect([...(newest.hide[at] ?? [])]).toEqual(always)
  expect([...(newest.hideP2A[at] ?? [])]).toEqual(withoutWayBack)
})

describe('wellFormed', () => {
  test.each<[string, number, number[], boolean]>([
    ['CLOCK_CONFIG_SET enable', 0x1407, [7, 1, 0], true],
    ['CLOCK_CONFIG_SET bit 31', 0x1407, [7, 0x8000_0001, 0], false],
    ['CLOCK_CONFIG_SET unchanged, without a type', 0x1407, [7, 3, 0], false],
    ['CLOCK_CONFIG_SET unchanged, with a type', 0x1407, [7, 0x80_0003, 0], true],
    ['POWER_STATE_SET OFF', 0x1104, [0, 2, 0x4000_0000], true],
    ['POWER_STATE_SET bit 31', 0x1104, [0, 2, 0x8000_0000], false],
    ['RESET, a state of the implementation', 0x1604, [5, 1, 0x8000_0001], true],
    ['RESET, an architectural state that is not 0', 0x1604, [5, 1, 0xff], false],
    ['VOLTAGE_CONFIG_SET, a mode', 0x1705, [1, 8], true],
    ['VOLTAGE_CONFIG_SET, reserved', 0x1705, [1, 6], false],
    ['VOLTAGE_CONFIG_SET, bit 31', 0x1705, [1, 0x8000_0007], false],
    ['SYSTEM_POWER_STATE_SET, the vendor’s', 0x1203, [0, 0xffff_ffff], true],
    ['SYSTEM_POWER_STATE_SET, reserved', 0x1203, [0, 5], false],
    ['a message without restricted words', 0x1406, [0xffff_ffff], true],
  ])('%s', (_name, at, payload, expected) => {
    expect(wellFormed(newest.checks[at], Int32Array.from([0, ...payload]))).toBe(expected)
  })
})
