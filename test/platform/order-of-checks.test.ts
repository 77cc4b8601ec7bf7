// In which order the platform makes its checks: each row breaks two rules, and the answer tells which came first.
import { describe, expect, test } from 'vitest'
import {
  DENIED,
  IN_USE,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  OUT_OF_RANGE,
  PROTOCOL_ERROR,
  SUCCESS,
} from '../../src/scmi/status.ts'
import { example, extended, hex, word } from './ask.ts'

const mediator = 0
const guest = 1 // nothing granted
const none = 0xffff_ffff

type Row = readonly [
  protocol: number,
  message: number,
  payload: readonly number[],
  status: number,
  why: string,
]

/** The platform of the table: the example with release 3.2, a domain that nobody can set, one that cannot notify. */
const platform = () =>
  example(text =>
    text
      .replace(
        'name: avb }\n    - { id: 1, name: usb0 }',
        'name: avb, set: none, notify: false }\n    - { id: 1, name: usb0 }',
      )
      .replace(
        'name: gpu\n      sustained',
        'name: gpu\n      setLimits: false\n      setLevel: false\n      levelNotify: false\n      sustained',
      )
      .replace(
        '- { id: 2, name: sd0, latencyUs: 35 }',
        '- { id: 2, name: sd0, latencyUs: 35, notify: false }',
      ),
  )

test.each([
  ['00', 0, 'no header: nothing to answer'],
  ['005000', 0, 'the same'],
  [hex(word(0x18, 0xee, 0, 1)), PROTOCOL_ERROR, 'type before protocol'],
  [hex(word(0x14, 0x0, 0, 2)), PROTOCOL_ERROR, 'a delayed response is not for the platform'],
  [hex(word(0x14, 0x0, 0, 3)), PROTOCOL_ERROR, 'nor is a notification'],
  [hex(word(0x18, 0x0) + 0x1000_0000), PROTOCOL_ERROR, 'reserved header bits before protocol'],
  [hex(word(0x18, 0xee)), NOT_SUPPORTED, 'protocol before message'],
  [hex(word(0x0f, 0x0)), NOT_SUPPORTED, 'below the first protocol'],
  [hex(word(0xff, 0x0)), NOT_SUPPORTED, 'a vendor protocol'],
  [hex(word(0x14, 0xee), 1, 2), NOT_FOUND, 'message before size'],
  [`${hex(word(0x14, 0x3), 0)}ff`, PROTOCOL_ERROR, 'a size that is no number of words'],
])('%s gives %i: %s', (command, status) => {
  const response = platform().raw(mediator, command)
  if (status === 0) expect(response).toBe('')
  else expect(response).toBe(command.slice(0, 8) + hex(status))
})

test('a frame longer than its channel is PROTOCOL_ERROR', () => {
  const command = hex(word(0x14, 0x3), ...new Array<number>(32).fill(0))
  expect(platform().raw(mediator, command)).toBe(command.slice(0, 8) + hex(PROTOCOL_ERROR))
})

test.each([5, 100, -1])('on channel %i, which is not there, nothing is answered', channel => {
  expect(platform().raw(channel, hex(word(0x10, 0)))).toBe('')
})

describe('agent without any grant', () => {
  test.each<Row>([
    [0x14, 0x0, [], DENIED, 'a protocol of which it may use nothing'],
    [0x14, 0xee, [], DENIED, 'before the message'],
    [0x14, 0x3, [0, 0], DENIED, 'before the size'],
    [0x18, 0x0, [], NOT_SUPPORTED, 'but after whether there is such a protocol'],
    [0x12, 0x0, [], SUCCESS, 'system power has no resources, so it is open'],
    [0x12, 0x3, [0xf, 1], INVALID_PARAMETERS, 'flags before whether the caller may'],
    [0x12, 0x3, [0, 5], INVALID_PARAMETERS, 'value before whether the caller may'],
    [0x12, 0x3, [0, 4], DENIED, 'whether it may before whether suspend is possible'],
    [0x10, 0x9, [none, none, none], DENIED, 'trust before anything tells which ids exist'],
    [0x10, 0x9, [], DENIED, 'and before the size'],
    [0x10, 0xa, [1, 0, 0x14, 1], DENIED, 'the same'],
    [0x10, 0xb, [1, 1], DENIED, 'the same'],
    [0x10, 0xb, [2, 1], DENIED, 'about itself too: a revoked permission would come back'],
    [0x10, 0x8, [0xf], INVALID_PARAMETERS, 'Base is never denied'],
  ])('0x%s 0x%s %o gives %i: %s', (protocol, message, payload, status) => {
    expect(platform().status(guest, protocol, message, ...payload)).toBe(status)
  })
})

