// src/mediator/placeholders.ts: what a guest is told of resources it does not own, byte for byte, through the relay.
import { afterAll, describe, expect, test } from 'vitest'
import { Placeholders, writeDecimal } from '../../src/mediator/placeholders.ts'
import { compileRules } from '../../src/permissions/rules.ts'
import { newestVersion, protocols } from '../../src/scmi/protocols.ts'
import { Transfer } from '../../src/transfer.ts'
import { Machine } from './machine.ts'

const NOT_SUPPORTED = -1
const INVALID = -2
const DENIED = -3
const NOT_FOUND = -4
const OUT_OF_RANGE = -5

/** A name of at most 15 characters, as four words. */
const name16 = (text: string): number[] => {
  const bytes = Buffer.alloc(16)
  bytes.write(text)
  return [0, 4, 8, 12].map(at => bytes.readUInt32LE(at))
}
const noName = [0, 0, 0, 0]

const machine = new Machine()
// sdhi0 and the gpu: something of every protocol. The foreign resources below are others' or the host's.
const guest = machine.guest([2, 5])
afterAll(() => machine.stop())

/** Message, payload, status and the words after it; semantics as decided for `identity` discovery. */
const rows: readonly (readonly [name: string, message: number, payload: number[], expected: number[]])[] = [
  ['CLOCK_ATTRIBUTES: an empty name, which Linux skips', 0x1403, [7], [0, 0, ...noName, 0]],
  ['CLOCK_DESCRIBE_RATES: one rate of 0', 0x1404, [7, 0], [0, 1, 0, 0]],
  ['CLOCK_DESCRIBE_RATES past its end', 0x1404, [7, 1], [OUT_OF_RANGE]],
  ['CLOCK_DESCRIBE_RATES far past its end', 0x1404, [7, 0xffff_ffff], [OUT_OF_RANGE]],
  ['CLOCK_RATE_SET', 0x1405, [0, 7, 100, 0], [DENIED]],
  ['CLOCK_RATE_SET with a reserved flag', 0x1405, [0x10, 7, 100, 0], [INVALID]],
  ['CLOCK_RATE_GET', 0x1406, [7], [0, 0, 0]],
  ['CLOCK_CONFIG_SET enable', 0x1407, [7, 1, 0], [DENIED]],
  ['CLOCK_CONFIG_SET disable: SUCCESS, nothing done', 0x1407, [7, 0, 0], [0]],
  ['CLOCK_CONFIG_SET disable with a duty cycle', 0x1407, [7, 0x1_0000, 50], [DENIED]],
  ['CLOCK_CONFIG_SET reserved value', 0x1407, [7, 2, 0], [INVALID]],
  ['CLOCK_NAME_GET', 0x1408, [7], [NOT_SUPPORTED]],
  ['CLOCK_RATE_NOTIFY', 0x1409, [7, 1], [NOT_SUPPORTED]],
  ['CLOCK_RATE_NOTIFY with a bad flag', 0x1409, [7, 2], [INVALID]],
  ['CLOCK_RATE_CHANGE_REQUESTED_NOTIFY', 0x140a, [7, 1], [NOT_SUPPORTED]],
  ['CLOCK_CONFIG_GET: disabled', 0x140b, [7, 0], [0, 0, 0, 0]],
  ['CLOCK_CONFIG_GET with a reserved flag', 0x140b, [7, 0x100], [INVALID]],
  ['CLOCK_POSSIBLE_PARENTS_GET: none', 0x140c, [7, 0], [0, 0]],
  ['CLOCK_POSSIBLE_PARENTS_GET past its end', 0x140c, [7, 1], [OUT_OF_RANGE]],
  ['CLOCK_PARENT_SET', 0x140d, [7, 3], [DENIED]],
  ['CLOCK_PARENT_GET', 0x140e, [7], [NOT_SUPPORTED]],
  ['CLOCK_GET_PERMISSIONS: none', 0x140f, [7], [0, 0]],

  [
    'POWER_DOMAIN_ATTRIBUTES: can be set, a name of its own',
    0x1103,
    [3],
    [0, 1 << 29, ...name16('unused-p3')],
  ],
  ['POWER_STATE_SET OFF: SUCCESS, nothing done', 0x1104, [0, 3, 0x4000_0000], [0]],
  ['POWER_STATE_SET ON', 0x1104, [0, 3, 0], [DENIED]],
  ['POWER_STATE_SET another state', 0x1104, [0, 3, 0x4000_0001], [DENIED]],
  ['POWER_STATE_SET with a reserved flag', 0x1104, [2, 3, 0x4000_0000], [INVALID]],
  ['POWER_STATE_SET with a reserved state bit', 0x1104, [0, 3, 0x2000_0000], [INVALID]],
  ['POWER_STATE_GET: OFF', 0x1105, [3], [0, 0x4000_0000]],
  ['POWER_STATE_NOTIFY', 0x1106, [3, 1], [NOT_SUPPORTED]],
  ['POWER_STATE_NOTIFY with a bad flag', 0x1106, [3, 0x8000_0001], [INVALID]],
  ['POWER_STATE_CHANGE_REQUESTED_NOTIFY', 0x1107, [3, 1], [NOT_SUPPORTED]],
  ['POWER_DOMAIN_NAME_GET', 0x1108, [3], [NOT_SUPPORTED]],

  ['PERFORMANCE_DOMAIN_ATTRIBUTES', 0x1303, [1], [0, 0, 0, 0, 0, ...name16('unused-f1')]],
  ['PERFORMANCE_DESCRIBE_LEVELS: none', 0x1304, [1, 0], [0, 0]],
  ['PERFORMANCE_DESCRIBE_LEVELS past its end', 0x1304, [1, 1], [INVALID]],
  ['PERFORMANCE_LIMITS_SET', 0x1305, [1, 500, 500], [DENIED]],
  ['PERFORMANCE_LIMITS_GET', 0x1306, [1], [0, 0, 0]],
  ['PERFORMANCE_LEVEL_SET', 0x1307, [1, 500], [DENIED]],
  ['PERFORMANCE_LEVEL_GET', 0x1308, [1], [0, 0]],
  ['PERFORMANCE_NOTIFY_LIMITS', 0x1309, [1, 1], [NOT_SUPPORTED]],
  ['PERFORMANCE_NOTIFY_LIMITS with a bad flag', 0x1309, [1, 4], [INVALID]],
  ['PERFORMANCE_NOTIFY_LEVEL', 0x130a, [1, 1], [NOT_SUPPORTED]],
  ['PERFORMANCE_DESCRIBE_FASTCHANNEL', 0x130b, [1, 5], [NOT_SUPPORTED]],
  ['PERFORMANCE_DOMAIN_NAME_GET', 0x130c, [1], [NOT_SUPPORTED]],

  ['SENSOR_TRIP_POINT_NOTIFY', 0x1504, [2, 1], [NOT_SUPPORTED]],
  ['SENSOR_TRIP_POINT_CONFIG', 0x1505, [2, 1, 0, 0], [DENIED]],
  ['SENSOR_TRIP_POINT_CONFIG with reserved bits', 0x1505, [2, 0x1001, 0, 0], [INVALID]],
  ['SENSOR_READING_GET: 0, at no time', 0x1506, [2, 0], [0, 0, 0, 0, 0]],
  ['SENSOR_READING_GET asynchronously', 0x1506, [2, 1], [NOT_SUPPORTED]],
  ['SENSOR_READING_GET with a reserved flag', 0x1506, [2, 2], [INVALID]],
  ['SENSOR_AXIS_DESCRIPTION_GET', 0x1507, [2, 0], [NOT_SUPPORTED]],
  ['SENSOR_LIST_UPDATE_INTERVALS: none', 0x1508, [2, 0], [0, 0]],
  ['SENSOR_LIST_UPDATE_INTERVALS past its end', 0x1508, [2, 1], [OUT_OF_RANGE]],
  ['SENSOR_CONFIG_GET', 0x1509, [2], [0, 0]],
  ['SENSOR_CONFIG_SET', 0x150a, [2, 1], [DENIED]],
  ['SENSOR_CONFIG_SET with reserved bits', 0x150a, [2, 5], [INVALID]],
  ['SENSOR_CONTINUOUS_UPDATE_NOTIFY', 0x150b, [2, 1], [NOT_SUPPORTED]],
  ['SENSOR_NAME_GET', 0x150c, [2], [NOT_SUPPORTED]],
  ['SENSOR_AXIS_NAME_GET', 0x150d, [2, 0], [NOT_SUPPORTED]],

  ['RESET_DOMAIN_ATTRIBUTES', 0x1603, [4], [0, 0, 0, ...name16('unused-r4')]],
  ['RESET', 0x1604, [4, 1, 0], [DENIED]],
  ['RESET with a reserved flag', 0x1604, [4, 8, 0], [INVALID]],
  ['RESET with an architectural state that is not 0', 0x1604, [4, 1, 0xff], [INVALID]],
  ['RESET_NOTIFY', 0x1605, [4, 1], [NOT_SUPPORTED]],
  ['RESET_DOMAIN_NAME_GET', 0x1606, [4], [NOT_SUPPORTED]],

  ['VOLTAGE_DOMAIN_ATTRIBUTES', 0x1703, [3], [0, 0, ...name16('unused-v3')]],
  ['VOLTAGE_DESCRIBE_LEVELS: one of 0 µV', 0x1704, [3, 0], [0, 1, 0]],
  ['VOLTAGE_DESCRIBE_LEVELS past its end', 0x1704, [3, 1], [OUT_OF_RANGE]],
  ['VOLTAGE_CONFIG_SET ON', 0x1705, [3, 7], [DENIED]],
  ['VOLTAGE_CONFIG_SET OFF', 0x1705, [3, 0], [DENIED]],
  ['VOLTAGE_CONFIG_SET reserved value', 0x1705, [3, 1], [INVALID]],
  ['VOLTAGE_CONFIG_GET: OFF', 0x1706, [3], [0, 0]],
  ['VOLTAGE_LEVEL_SET', 0x1707, [3, 0, 900000], [DENIED]],
  ['VOLTAGE_LEVEL_SET with a reserved flag', 0x1707, [3, 2, 900000], [INVALID]],
  ['VOLTAGE_LEVEL_GET', 0x1708, [3], [0, 0]],
  ['VOLTAGE_DOMAIN_NAME_GET', 0x1709, [3], [NOT_SUPPORTED]],
]

