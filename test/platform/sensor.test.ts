// src/platform/sensor.ts and sensor-state.ts: descriptors, readings, trip points, intervals.
import { describe, expect, test } from 'vitest'
import {
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  OUT_OF_RANGE,
  PROTOCOL_ERROR,
  SUCCESS,
} from '../../src/scmi/status.ts'
import { hex, name16, name64, platformOf } from './ask.ts'

const long = 'a-sensor-with-a-long-name'
const sensor = (more = '') =>
  platformOf(`
vendor: test
${more}
agents:
  - { id: 1, name: one, permissions: allow, trusted: true }
  - { id: 2, name: two, permissions: allow }
sensor:
  sensors:
    - { id: 0, name: temp, type: 2, exponent: -3, value: -1500, min: -40000, max: 125000, resolution: 100, power: 7, tripPoints: 2 }
    - { id: 1, name: ${long}, type: 5, continuousUpdate: true, value: 9007199254740991, intervals: [{ seconds: 1, exponent: -3 }, { seconds: 1 }, { seconds: 1, exponent: 1 }] }
    - { id: 2, name: ranged, type: 6, intervals: { min: { seconds: 1, exponent: -2 }, max: { seconds: 5 }, step: { seconds: 1, exponent: -2 } }, enabled: false }
`)

describe('descriptors', () => {
  test('version 1: 28 bytes', () => {
    const asked = sensor("release: '2.0'")
    expect(asked.words(0, 0x15, 1)).toEqual([3, 0, 0, 0])
    const high = 2 | (29 << 11)
    expect(asked.ask(0, 0x15, 3, 0)).toBe(
      hex(0, 3, 0, 2, high) + name16('temp') + hex(1, 0, 5) + name16(long) + hex(2, 0, 6) + name16('ranged'),
    )
  })

  test('from version 2 on: 52 bytes with bit 8, two to a message of 128', () => {
    const asked = sensor()
    const high = 2 | (29 << 11)
    expect(asked.ask(0, 0x15, 3, 0)).toBe(
      hex(0, (1 << 16) | 2) +
        hex(0, 0x102, high) +
        name16('temp') +
        hex(7, 100 | (29 << 27), -40_000, -1, 125_000, 0) +
        hex(1, 0x6000_0100, 5) +
        name16(long) +
        hex(0, 1, 0, 0, 0, 0),
    )
    expect(asked.words(0, 0x15, 3, 2)[0]).toBe(1)
    expect(asked.ask(0, 0x15, 0xc, 1)).toBe(hex(0, 0) + name64(long))
  })

  test('the extended name came with version 3', () => {
    expect(sensor("release: '3.0'").words(0, 0x15, 3, 1)[2]).toBe(0x4000_0100)
    expect(sensor("release: '3.0'").status(0, 0x15, 0xc, 1)).toBe(NOT_FOUND)
  })
})

describe('readings', () => {
  test.each([
    ["release: '2.0'", 0, hex(0, -1500, -1)],
    ["release: '3.2'", 0, hex(0, -1500, -1, 0, 0)],
    ["release: '3.2'", 1, hex(0, 0xffff_ffff, 0x1f_ffff, 0, 0)],
  ])('%s, sensor %i', (release, id, answer) => {
    expect(sensor(release).ask(0, 0x15, 6, id, 0)).toBe(answer)
  })

  test.each([0, 1, -1, 0x7fff_ffff, 0x8000_0000, -0x8000_0001, -(2 ** 53) + 1])('%d as two words', value => {
    const asked = sensor("release: '2.0'")
    asked.platform.sensors.setReading(0, value)
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(value))
    expect(asked.ask(1, 0x15, 6, 0, 0)).toBe(hex(0) + bytes.toString('hex'))
  })

  test('a disabled sensor has none', () => {
    const asked = sensor()
    expect(asked.status(0, 0x15, 6, 2, 0)).toBe(PROTOCOL_ERROR)
    expect(asked.status(0, 0x15, 0xa, 2, 1)).toBe(SUCCESS)
    expect(asked.status(1, 0x15, 6, 2, 0)).toBe(SUCCESS)
  })
})