describe('agent that holds avb alone', () => {
  test.each<Row>([
    [0x14, 0x3, [0], SUCCESS, 'its own'],
    [0x14, 0x3, [1], DENIED, "another device's"],
    [0x14, 0x3, [14], NOT_FOUND, 'id before permission'],
    [0x14, 0x7, [1, 0xf, 0], INVALID_PARAMETERS, 'reserved bits before permission'],
    [0x14, 0x7, [1, 2, 0], INVALID_PARAMETERS, 'reserved value before permission'],
    [0x14, 0x5, [1, 1, 0, 0], DENIED, 'permission before whether asynchronous is possible'],
    [0x14, 0xd, [0, 14], NOT_FOUND, 'the parent exists, before whether there are parents'],
    [0x11, 0x4, [0xe, 1, 0], INVALID_PARAMETERS, 'flags before permission'],
    [0x11, 0x4, [0, 1, 0xff00_0000], INVALID_PARAMETERS, 'reserved bits of the state before permission'],
    [0x11, 0x4, [0, 1, 0], DENIED, 'permission'],
    [0x11, 0x4, [0, 8, 0], NOT_FOUND, 'id before permission'],
    [0x16, 0x4, [1, 0xf8, 0], INVALID_PARAMETERS, 'flags before permission'],
    [0x16, 0x4, [1, 0, 0xff], INVALID_PARAMETERS, 'state before permission'],
    [0x16, 0x4, [1, 1, 0], DENIED, 'permission'],
    [0x13, 0x0, [], DENIED, 'a protocol it has nothing in'],
  ])('0x%s 0x%s %o gives %i: %s', (protocol, message, payload, status) => {
    const asked = platform()
    asked.ask(mediator, 0x10, 0x9, 2, 0, 1)
    expect(asked.status(guest, protocol, message, ...payload)).toBe(status)
  })
})