describe('what is not owned', () => {
  test.each(rows)('%s', (_name, message, payload, expected) => {
    machine.takeTapped()
    expect(guest.words(message, ...payload)).toEqual(expected)
    expect(machine.takeTapped()).toEqual([]) // the firmware hears of none of it
    expect(guest.faults).toEqual([])
  })

  test('the table has every message that names a resource, but of what is denied whole', () => {
    const inTable = new Set(rows.map(([, message]) => message))
    const all = protocols.flatMap(p =>
      Object.entries(p.messages).flatMap(([name, m]) =>
        m.resource === undefined || p.id >= 0x18 ? [] : [[(p.id << 8) | m.id, name]],
      ),
    )
    expect(all.filter(([at]) => !inTable.has(at as number))).toEqual([])
  })
})

/** Nothing of these can be granted yet, so the filter asks for no placeholder; those of pin control are ready. */
describe('pin control and power capping', () => {
  const rules = compileRules(new Map(protocols.map(p => [p.id, newestVersion(p)])))
  const placeholders = new Placeholders(rules)
  const answer = (message: number, ...payload: number[]): number[] => {
    const transfer = new Transfer(new ArrayBuffer(128), 0, 128)
    for (const [i, word] of payload.entries()) transfer.words[1 + i] = word
    transfer.header = message
    transfer.resource = payload[0] as number
    const status = placeholders.answer(transfer, message)
    expect(transfer.ints[1]).toBe(status)
    return [status, ...transfer.words.subarray(2, transfer.length / 4)]
  }
  test.each<[string, number, number[], number[]]>([
    ['PINCTRL_ATTRIBUTES: no members', 0x1903, [12, 1], [0, 0, ...name16('unused-12')]],
    ['PINCTRL_LIST_ASSOCIATIONS: none', 0x1904, [3, 1, 0], [0, 0]],
    ['PINCTRL_LIST_ASSOCIATIONS past its end', 0x1904, [3, 1, 1], [OUT_OF_RANGE]],
    ['PINCTRL_SETTINGS_GET: no function, no configurations', 0x1905, [3, 0], [0, 0xffff_ffff, 0]],
    ['PINCTRL_NAME_GET', 0x1909, [3, 0], [NOT_SUPPORTED]],
    ['POWERCAP_DOMAIN_ATTRIBUTES', 0x1803, [3], [NOT_SUPPORTED]],
    ['POWERCAP_CAP_GET', 0x1804, [3], [NOT_SUPPORTED]],
    ['POWERCAP_PAI_GET', 0x1806, [3], [NOT_SUPPORTED]],
    ['POWERCAP_MEASUREMENTS_GET', 0x1809, [3], [NOT_SUPPORTED]],
    ['POWERCAP_CAP_NOTIFY', 0x180a, [3, 1], [NOT_SUPPORTED]],
  ])('%s', (_name, message, payload, expected) => expect(answer(message, ...payload)).toEqual(expected))

  test('what controls has none: DENIED', () => {
    for (const at of [0x1805, 0x1807, 0x1906, 0x1907, 0x1908])
      expect(rules.entries[at]?.message.placeholder).toBe('denied')
  })
})

