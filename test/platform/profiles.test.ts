// src/platform/profiles.ts: each switch shows in what an agent is answered, and every switch has its row here.
import { describe, expect, test } from 'vitest'
import { type Deviations, type ProfileName, profileNames, profiles } from '../../src/platform/profiles.ts'
import {
  COMMS_ERROR,
  DENIED,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  OUT_OF_RANGE,
  PROTOCOL_ERROR,
  SUCCESS,
} from '../../src/scmi/status.ts'
import { type Asked, example, hex, word } from './ask.ts'

const mediator = 0
const guest = 1 // agent 2: nothing granted, where that is not the default
const another = 2

/** The example machine, of which clock 0 and reset 2 can also be asked to answer later. */
const machine = (profile: ProfileName): Asked =>
  example(
    text =>
      `profile: ${profile}\n${text
        .replace('name: sd0, latencyUs: 35', 'name: sd0, async: { messages: 0 }')
        .replace('rate: 125000000 }', 'rate: 125000000, async: { messages: 0 } }')}`,
  )

/** The status in the whole response to a command in hex; null where there is none. */
const raw = (asked: Asked, command: string): number | null => {
  const response = asked.raw(mediator, command)
  return response === '' ? null : Buffer.from(response, 'hex').readInt32LE(4)
}

type Row = readonly [
  profile: Exclude<ProfileName, 'standard'>,
  what: string,
  run: (asked: Asked) => unknown,
  standard: unknown,
  deviating: unknown,
]