describe('mediator, which may use everything', () => {
  test.each<Row>([
    // Base: agent, flags, device, protocol
    [0x10, 0x9, [6, none, none], NOT_FOUND, 'agent before flags'],
    [0x10, 0x9, [0, 1, 1], NOT_FOUND, 'the platform is no target'],
    [0x10, 0x9, [2, 9, 0xf], INVALID_PARAMETERS, 'flags before device'],
    [0x10, 0x9, [2, 9, 1], NOT_FOUND, 'device'],
    [0x10, 0x9, [2, 9], PROTOCOL_ERROR, 'size before agent'],
    [0x10, 0xa, [6, 9, 0x1ff, 0xf], NOT_FOUND, 'agent before flags'],
    [0x10, 0xa, [2, 9, 0x10, 0xf], INVALID_PARAMETERS, 'flags before device'],
    [0x10, 0xa, [2, 0, 0x114, 1], INVALID_PARAMETERS, 'reserved bits of the protocol word'],
    [0x10, 0xa, [2, 9, 0x10, 1], NOT_FOUND, 'device'],
    [0x10, 0xa, [2, 0, 0x10, 0], NOT_FOUND, 'Base cannot be denied'],
    [0x10, 0xa, [2, 0, 0x18, 0], NOT_FOUND, 'a protocol that is not there'],
    [0x10, 0xb, [6, 0xf], NOT_FOUND, 'agent before flags'],
    [0x10, 0xb, [2, 0xf], INVALID_PARAMETERS, 'flags'],
    [0x10, 0xb, [0, 0], SUCCESS, 'the platform holds nothing'],
    [0x10, 0x6, [8], INVALID_PARAMETERS, 'beyond the list'],
    [0x10, 0x6, [7], SUCCESS, 'at its end'],
    [0x10, 0x7, [6], NOT_FOUND, 'no such agent'],
    [0x10, 0x8, [2], INVALID_PARAMETERS, 'flags'],
    // Power
    [0x11, 0x4, [0xe, 0, 0], INVALID_PARAMETERS, 'flags before capability'],
    [0x11, 0x4, [0, 0, 0xff00_0000], INVALID_PARAMETERS, 'reserved bits of the state before capability'],
    [0x11, 0x4, [0, 0, 0], NOT_SUPPORTED, 'a domain that cannot be set'],
    [0x11, 0x4, [1, 1, 0], NOT_SUPPORTED, 'a domain that cannot be set asynchronously'],
    [0x11, 0x4, [1, 4, 0], SUCCESS, 'and one that can'],
    [0x11, 0x4, [0, 1, 5], INVALID_PARAMETERS, 'a state that is neither ON nor OFF'],
    [0x11, 0x6, [0, 0xf], INVALID_PARAMETERS, 'flags before capability'],
    [0x11, 0x6, [0, 1], NOT_SUPPORTED, 'a domain that cannot notify'],
    [0x11, 0x6, [8, 1], NOT_FOUND, 'id'],
    // System
    [0x12, 0x3, [0xf, 0], INVALID_PARAMETERS, 'must not shut anything down'],
    [0x12, 0x3, [0, 4], NOT_SUPPORTED, 'suspend is not offered'],
    [0x12, 0x3, [0, 0x8000_0000], NOT_SUPPORTED, 'the vendor has no states'],
    [0x12, 0x3, [0, 5], INVALID_PARAMETERS, 'reserved'],
    [0x12, 0x4, [], NOT_SUPPORTED, 'suite: the state is for PSCI agents'],
    [0x12, 0x5, [0xf], INVALID_PARAMETERS, 'flags'],
    // Performance
    [0x13, 0x5, [3, 0, 0], NOT_FOUND, 'id'],
    [0x13, 0x5, [0, 200, 600], DENIED, 'limits that cannot be set: DENIED, before the values'],
    [0x13, 0x7, [0, 0], DENIED, 'a level that cannot be set'],
    [0x13, 0x5, [1, 500, 1500], INVALID_PARAMETERS, 'maximum below minimum'],
    [0x13, 0x5, [1, 1501, 500], OUT_OF_RANGE, 'above the highest'],
    [0x13, 0x5, [1, 1500, 499], OUT_OF_RANGE, 'below the lowest'],
    [0x13, 0x7, [1, 1501], OUT_OF_RANGE, 'above the limits'],
    [0x13, 0x7, [1, 499], OUT_OF_RANGE, 'below the limits'],
    [0x13, 0x4, [1, 3], INVALID_PARAMETERS, 'index at the end'],
    [0x13, 0xa, [0, 0xff], INVALID_PARAMETERS, 'flags before capability'],
    [0x13, 0xa, [0, 1], NOT_SUPPORTED, 'cannot notify'],
    [0x13, 0xb, [3, 5], NOT_FOUND, 'id'],
    [0x13, 0xb, [0, 0xee], NOT_FOUND, 'no such message'],
    [0x13, 0xb, [0, 3], NOT_SUPPORTED, 'a message that cannot have a fast channel'],
    [0x13, 0xb, [0, 5], NOT_SUPPORTED, 'a domain without'],
    // Clock
    [0x14, 0x4, [0, 2], OUT_OF_RANGE, 'index at the end'],
    [0x14, 0x4, [3, 1], OUT_OF_RANGE, 'a range has one part'],
    [0x14, 0x5, [0xff, 0, 0, 0], INVALID_PARAMETERS, 'flags before everything'],
    [0x14, 0x5, [1, 0, 1, 0], NOT_SUPPORTED, 'asynchronous, before the rate'],
    [0x14, 0x5, [0, 0, 125_000_001, 1], INVALID_PARAMETERS, 'suite c011: no clamping'],
    [0x14, 0x7, [0, 3, 0], INVALID_PARAMETERS, 'unchanged goes with an extended configuration alone'],
    [0x14, 0x7, [0, 0x3_0001, 0], INVALID_PARAMETERS, 'a reserved extended type before the capability'],
    [0x14, 0x7, [0, 0x1_0001, 0], NOT_SUPPORTED, 'a clock without a duty cycle'],
    [0x14, 0x7, [11, 0x1_0001, 101], INVALID_PARAMETERS, 'a duty cycle above 100 %'],
    [0x14, 0xb, [0, 0x100], INVALID_PARAMETERS, 'reserved bits'],
    [0x14, 0xb, [0, 0x80], NOT_SUPPORTED, "no vendor's value"],
    [0x14, 0xc, [0, 0], NOT_SUPPORTED, 'no parents'],
    [0x14, 0xc, [12, 2], OUT_OF_RANGE, 'index at the end'],
    [0x14, 0xd, [12, 14], NOT_FOUND, 'no such parent'],
    [0x14, 0xd, [0, 1], NOT_SUPPORTED, 'no parents'],
    [0x14, 0xd, [12, 1], INVALID_PARAMETERS, 'not one of its parents'],
    [0x14, 0xe, [0], NOT_SUPPORTED, 'no parent'],
    // Sensor
    [0x15, 0x3, [3], INVALID_PARAMETERS, 'index at the end'],
    [0x15, 0x4, [2, 0xf], INVALID_PARAMETERS, 'suite m006: flags, also without trip points'],
    [0x15, 0x4, [2, 1], NOT_SUPPORTED, 'no trip points'],
    [0x15, 0x5, [2, 0xf, 0, 0], INVALID_PARAMETERS, 'suite m008'],
    [0x15, 0x5, [0, 0x20, 0, 0], INVALID_PARAMETERS, 'one beyond the last trip point'],
    [0x15, 0x6, [0, 0xf], INVALID_PARAMETERS, 'flags'],
    [0x15, 0x6, [0, 1], NOT_SUPPORTED, 'asynchronous'],
    [0x15, 0x7, [0, 0], NOT_SUPPORTED, 'no axes'],
    [0x15, 0x8, [1, 3], OUT_OF_RANGE, 'index at the end'],
    [0x15, 0xa, [0, 0x4], INVALID_PARAMETERS, 'reserved bits'],
    [0x15, 0xa, [0, 0x3], NOT_SUPPORTED, 'no time stamps'],
    [0x15, 0xb, [0, 1], NOT_SUPPORTED, 'no continuous update'],
    // Reset
    [0x16, 0x4, [0, 5, 0], NOT_SUPPORTED, 'autonomous and asynchronous'],
    [0x16, 0x4, [0, 0, 0xff], INVALID_PARAMETERS, 'suite r009: state before explicit control'],
    [0x16, 0x4, [0, 0, 0x8000_0000], INVALID_PARAMETERS, "a vendor's state that is not there"],
    [0x16, 0x4, [0, 2, 0], NOT_SUPPORTED, 'no explicit control'],
    [0x16, 0x4, [1, 6, 0], SUCCESS, 'asynchronous is ignored on a signal'],
    [0x16, 0x5, [2, 0xf], INVALID_PARAMETERS, 'flags before capability'],
    [0x16, 0x5, [2, 1], NOT_SUPPORTED, 'cannot notify'],
    // Voltage
    [0x17, 0x4, [0, 1], OUT_OF_RANGE, 'index at the end'],
    [0x17, 0x5, [0, 1], INVALID_PARAMETERS, 'a reserved mode'],
    [0x17, 0x5, [0, 8], NOT_SUPPORTED, 'no mode of its own'],
    [0x17, 0x7, [0, 2, 3_300_000], INVALID_PARAMETERS, 'flags'],
    [0x17, 0x7, [0, 1, 3_300_000], NOT_SUPPORTED, 'asynchronous'],
    [0x17, 0x7, [1, 0, 1_800_001], INVALID_PARAMETERS, 'a level that is not described'],
    [0x17, 0x7, [3, 0, 805_000], INVALID_PARAMETERS, 'beside the grid'],
    [0x17, 0x8, [4], NOT_FOUND, 'id'],
  ])('0x%s 0x%s %o gives %i: %s', (protocol, message, payload, status) => {
    expect(platform().status(mediator, protocol, message, ...payload)).toBe(status)
  })
})