/** The first payload word that names a resource in each row, put beyond the count. */
describe('what does not exist is NOT_FOUND in every message', () => {
  const second = new Set([0x1104, 0x1405])
  test.each(
    [...new Map(rows.map(row => [row[1], row])).values()].flatMap(([name, message, payload]) =>
      [40, 0x1_0000, 0xffff_ffff].map(id => [name.split(':')[0], message, payload, id] as const),
    ),
  )('%s', (_name, message, payload, id) => {
    const asked = [...payload]
    asked[second.has(message) ? 1 : 0] = id
    expect(guest.words(message, ...asked)).toEqual([NOT_FOUND])
  })
})

describe('older versions have their own forms', () => {
  const old = new Machine({
    versions: [
      [0x14, 0x1_0000],
      [0x15, 0x1_0000],
    ],
  })
  const asker = old.guest([2, 5])
  afterAll(() => old.stop())
  test.each<[string, number, number[], number[]]>([
    ['CLOCK_ATTRIBUTES 1.0 has no delay', 0x1403, [7], [0, 0, ...noName]],
    ['CLOCK_CONFIG_SET 1.0 disable', 0x1407, [7, 0], [0]],
    ['CLOCK_CONFIG_SET 1.0 with a bit of 3.0', 0x1407, [7, 0x1_0000], [INVALID]],
    ['CLOCK_CONFIG_GET 1.0 is not there', 0x140b, [7, 0], [NOT_FOUND]],
    ['SENSOR_READING_GET 1.0 has no time', 0x1506, [2, 0], [0, 0, 0]],
    ['SENSOR_CONFIG_GET 1.0 is not there', 0x1509, [2], [NOT_FOUND]],
  ])('%s', (_name, message, payload, expected) => expect(asker.words(message, ...payload)).toEqual(expected))
})

test.each([
  [0, '0'],
  [7, '7'],
  [10, '10'],
  [99, '99'],
  [100, '100'],
  [65535, '65535'],
  [999_999, '999999'],
])('writeDecimal writes %i', (value, expected) => {
  const bytes = new Uint8Array(12).fill(0x2e)
  writeDecimal(bytes, 2, value)
  expect(Buffer.from(bytes).toString()).toBe(`..${expected}${'.'.repeat(10 - expected.length)}`)
})