describe('trip points', () => {
  const RISING = 1
  const FALLING = 2
  test.each([
    [RISING, 1000, 2000, [0x1_0001]],
    [RISING, 2000, 1000, []],
    [FALLING, 2000, 1000, [0x0001]],
    [FALLING, 1000, 2000, []],
    [RISING | FALLING, 1000, 2000, [0x1_0001]],
    [RISING | FALLING, 2000, 1000, [0x0001]],
    [RISING, 1000, 1500, [0x1_0001]],
    [RISING, 1500, 2000, []],
    [0, 1000, 2000, []],
  ])('event %i, from %i to %i past 1500', (event, before, after, told) => {
    const asked = sensor()
    asked.ask(1, 0x15, 4, 0, 1)
    expect(asked.status(0, 0x15, 5, 0, event | (1 << 4), 1500, 0)).toBe(SUCCESS)
    asked.platform.sensors.setReading(0, before)
    asked.ask(0, 0x10, 0)
    asked.takeEvents()
    asked.platform.sensors.setReading(0, after)
    asked.ask(0, 0x10, 0)
    expect(asked.takeEvents()).toEqual(told.map(desc => ({ channel: 1, frame: hex(0x5700, 0, 0, desc) })))
  })

  test('have signed values of 64 bits', () => {
    const asked = sensor()
    asked.ask(1, 0x15, 4, 0, 1)
    asked.ask(0, 0x15, 5, 0, RISING, -1000, -1)
    asked.platform.sensors.setReading(0, -999)
    asked.ask(0, 0x10, 0)
    expect(asked.takeEvents().length).toBe(1)
  })
})

test('continuous updates go to subscribers of an enabled sensor', () => {
  const asked = sensor()
  expect(asked.status(1, 0x15, 0xb, 1, 1)).toBe(SUCCESS)
  asked.platform.sensors.setReading(1, -2)
  asked.ask(0, 0x10, 0)
  expect(asked.takeEvents()).toEqual([{ channel: 1, frame: hex(0x5701, 0, 1, -2, -1, 0, 0) }])
  asked.ask(0, 0x15, 0xa, 1, 0)
  asked.platform.sensors.setReading(1, 5)
  asked.ask(0, 0x10, 0)
  expect(asked.takeEvents()).toEqual([])
})

describe('update intervals', () => {
  const packed = (seconds: number, exponent: number) => (seconds << 5) | (exponent & 31)
  const config = (seconds: number, exponent: number, rounding = 0) =>
    ((seconds << 16) | ((exponent & 31) << 11) | (rounding << 9) | 1) >>> 0

  test('are listed, or told as a range', () => {
    const asked = sensor()
    expect(asked.words(0, 0x15, 8, 1, 0)).toEqual([3, packed(1, -3), packed(1, 0), packed(1, 1)])
    expect(asked.words(0, 0x15, 8, 1, 2)).toEqual([1, packed(1, 1)])
    expect(asked.words(0, 0x15, 8, 2, 0)).toEqual([0x1003, packed(1, -2), packed(5, 0), packed(1, -2)])
    expect(asked.words(0, 0x15, 8, 0, 0), 'none').toEqual([0])
    expect(asked.status(0, 0x15, 8, 0, 1)).toBe(OUT_OF_RANGE)
    expect(asked.status(0, 0x15, 8, 2, 1)).toBe(OUT_OF_RANGE)
  })

  test.each([
    [1, config(1, 0), SUCCESS, config(1, 0), 'described'],
    [1, config(1000, -3), SUCCESS, config(1, 0), 'the same duration'],
    [1, config(4, 0, 0), SUCCESS, config(1, 0), 'down'],
    [1, config(4, 0, 1), SUCCESS, config(1, 1), 'up'],
    [1, config(4, 0, 2), SUCCESS, config(1, 0), 'nearest'],
    [1, config(6, 0, 3), SUCCESS, config(1, 1), 'nearest'],
    [1, config(11, 0), INVALID_PARAMETERS, config(1, -3), 'beyond the longest'],
    [1, config(1, -4, 1), INVALID_PARAMETERS, config(1, -3), 'below the shortest'],
    [1, 1, SUCCESS, config(1, -3), 'none named: Linux enables a sensor so'],
    [2, config(25, -1), SUCCESS, config(25, -1), 'any within a range'],
    [2, config(6, 0), INVALID_PARAMETERS, config(1, -2) - 1, 'beyond a range'],
    [0, config(1, 0), NOT_SUPPORTED, 1, 'a sensor without'],
  ])('sensor %i set to 0x%s gives %i', (id, word, status, after) => {
    const asked = sensor()
    expect(asked.status(0, 0x15, 0xa, id, word)).toBe(status)
    expect(asked.words(1, 0x15, 9, id)).toEqual([after])
  })
})