const rows: Readonly<Record<keyof Deviations, Row>> = {
  notACommand: [
    'imx-sm',
    'a notification sent to the platform',
    a => raw(a, hex(word(0x10, 0, 0, 3))),
    PROTOCOL_ERROR,
    COMMS_ERROR,
  ],
  unknownMessage: [
    'imx-sm',
    'an unknown message, invoked and asked for',
    a => [a.status(mediator, 0x14, 0xee), a.status(mediator, 0x14, 2, 0xee)],
    [NOT_FOUND, NOT_FOUND],
    [NOT_SUPPORTED, NOT_FOUND],
  ],
  unknownResource: [
    'scmi-msg',
    'CLOCK_RATE_GET of a clock that is not there',
    a => a.status(mediator, 0x14, 6, 14),
    NOT_FOUND,
    INVALID_PARAMETERS,
  ],
  longPayloads: [
    'imx-sm',
    'payloads a word too long, far too long, and a word too short',
    a => [
      a.status(mediator, 0x14, 6, 3, 0xffff_ffff),
      a.status(mediator, 0x14, 6, ...new Array<number>(28).fill(3)),
      a.status(mediator, 0x14, 6),
    ],
    [PROTOCOL_ERROR, PROTOCOL_ERROR, PROTOCOL_ERROR],
    [SUCCESS, SUCCESS, PROTOCOL_ERROR],
  ],
  without: [
    'scp-2.14',
    'BASE_NOTIFY_ERRORS, asked for and invoked',
    a => [a.status(mediator, 0x10, 2, 8), a.status(mediator, 0x10, 8, 1)],
    [SUCCESS, SUCCESS],
    [NOT_FOUND, NOT_FOUND],
  ],
  withoutEvents: [
    'scmi-msg',
    'async bit of RESET_DOMAIN_ATTRIBUTES, an asynchronous RESET, events after it',
    a => [
      (a.words(mediator, 0x16, 3, 2)[0] as number) >>> 30,
      a.status(mediator, 0x16, 4, 2, 5, 0),
      a.takeEvents().length,
    ],
    [3, SUCCESS, 1],
    [0, NOT_SUPPORTED, 0],
  ],
  unchecked: [
    'scp-2.14',
    'SENSOR_TRIP_POINT_NOTIFY with reserved bits; others as ever',
    a => [a.status(mediator, 0x15, 4, 0, 0xf), a.status(mediator, 0x15, 6, 0, 0xf)],
    [INVALID_PARAMETERS, INVALID_PARAMETERS],
    [SUCCESS, INVALID_PARAMETERS],
  ],
  resourceFirst: [
    'imx-sm',
    'bad flags and a bad id; bad flags and a denied id',
    a => [a.status(mediator, 0x14, 5, 0xff, 14, 0, 0), a.status(guest, 0x11, 4, 0xe, 1, 0)],
    [INVALID_PARAMETERS, DENIED],
    [NOT_FOUND, DENIED],
  ],
  readsAllowed: [
    'imx-sm',
    'a guest that holds nothing reads a clock, sets it, and lists its protocols',
    a => [a.status(guest, 0x14, 6, 0), a.status(guest, 0x14, 7, 0, 1, 0), a.words(guest, 0x10, 1)[0]],
    [DENIED, DENIED, 0x501], // system power alone
    [SUCCESS, DENIED, 0x507],
  ],
  allowedByDefault: [
    'scp-2.14',
    'a guest whom nobody granted anything enables a clock',
    a => a.status(guest, 0x14, 7, 0, 1, 0),
    DENIED,
    SUCCESS,
  ],
  agentsHidden: [
    'scmi-msg',
    'the number of agents in Base PROTOCOL_ATTRIBUTES',
    a => (a.words(mediator, 0x10, 1)[0] as number) >>> 8,
    5,
    0,
  ],
  fixedProtocolList: [
    'scmi-msg',
    'the list, its rest, and what is beyond its end',
    a => [0, 5, 9].map(skip => a.ask(mediator, 0x10, 6, skip)),
    [
      '00000000070000001112131415161700',
      '00000000020000001617' + '0000',
      'feffffff', // INVALID_PARAMETERS
    ],
    [
      '00000000070000001112131415161700',
      '0000000002000000161700000000' + '0000',
      '00000000000000000000000000000000',
    ],
  ],
  anyoneSetsPermissions: [
    'scp-2.14',
    'a guest asks for SET_DEVICE_PERMISSIONS, and uses it on another',
    a => [a.status(guest, 0x10, 2, 9), a.status(guest, 0x10, 9, 3, 0, 0)],
    [NOT_FOUND, DENIED],
    [SUCCESS, SUCCESS],
  ],
  permissionsIgnored: [
    'scp-2.14',
    'a device denied, a protocol denied; then the agent uses both',
    a => {
      a.ask(mediator, 0x10, 9, 2, 0, 1)
      return [
        a.status(mediator, 0x10, 9, 2, 0, 0),
        a.status(guest, 0x14, 6, 0),
        a.status(mediator, 0x10, 0xa, 2, 0, 0x16, 0),
        a.status(guest, 0x16, 3, 0),
      ]
    },
    [SUCCESS, DENIED, SUCCESS, DENIED],
    [SUCCESS, SUCCESS, SUCCESS, SUCCESS],
  ],
  platformAsTarget: [
    'scp-2.14',
    'SET_DEVICE_PERMISSIONS and SET_PROTOCOL_PERMISSIONS of agent 0, with bad flags',
    a => [a.status(mediator, 0x10, 9, 0, 0, 0xf), a.status(mediator, 0x10, 0xa, 0, 0, 0x14, 0xf)],
    [NOT_FOUND, NOT_FOUND],
    [SUCCESS, SUCCESS],
  ],
  unknownDevice: [
    'scp-2.14',
    'SET_DEVICE_PERMISSIONS of a device that is not there',
    a => a.status(mediator, 0x10, 9, 2, 9, 1),
    NOT_FOUND,
    INVALID_PARAMETERS,
  ],
  baseAsTarget: [
    'scp-2.14',
    'SET_PROTOCOL_PERMISSIONS of Base; of a protocol that is not there',
    a => [a.status(mediator, 0x10, 0xa, 2, 0, 0x10, 0), a.status(mediator, 0x10, 0xa, 2, 0, 0x1f, 0)],
    [NOT_FOUND, NOT_FOUND],
    [DENIED, NOT_FOUND],
  ],
  resetKeepsHoldings: [
    'scp-2.14',
    'an agent that enabled a clock is reset: does it run on?',
    a => {
      a.ask(mediator, 0x14, 7, 0, 1, 0)
      return [a.status(mediator, 0x10, 0xb, 1, 1), a.platform.clocks.running(0)]
    },
    [SUCCESS, false],
    [SUCCESS, true],
  ],
  resetForgetsLastAgent: [
    'scp-2.14',
    'reset of the last agent with and without its permissions, and of the one before',
    a => [
      a.status(mediator, 0x10, 0xb, 5, 1),
      a.status(mediator, 0x10, 0xb, 5, 0),
      a.status(mediator, 0x10, 0xb, 4, 1),
    ],
    [SUCCESS, SUCCESS, SUCCESS],
    [NOT_FOUND, SUCCESS, SUCCESS],
  ],
  ownResetUnanswered: [
    'imx-sm',
    'the mediator resets itself, then another; both are carried out',
    a => {
      a.ask(mediator, 0x14, 7, 0, 1, 0)
      return [
        raw(a, hex(word(0x10, 0xb), 1, 0)),
        a.platform.clocks.running(0),
        raw(a, hex(word(0x10, 0xb), 2, 0)),
      ]
    },
    [SUCCESS, false, SUCCESS],
    [null, false, SUCCESS],
  ],
  ownMajorOnly: [
    'imx-sm',
    'negotiation of an older minor, an older major, a newer one',
    a => [0x3_0000, 0x2_0000, 0x4_0000].map(version => a.status(mediator, 0x11, 0x10, version)),
    [SUCCESS, SUCCESS, NOT_SUPPORTED],
    [SUCCESS, NOT_SUPPORTED, NOT_SUPPORTED],
  ],
  powerLastWriter: [
    'scp-2.14',
    "one agent's ON, another's OFF: the domain, and what the first is told",
    a => {
      for (const agent of [2, 3]) a.ask(mediator, 0x10, 9, agent, 2, 1)
      a.ask(guest, 0x11, 4, 0, 2, 0)
      a.ask(another, 0x11, 4, 0, 2, 0x4000_0000)
      return [a.platform.power.state(2), a.words(guest, 0x11, 5, 2)[0]]
    },
    [1, 0],
    [0, 0x4000_0000],
  ],
  indexBeyond: [
    'imx-sm',
    'beyond the levels, beyond the sensors',
    a => [a.status(mediator, 0x13, 4, 0, 3), a.status(mediator, 0x15, 3, 3)],
    [INVALID_PARAMETERS, INVALID_PARAMETERS],
    [OUT_OF_RANGE, OUT_OF_RANGE],
  ],
  asyncRatesFeigned: [
    'scmi-msg',
    'what is told of asynchronous rate changes; one asked for; its delayed response; the rate at once',
    a => [
      (a.words(mediator, 0x14, 1)[0] as number) >>> 16,
      a.status(mediator, 0x14, 5, 1, 0, 25_000_000, 0),
      a.takeEvents().length,
      a.platform.clocks.rate(0),
    ],
    [4, SUCCESS, 1, 25_000_000],
    [1, SUCCESS, 0, 25_000_000],
  ],
  asyncResetRefused: [
    'imx-sm',
    'asynchronous RESET of a domain that resets at once, and of one that can',
    a => [a.status(mediator, 0x16, 4, 3, 5, 0), a.status(mediator, 0x16, 4, 2, 5, 0)],
    [NOT_SUPPORTED, SUCCESS],
    [INVALID_PARAMETERS, SUCCESS],
  ],
  asyncSignalRefused: [
    'imx-sm',
    'a signal asserted with the async flag',
    a => a.status(mediator, 0x16, 4, 1, 6, 0),
    SUCCESS,
    INVALID_PARAMETERS,
  ],
  numberedNotifications: [
    'imx-sm',
    'the tokens of three notifications',
    a => {
      a.ask(mediator, 0x11, 6, 0, 1)
      for (const state of [0, 0x4000_0000, 0]) a.ask(mediator, 0x11, 4, 0, 0, state)
      return a.takeEvents().map(({ frame }) => Buffer.from(frame, 'hex').readUInt32LE(0) >>> 18)
    },
    [0, 0, 0],
    [0, 1, 2],
  ],
}

