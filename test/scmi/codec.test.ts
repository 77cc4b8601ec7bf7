// What encoding refuses and decoding disbelieves. That both are right is for the golden frames.
import { describe, expect, test } from 'vitest'
import type { Values } from '../../src/scmi/body.ts'
import {
  decodeCommand,
  decodeDelayedResponse,
  decodeNotification,
  decodeResponse,
  encodeCommand,
  encodeDelayedResponse,
  encodeNotification,
  encodeResponse,
} from '../../src/scmi/codec.ts'
import { COMMS_ERROR, DENIED } from '../../src/scmi/status.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex')
const v1 = 0x1_0000
const v2 = 0x2_0000
const v3 = 0x3_0000

describe('a command is refused', () => {
  test.each([
    ['CLOCK_RATE', 'protocol 0x14 has no message CLOCK_RATE', 'an unknown name'],
    ['constructor', 'protocol 0x14 has no message constructor', 'a name every object has'],
    [0x11, 'protocol 0x14 has no message 17', 'an unknown id'],
  ])('%s: %s (%s)', (message, text, _why: string) => {
    expect(() => encodeCommand(0x14, message, v1, {})).toThrow(new RangeError(text))
  })

  const rateSet = { flags: { async: 0 }, clock_id: 7, rate: 1 }
  test.each<[Values, string, string]>([
    [{ id: 1 }, ' has no field id', 'a field too many'],
    [{ valueOf: 1 }, ' has no field valueOf', 'a name every object has'],
    [{ clock_id: -1 }, '.clock_id: -1 is not a uint32', 'negative'],
    [{ clock_id: 2 ** 32 }, '.clock_id: 4294967296 is not a uint32', 'too large'],
    [{ clock_id: 1.5 }, '.clock_id: 1.5 is not a uint32', 'a fraction'],
    [{ clock_id: '1 ' }, '.clock_id: "1 " is not a uint32', 'text that is no number'],
    [{ clock_id: null }, '.clock_id: null is not a uint32', 'nothing'],
    [{ clock_id: {} }, '.clock_id: {} is not a uint32', 'an object'],
    [{ rate: '18446744073709551616' }, '.rate: "18446744073709551616" is not a uint64', '65 bits'],
    [{ flags: { sync: 1 } }, '.flags has no sync', 'an unknown flag'],
    [{ flags: { toString: 1 } }, '.flags has no toString', 'a name every object has'],
    [{ flags: { async: 2 } }, '.flags.async: 2 does not fit', 'more than its bits hold'],
    [{ flags: { async: true } }, '.flags: {"async":true} is not a bits', 'no number'],
    [{ flags: null }, '.flags: null is not a bits', 'nothing'],
  ])('CLOCK_RATE_SET with %j: %s (%s)', (change, text, _why) => {
    const value = { ...rateSet, ...change }
    expect(() => encodeCommand(0x14, 'CLOCK_RATE_SET', v1, value)).toThrow(
      new RangeError(`CLOCK_RATE_SET${text}`),
    )
  })

  test('when a field is left out', () => {
    const { rate: _, ...value } = rateSet
    expect(() => encodeCommand(0x14, 'CLOCK_RATE_SET', v1, value)).toThrow('CLOCK_RATE_SET lacks rate')
  })

  test('of a protocol that nobody has', () => {
    expect(() => encodeCommand(0x80, 'X', v1)).toThrow('protocol 0x80 has no message X')
  })
})

describe('a command', () => {
  test.each([
    [{ flags: 0xf0, clock_id: 1, rate: 2 }, 'f0000000', 'a number sets a word whole, reserved bits too'],
    [{ flags: { round_up: 1 }, clock_id: 1, rate: 2 }, '04000000', 'ranges left out are zero'],
    [{ flags: {}, clock_id: '0x1', rate: '2' }, '00000000', 'numbers may be text'],
  ] as readonly (readonly [Values, string, string])[])(
    '%j has flags %s: %s',
    (value, flags, _why: string) => {
      expect(hex(encodeCommand(0x14, 'CLOCK_RATE_SET', v1, value, 3))).toBe(
        `05500c00${flags}010000000200000000000000`,
      )
    },
  )

  test('takes its layout from the version', () => {
    const value = { clock_id: 1, attributes: 1 }
    expect(encodeCommand(0x14, 0x7, v2, value)).toHaveLength(12)
    expect(encodeCommand(0x14, 0x7, v3, { ...value, extended_config_val: 0 })).toHaveLength(16)
    expect(() => encodeCommand(0x14, 0x7, v3, value)).toThrow('CLOCK_CONFIG_SET lacks extended_config_val')
  })
})

describe('a response', () => {
  test('of a failure is its status alone, whatever else is given', () => {
    expect(hex(encodeResponse(0x14, 'CLOCK_RATE_GET', v1, DENIED, { rate: 5n }, [], 9))).toBe(
      '06502400fdffffff',
    )
  })

  test('counts its entries where nobody did', () => {
    const frame = encodeResponse(0x10, 0x6, v2, 0, {}, [{ protocol_id: 0x11 }, { protocol_id: 0x14 }])
    expect(hex(frame)).toBe('06400000 00000000 02000000 11140000'.replaceAll(' ', ''))
  })

  test('keeps the count that is given, even a lie', () => {
    const frame = encodeResponse(0x14, 0x4, v1, 0, { num_rates_flags: { returned: 9 } }, [{ rate: 1n }])
    expect(hex(frame)).toBe('04500000 00000000 09000000 0100000000000000'.replaceAll(' ', ''))
    expect(decodeResponse(0x14, 0x4, v1, frame).malformed).toBe('20 bytes end before rates[1]')
  })

  test.each([
    [{ name: 'sixteen letters!' }, 'too long for its zero'],
    [{ name: 'nul\0' }, 'a zero inside'],
    [{ name: 'µV' }, 'not ASCII'],
    [{ name: 5 }, 'not text'],
  ])('%j is refused: %s', (value, _why: string) => {
    expect(() => encodeResponse(0x14, 'CLOCK_ATTRIBUTES', v1, 0, value)).toThrow('CLOCK_ATTRIBUTES.name:')
  })

  test('without a list takes no entries', () => {
    expect(() => encodeResponse(0x14, 'CLOCK_RATE_GET', v1, 0, {}, [{ rate: 1n }])).toThrow(
      'no list of entries',
    )
  })

  test('names the entry that is wrong', () => {
    expect(() => encodeResponse(0x14, 0x4, v1, 0, {}, [{ rate: 1n }, { rate: -1n }])).toThrow(
      'CLOCK_DESCRIBE_RATES.rates[1].rate: "-1" is not a uint64',
    )
  })
})