describe('power capping and pin control', () => {
  test.each<Row>([
    [0x18, 0x4, [0, 0], PROTOCOL_ERROR, 'size before the rest'],
    [0x18, 0x5, [1, 4, 0], INVALID_PARAMETERS, 'flags before permission'],
    [0x18, 0x5, [3, 4, 0], INVALID_PARAMETERS, 'flags before id'],
    [0x18, 0x5, [3, 0, 0], NOT_FOUND, 'id before permission'],
    [0x18, 0x5, [1, 2, 0], DENIED, 'permission before whether it can be set'],
    [0x18, 0x5, [0, 2, 1], NOT_SUPPORTED, 'asynchronous, before the range'],
    [0x18, 0x5, [0, 0, 1], OUT_OF_RANGE, 'range'],
    [0x18, 0x7, [1, 1, 0], INVALID_PARAMETERS, 'flags before permission'],
    [0x18, 0x7, [1, 0, 0], DENIED, 'permission before whether it can be set'],
    [0x18, 0x9, [1], DENIED, 'permission before whether it is monitored'],
    [0x18, 0xa, [1, 2], INVALID_PARAMETERS, 'flags before permission'],
    [0x18, 0xa, [1, 1], DENIED, 'permission before whether it can notify'],
    [0x18, 0xb, [0, 2, 9, 1], INVALID_PARAMETERS, 'flags'],
    [0x18, 0xc, [3, 5], NOT_FOUND, 'id'],
    [0x18, 0xc, [0, 0xee], NOT_FOUND, 'no such message'],
    [0x18, 0xc, [0, 5], NOT_SUPPORTED, 'a domain without'],
    [0x19, 0x3, [9, 3], INVALID_PARAMETERS, 'selector before id'],
    [0x19, 0x3, [9, 1], NOT_FOUND, 'id before permission'],
    [0x19, 0x4, [9, 0, 0], INVALID_PARAMETERS, 'selector before id'],
    [0x19, 0x4, [1, 1, 9], DENIED, 'permission before the index'],
    [0x19, 0x5, [3, 0xc_0000], INVALID_PARAMETERS, 'flag before permission'],
    [0x19, 0x5, [3, 21], DENIED, 'permission before the type'],
    [0x19, 0x6, [9, 9, 6], PROTOCOL_ERROR, 'number of entries before the id, and before the selector'],
    [0x19, 0x6, [9, 9, 2], INVALID_PARAMETERS, 'selector before id'],
    [0x19, 0x6, [9, 9, 0x400], NOT_FOUND, 'id'],
    [0x19, 0x6, [3, 9, 0x400], DENIED, 'permission before the function'],
    [0x19, 0x6, [0, 9, 0x404, 21, 0], NOT_FOUND, 'function before the types'],
    [0x19, 0x6, [0, 2, 0x404, 21, 0], DENIED, 'its permission too'],
    [0x19, 0x6, [0, 0, 0x404, 21, 0], NOT_SUPPORTED, 'and whether the pin can have it'],
    [0x19, 0x6, [0, 1, 0x408, 3, 0, 21, 0], INVALID_PARAMETERS, 'reserved types before those a pin has not'],
    [0x19, 0x6, [2, 1, 0x404, 3, 0], NOT_SUPPORTED, 'those before whose the pin is'],
    [0x19, 0x6, [2, 1, 0x404, 10, 0], IN_USE, 'whose it is'],
    [0x19, 0x7, [3, 2], INVALID_PARAMETERS, 'selector before permission'],
    [0x19, 0x7, [3, 0], DENIED, 'permission before whose it is'],
    [0x19, 0x8, [2, 0], DENIED, "another's"],
  ])('agent that holds avb alone: 0x%s 0x%s %o gives %i: %s', (protocol, message, payload, status) => {
    const asked = example(extended)
    asked.ask(mediator, 0x10, 0x9, 2, 0, 1)
    asked.ask(mediator, 0x19, 0x7, 2, 0) // pin 2 is the host's for now
    expect(asked.status(guest, protocol, message, ...payload)).toBe(status)
  })

  test.each([0x18, 0x19])('an agent without any grant: 0x%s is DENIED whole', protocol => {
    const asked = example(extended)
    for (let message = 0; message < 0x14; message++)
      expect(asked.status(guest, protocol, message)).toBe(DENIED)
  })

  test.each([[0x19, [5, 3, 3]]])(
    'identifiers of each selector of 0x%s end at its own count',
    (protocol, counts) => {
      const asked = example(extended)
      for (const [selector, count] of counts.entries()) {
        for (const message of [3, 9]) {
          expect(asked.status(mediator, protocol, message, count - 1, selector)).toBe(SUCCESS)
          expect(asked.status(mediator, protocol, message, count, selector)).toBe(NOT_FOUND)
        }
      }
    },
  )
})