test('every switch has a row', () => {
  expect(Object.keys(rows).sort()).toEqual(Object.keys(profiles.standard).sort())
})

test.each(Object.entries(rows))('%s', (name, [profile, what, run, standard, deviating]) => {
  const key = name as keyof Deviations
  expect(profiles[profile][key], 'the profile sets the switch').not.toEqual(profiles.standard[key])
  expect(run(machine('standard')), what).toEqual(standard)
  expect(run(machine(profile)), `${profile}: ${what}`).toEqual(deviating)
})

describe('scmi-msg', () => {
  const asked = machine('scmi-msg')
  test.each([0x7, 0x8, 0x9, 0xa, 0xb])('has no Base message 0x%s', message => {
    expect(asked.status(mediator, 0x10, 2, message)).toBe(NOT_FOUND)
    expect(asked.status(mediator, 0x10, message, 0, 0, 0)).toBe(NOT_SUPPORTED)
  })
  test.each([
    [0x11, 0x6],
    [0x11, 0x7],
    [0x14, 0x9],
    [0x14, 0xa],
    [0x16, 0x5],
  ])('and in 0x%s no notification 0x%s', (protocol, message) => {
    expect(asked.status(mediator, protocol, 2, message)).toBe(NOT_FOUND)
    expect(asked.status(mediator, protocol, message, 0, 1)).toBe(NOT_SUPPORTED)
  })
  test('takes no notice of reserved bits, but of who is meant', () => {
    const fresh = machine('scmi-msg')
    expect(fresh.status(mediator, 0x14, 7, 0, 0xfff1, 0)).toBe(SUCCESS)
    expect(fresh.platform.clocks.running(0)).toBe(true)
    expect(fresh.status(mediator, 0x14, 5, 0xf0, 0, 25_000_000, 0)).toBe(SUCCESS)
    expect(fresh.status(mediator, 0x16, 4, 0, 0xf9, 0)).toBe(SUCCESS)
  })
})

test('a profile is chosen by name, standard if none is', () => {
  expect(profileNames).toEqual(['standard', 'scp-2.14', 'scmi-msg', 'imx-sm'])
  expect(example().platform.config.profile).toBe('standard')
  expect(machine('imx-sm').platform.config.profile).toBe('imx-sm')
  expect(() => example(text => `profile: other\n${text}`)).toThrow(
    'profile must be one of standard, scp-2.14, scmi-msg, imx-sm; found "other"',
  )
})