describe('a response is disbelieved', () => {
  test.each([
    ['', '0 bytes hold no header'],
    ['065000', '3 bytes hold no header'],
    ['06500000', '4 bytes hold no status'],
    ['06500000 0000', '6 bytes hold no status'],
    ['06520000 00000000 0100000000000000', 'message type is 2, not 0'],
    ['06530000 00000000 0100000000000000', 'message type is 3, not 0'],
    ['07500000 00000000', 'header 0x5007 names another message'],
    ['06540000 00000000 0100000000000000', 'header 0x5406 names another message'],
    ['06500000 00000000', '8 bytes end before rate'],
    ['06500000 00000000 01000000', '12 bytes end before rate'],
    ['06500000 00000000 0100000000000000 00', '1 bytes too many'],
  ])('%s: %s', (frame, why) => {
    expect(decodeResponse(0x14, 'CLOCK_RATE_GET', v1, bytes(frame))).toEqual({
      status: COMMS_ERROR,
      malformed: why,
    })
  })

  test('but not for what follows a failure', () => {
    expect(decodeResponse(0x14, 'CLOCK_RATE_GET', v1, bytes('06500000 fcffffff 01020304 05'))).toEqual({
      status: -4,
    })
  })

  test('nor for its token or a view into a larger buffer', () => {
    const within = bytes('ffff 06500c00 00000000 0500000000000000 ffff').subarray(2, 18)
    expect(decodeResponse(0x14, 'CLOCK_RATE_GET', v1, within)).toEqual({ status: 0, value: { rate: 5n } })
  })

  test('though it tells of more entries than a frame can hold', () => {
    const frame = bytes('06400000 00000000 ffffffff 11121314')
    expect(decodeResponse(0x10, 0x6, v2, frame).malformed).toBe('16 bytes end before protocols[4]')
  })
})

describe('a bare SUCCESS', () => {
  test.each([
    [0x15, 'SENSOR_READING_GET', v1, '06540000 00000000', { status: 0 }, 'accepts an asynchronous reading'],
    [
      0x15,
      'SENSOR_READING_GET',
      v2,
      '06540000 00000000',
      { status: 0, value: {}, entries: [] },
      'so does it in version 2',
    ],
    [0x14, 'CLOCK_RATE_SET', v1, '05500000 00000000', { status: 0, value: {} }, 'is all there ever is'],
  ])('protocol 0x%x %s at 0x%x: %s', (protocol, message, version, frame, expected, _why: string) => {
    expect(decodeResponse(protocol, message, version, bytes(frame))).toEqual(expected)
  })

  test('is not believed of another message than the one asked for', () => {
    expect(decodeResponse(0x15, 'SENSOR_READING_GET', v1, bytes('05540000 00000000')).malformed).toMatch(
      /another message/,
    )
  })

  test('is short where nothing can follow later', () => {
    expect(decodeDelayedResponse(0x15, 'SENSOR_READING_GET', v1, bytes('06560000 00000000')).malformed).toBe(
      '8 bytes end before sensor_id',
    )
  })
})

describe('other frames', () => {
  test('only four messages have delayed responses, and VOLTAGE_LEVEL_SET only from version 2', () => {
    expect(() => encodeDelayedResponse(0x14, 'CLOCK_RATE_GET', v3, 0)).toThrow(
      'CLOCK_RATE_GET has no delayed response',
    )
    expect(() => decodeDelayedResponse(0x17, 'VOLTAGE_LEVEL_SET', v1, bytes('075e0000'))).toThrow(
      'no delayed response',
    )
    expect(decodeDelayedResponse(0x17, 'VOLTAGE_LEVEL_SET', v2, bytes('075e0000 fbffffff'))).toEqual({
      status: -5,
    })
  })

  test('an unknown notification is refused', () => {
    expect(() => encodeNotification(0x14, 'toString', v2, {})).toThrow(
      'protocol 0x14 has no notification toString',
    )
    expect(() => decodeNotification(0x17, 'X', v2, bytes('00000000'))).toThrow(
      'protocol 0x17 has no notification X',
    )
  })

  test.each([
    ['05500000 00000000', 'is short', '8 bytes end before clock_id'],
    ['05530000 00000000', 'is a notification', 'message type is 3, not 0'],
  ])('a command %s that %s', (frame, _, why) => {
    expect(decodeCommand(0x14, 0x5, v1, bytes(frame))).toEqual({ status: COMMS_ERROR, malformed: why })
  })

  test('a notification needs every field', () => {
    expect(() => encodeNotification(0x16, 'RESET_ISSUED', v1, { agent_id: 0 })).toThrow(
      'RESET_ISSUED lacks domain_id',
    )
    expect(decodeNotification(0x16, 'RESET_ISSUED', v1, bytes('005b0000 00000000 01000000')).malformed).toBe(
      '12 bytes end before reset_state',
    )
  })
})