test('every message of every protocol that names a resource: NOT_FOUND one beyond the last', () => {
  const asked = example(extended)
  const counts: Record<number, number> = { 17: 8, 19: 3, 20: 14, 21: 3, 22: 9, 23: 4, 24: 3, 25: 5 }
  /** message: words of payload, word that names the resource */
  const messages: Record<number, readonly (readonly [number, number, number])[]> = {
    17: [
      [3, 1, 0],
      [4, 3, 1],
      [5, 1, 0],
      [6, 2, 0],
      [7, 2, 0],
      [8, 1, 0],
    ],
    19: [
      [3, 1, 0],
      [4, 2, 0],
      [5, 3, 0],
      [6, 1, 0],
      [7, 2, 0],
      [8, 1, 0],
      [9, 2, 0],
      [10, 2, 0],
      [11, 2, 0],
      [12, 1, 0],
    ],
    20: [
      [3, 1, 0],
      [4, 2, 0],
      [5, 4, 1],
      [6, 1, 0],
      [7, 3, 0],
      [8, 1, 0],
      [9, 2, 0],
      [10, 2, 0],
      [11, 2, 0],
      [12, 2, 0],
      [13, 2, 0],
      [14, 1, 0],
      [15, 1, 0],
    ],
    21: [
      [4, 2, 0],
      [5, 4, 0],
      [6, 2, 0],
      [7, 2, 0],
      [8, 2, 0],
      [9, 1, 0],
      [10, 2, 0],
      [11, 2, 0],
      [12, 1, 0],
      [13, 2, 0],
    ],
    22: [
      [3, 1, 0],
      [4, 3, 0],
      [5, 2, 0],
      [6, 1, 0],
    ],
    23: [
      [3, 1, 0],
      [4, 2, 0],
      [5, 2, 0],
      [6, 1, 0],
      [7, 3, 0],
      [8, 1, 0],
      [9, 1, 0],
    ],
    24: [
      [3, 1, 0],
      [4, 1, 0],
      [5, 3, 0],
      [6, 1, 0],
      [7, 3, 0],
      [8, 1, 0],
      [9, 1, 0],
      [10, 2, 0],
      [11, 4, 0],
      [12, 2, 0],
    ],
    25: [
      [3, 2, 0],
      [5, 2, 0],
      [6, 3, 0],
      [7, 2, 0],
      [8, 2, 0],
      [9, 2, 0],
    ],
  }
  for (const [protocol, list] of Object.entries(messages)) {
    for (const [message, words, at] of list) {
      for (const id of [counts[Number(protocol)] as number, 0x8000_0000, 0xffff_ffff]) {
        const payload = new Array<number>(words).fill(0)
        payload[at] = id
        expect(asked.status(mediator, Number(protocol), message, ...payload), `${protocol} ${message}`).toBe(
          NOT_FOUND,
        )
      }
      expect(asked.status(mediator, Number(protocol), message, ...new Array<number>(words + 1).fill(0))).toBe(
        PROTOCOL_ERROR,
      )
    }
  }
})