describe('sensors with axes', () => {
  const axed = (more = '', options = '') =>
    platformOf(`
vendor: test
${more}
agents:
  - { id: 1, name: one, permissions: allow, trusted: true }
sensor:
  sensors:
    - { id: 0, name: temp, type: 2, value: 21 }
    - id: 1
      name: accelerometer
      type: 89
      power: 2200
      ${options}
      axes:
        - { name: x, type: 89, exponent: -6, value: -981, min: -20000, max: 20000, resolution: 4 }
        - { name: y-of-the-accelerometer, type: 88, value: 17 }
        - { name: z-of-the-accelerometer, type: 89, value: 9007199254740991, max: 9007199254740991 }
    - { id: 2, name: other, type: 5, value: 3300 }
`)
  const readings = hex(-981, -1, 0, 0) + hex(17, 0, 0, 0) + hex(0xffff_ffff, 0x1f_ffff, 0, 0)

  test('the descriptor counts them, and ends behind the power; the next one follows at once', () => {
    const asked = axed()
    expect(asked.ask(0, 0x15, 3, 0)).toBe(
      hex(0, (1 << 16) | 2, 0, 0x100, 2) +
        name16('temp') +
        hex(0, 1, 0, 0, 0, 0) +
        hex(1, 0x100, 89 | 0x100 | (3 << 16)) +
        name16('accelerometer') +
        hex(2200),
    )
    expect(asked.words(0, 0x15, 3, 1).slice(0, 4)).toEqual([2, 1, 0x100, 89 | 0x100 | (3 << 16)])
    expect(asked.words(0, 0x15, 3, 1)[9], 'words behind the 32 bytes').toBe(2)
  })

  test('described two to a message of 128 bytes', () => {
    const asked = axed()
    expect(asked.ask(0, 0x15, 7, 1, 0)).toBe(
      hex(0, ((1 << 26) | 2) >>> 0) +
        hex(0, 0x100, 89 | (26 << 11)) +
        name16('x') +
        hex(4 | (26 << 27), -20_000, -1, 20_000, 0) +
        hex(1, 0x300, 88) +
        name16('y-of-the-accelerometer') +
        hex(1, 0, 0, 0, 0),
    )
    expect(asked.ask(0, 0x15, 7, 1, 2)).toBe(
      hex(0, 1, 2, 0x300, 89) + name16('z-of-the-accelerometer') + hex(1, 0, 0, 0xffff_ffff, 0x1f_ffff),
    )
    expect(asked.status(0, 0x15, 7, 1, 3)).toBe(OUT_OF_RANGE)
    expect(asked.status(0, 0x15, 7, 0, 0), 'a single value').toBe(NOT_SUPPORTED)
    expect(asked.status(0, 0x15, 7, 3, 0)).toBe(NOT_FOUND)
  })

  test('names are told of those that are too long for it', () => {
    const asked = axed()
    const [y, z] = [name64('y-of-the-accelerometer'), name64('z-of-the-accelerometer')]
    expect(asked.ask(0, 0x15, 0xd, 1, 0)).toBe(hex(0, (1 << 26) | 1, 1) + y)
    expect(asked.ask(0, 0x15, 0xd, 1, 1)).toBe(hex(0, 1, 2) + z)
    expect(asked.status(0, 0x15, 0xd, 1, 2)).toBe(OUT_OF_RANGE)
    expect(asked.status(0, 0x15, 0xd, 0, 0)).toBe(NOT_SUPPORTED)
    expect(asked.status(0, 0x15, 2, 0xd)).toBe(SUCCESS)
    expect(sensor().status(0, 0x15, 2, 0xd), 'where there are none').toBe(NOT_FOUND)
  })

  test('version 2 has no names of axes, version 1 no axes', () => {
    const second = axed("release: '3.0'")
    expect(second.words(0, 0x15, 7, 1, 1)[2]).toBe(0x100)
    expect(second.status(0, 0x15, 0xd, 1, 0)).toBe(NOT_FOUND)
    const first = axed("release: '2.0'")
    expect(first.ask(0, 0x15, 3, 1)).toBe(
      hex(0, 2, 1, 0, 89) + name16('accelerometer') + hex(2, 0, 5) + name16('other'),
    )
    expect(first.ask(0, 0x15, 6, 1, 0)).toBe(hex(0, -981, -1))
    expect(first.status(0, 0x15, 7, 1, 0)).toBe(NOT_FOUND)
  })

  test('a reading is one value of each; others keep theirs', () => {
    const asked = axed()
    expect(asked.ask(0, 0x15, 6, 1, 0)).toBe(hex(0) + readings)
    asked.platform.sensors.setReading(1, -5, 1)
    expect(asked.words(0, 0x15, 6, 1, 0)[4]).toBe(2 ** 32 - 5)
    expect(asked.words(0, 0x15, 6, 0, 0)[0]).toBe(21)
    expect(asked.words(0, 0x15, 6, 2, 0)[0]).toBe(3300)
  })

  test('so are those that come later, and updates', () => {
    const asked = axed('', 'async: { messages: 1 }\n      continuousUpdate: true')
    expect(asked.ask(0, 0x15, 6, 1, 1)).toBe(hex(0))
    asked.ask(0, 0x10, 0)
    const command = 0x6 | (0x15 << 10) | (0x155 << 18)
    expect(asked.takeEvents()).toEqual([{ channel: 0, frame: hex(command | (2 << 8), 0, 1) + readings }])
    expect(asked.status(0, 0x15, 0xb, 1, 1)).toBe(SUCCESS)
    asked.platform.sensors.setReading(1, -981)
    asked.ask(0, 0x10, 0)
    expect(asked.takeEvents()).toEqual([{ channel: 0, frame: hex(0x5701, 0, 1) + readings }])
  })
})
