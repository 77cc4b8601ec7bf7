// src/platform/load.ts, config.ts and cross-checks.ts: every fault names file, property and what was expected.
import { describe, expect, test } from 'vitest'
import { MediatorError } from '../../src/errors.ts'
import { checkPlatform, loadPlatform, parsePlatform } from '../../src/platform/load.ts'
import { Platform } from '../../src/platform/platform.ts'
import { examplePath, exampleText, extended } from './ask.ts'

const minimal = 'vendor: v\nagents: [{ id: 1, name: one }]\n'
const fault = (text: string): MediatorError => {
  try {
    parsePlatform(text, 'some.yaml')
  } catch (error) {
    return error as MediatorError
  }
  throw new Error('accepted')
}

test('the example is valid, and is the machine of the example trees', () => {
  const config = loadPlatform(examplePath)
  expect(config.devices.map(d => [d.id, d.name, d.clock, d.power, d.reset])).toEqual([
    [0, 'avb', [0], [0], [0]],
    [1, 'usb0', [1, 2], [1], [1]],
    [2, 'sdhi0', [3, 4], [2], [2]],
    [3, 'sdhi2', [5, 6], [2], [3]],
    [4, 'i2c2', [7, 12], [3], [4]],
    [5, 'gpu', [8], [4], [5]],
    [6, 'canfd', [9, 10], [3], [6]],
    [7, 'adc', [11], [5], [7]],
    [8, 'can1', [9], [6], [8]],
  ])
  expect(config.agents.map(a => [a.id, a.name, a.trusted, a.permissions])).toEqual([
    [1, 'mediator', true, 'allow'],
    [2, 'guest0', false, 'deny'],
    [3, 'guest1', false, 'deny'],
    [4, 'guest2', false, 'deny'],
    [5, 'guest3', false, 'deny'],
  ])
  expect(new Platform(config).channels).toBe(5)
})

test('defaults are filled in, and the argument is left as it was', () => {
  const given = { vendor: 'v', agents: [{ id: 1, name: 'one' }] }
  const config = checkPlatform(given, 'x')
  expect(config.release).toBe('3.2')
  expect(config.agents[0]).toEqual({ id: 1, name: 'one', trusted: false, permissions: 'deny', devices: [] })
  expect(given).toEqual({ vendor: 'v', agents: [{ id: 1, name: 'one' }] })
})

describe('types and bounds', () => {
  test.each([
    ['agents: []', 'vendor is missing'],
    ['[]', 'the file must be object; found []'],
    ['vendor: v\nagents: []\n', 'agents must NOT have fewer than 1 items; found []'],
    [
      `${minimal}reset: { domains: [{ id: 0, name: a, async: { ms: 1, messages: 1 } }] }\n`,
      'reset.domains[0].async.messages is not a known property',
    ],
    [
      `${minimal}reset: { domains: [{ id: 0, name: a, async: {} }] }\n`,
      'reset.domains[0].async.ms is missing',
    ],
    [
      `${minimal}reset: { maxAsync: 64, domains: [{ id: 0, name: a }] }\n`,
      'reset.maxAsync must be <= 51; found 64',
    ],
    [`${minimal}speed: 3\n`, 'speed is not a known property'],
    [`${minimal}release: '2.5'\n`, 'release must be one of 1.0, 2.0, 3.0, 3.1, 3.2; found "2.5"'],
    ['vendor: v\nagents: [{ id: 0, name: a }]\n', 'agents[0].id must be >= 1; found 0'],
    [
      'vendor: v\nagents: [{ id: 1, name: sixteen-long-xxx }]\n',
      'agents[0].name must NOT have more than 15 characters; found "sixteen-long-xxx"',
    ],
    [
      `${minimal}clock: { clocks: [{ id: 0, name: a, rates: [x] }] }\n`,
      'clock.clocks[0].rates[0] must be integer; found "x"',
    ],
    [
      `${minimal}clock: { clocks: [{ id: 0, name: a, rates: [-1] }] }\n`,
      'clock.clocks[0].rates[0] must be >= 0; found -1',
    ],
    [
      `${minimal}clock: { clocks: [{ id: 0, name: a, rates: [9007199254740993] }] }\n`,
      'clock.clocks[0].rates[0] must be <= 9007199254740991; found 9007199254740992',
    ],
    [
      `${minimal}clock: { clocks: [{ id: 0, name: ${'n'.repeat(64)}, rates: [1] }] }\n`,
      `clock.clocks[0].name must NOT have more than 63 characters; found "${'n'.repeat(56)}...`,
    ],
    [
      `${minimal}clock: { clocks: [{ id: 0, name: "zürich", rates: [1] }] }\n`,
      'clock.clocks[0].name must match pattern "^[ -~]+$"; found "zürich"',
    ],
    [
      `${minimal}power: { domains: [{ id: 0, name: a, set: maybe }] }\n`,
      'power.domains[0].set must be one of none, sync, async, both; found "maybe"',
    ],
    [`${minimal}power: { domains: [] }\n`, 'power.domains must NOT have fewer than 1 items; found []'],
    [
      `${minimal}performance: { domains: [{ id: 0, name: a, levels: [{ power: 1 }] }] }\n`,
      'performance.domains[0].levels[0].level is missing',
    ],
    [
      `${minimal}channels: [{ agent: 1, maxMessageBytes: 64 }]\n`,
      'channels[0].maxMessageBytes must be >= 96; found 64',
    ],
    [
      `${minimal}reset: { domains: [{ id: 0, name: a, states: [5] }] }\n`,
      'reset.domains[0].states[0] must be >= 2147483648; found 5',
    ],
    ['vendor: [', 'Flow sequence in block collection must be'],
  ])('%j: %s', (text, expected) => {
    const error = fault(text)
    expect(error).toBeInstanceOf(MediatorError)
    expect([error.code, error.path]).toEqual(['CONFIG_INVALID', 'some.yaml'])
    expect(error.message.startsWith(`some.yaml: ${expected}`), error.message).toBe(true)
    expect(error.message).not.toContain('\n')
  })
})

describe('what must agree', () => {
  const edit = (from: string, to: string): string => {
    expect(exampleText, 'the example has the text that the row changes').toContain(from)
    return exampleText.replace(from, to)
  }
  test.each([
    [
      '- { id: 1, name: usb0, rates',
      '- { id: 7, name: usb0, rates',
      'clock.clocks[1].id must be 1: ids are dense, in list order; found 7',
    ],
    [
      '- { id: 1, name: usb0, rates',
      '- { id: 1, name: avb, rates',
      'clock.clocks[1].name must be unique; 0 is avb too',
    ],
    [
      'id: 3, name: guest1',
      'id: 6, name: guest1',
      'agents[2].id must be 1 to 5: agent ids are consecutive; found 6',
    ],
    ['id: 3, name: guest1', 'id: 2, name: guest1', 'agents[2].id must be unique; found 2 again'],
    ['id: 3, name: guest1', 'id: 3, name: guest0', 'agents[2].name must be unique; found guest0 again'],
    [
      'id: 3, name: guest1,',
      'id: 3, name: guest1, devices: [0, 9],',
      'agents[2].devices[1] must be a device; there is no device 9',
    ],
    [
      '- { id: 8, name: can1, clock',
      '- { id: 7, name: can1, clock',
      'devices[8].id must be unique; found 7 again',
    ],
    [
      '- { id: 8, name: can1, clock',
      '- { id: 8, name: adc, clock',
      'devices[8].name must be unique; 7 is adc too',
    ],
    [
      '- { id: 8, name: can1, clock',
      '- { id: 4294967296, name: can1, clock',
      'devices[8].id must be <= 4294967295; found 4294967296',
    ],
    [
      'clock: [7, 12]',
      'clock: [7, 14]',
      'devices[4].clock[1] must exist; the platform has 14 of that kind, found 14',
    ],
    [
      'voltage: [0, 1]',
      'voltage: [0, 4]',
      'devices[2].voltage[1] must exist; the platform has 4 of that kind, found 4',
    ],
    [
      'system: { agents: [1]',
      'system: { agents: [1, 6]',
      'system.agents[1] must be an agent; there is no agent 6',
    ],
    [
      'alwaysOn: true } # the',
      'onBy: [9] } # the',
      'power.domains[7].onBy[0] must be an agent; there is no agent 9',
    ],
    [
      'rates: [25000000, 125000000], rate: 125000000',
      'rates: [125000000, 25000000]',
      'clock.clocks[0].rates[1] must be above 125000000: the list ascends',
    ],
    [
      'rate: 125000000',
      'rate: 125000001',
      'clock.clocks[0].rate must be one of the values described; found 125000001',
    ],
    [
      '      rate: 8000000\n',
      '      rate: 8500000\n',
      'clock.clocks[11].rate must be one of the values described; found 8500000',
    ],
    [
      'min: 1000000, max: 16000000',
      'min: 1000000, max: 1000',
      'clock.clocks[11].rates.max must not be below min, 1000000; found 1000',
    ],
    [
      'max: 16000000, step: 1000000',
      'max: 16000000, step: 90000000',
      'clock.clocks[11].rates.step must not exceed max - min, 15000000; found 90000000',
    ],
    [
      'parents: [7, 13]',
      'parents: [7, 14]',
      'clock.clocks[12].parents[1] must be a clock; there is no clock 14',
    ],
    [
      'parents: [7, 13]',
      'parents: [7, 13], parent: 3',
      'clock.clocks[12].parent must be one of parents; found 3',
    ],
    [
      'parents: [7, 13]',
      'parents: [7, 12]',
      'clock.clocks[12].parents must not lead back to the clock: 12 <- 12',
    ],
    [
      'rates: [66666666]',
      'rates: [66666666], parents: [12]',
      'clock.clocks[7].parents must not lead back to the clock: 7 <- 12 <- 7',
    ],
    [
      '{ type: 2, value: 0 }',
      '{ type: 3, value: 0 }',
      'clock.clocks[11].extended[1].type must be 1, 2, or 0x80 to 0xFF',
    ],
    [
      '{ type: 2, value: 0 }',
      '{ type: 1, value: 0 }',
      'clock.clocks[11].extended[1].type must be unique; found 1 again',
    ],
    [
      '{ type: 2, value: 0 }',
      '{ type: 2, value: 360 }',
      'clock.clocks[11].extended[1].value must be 0 to 100 % for a duty cycle, 0 to 359 degrees for a phase',
    ],
    [
      'rates: [66666666]',
      'rates: [66666666], restrict: [{ agents: [7], deny: [rate] }]',
      'clock.clocks[7].restrict[0].agents[0] must be an agent; there is no agent 7',
    ],
    [
      'level: 400, power',
      'level: 700, power',
      'performance.domains[0].levels[2] must be above 700: the list ascends',
    ],
    [
      'initial: 200',
      'initial: 300',
      'performance.domains[0].initial must be one of the values described; found 300',
    ],
    [
      'level: 3300000 }\n',
      'level: 3300001 }\n',
      'voltage.domains[1].level must be one of the values described; found 3300001',
    ],
    ['min: 0\n      max: 3300', 'min: 0\n      max: -1', 'sensor.sensors[1].max must not be below min, 0'],
    [
      'max: 125000, tripPoints: 2',
      'max: 125000, tripPoints: 2, axes: [{ name: x, type: 89 }]',
      'sensor.sensors[0].tripPoints must be 0: they are of a single value, not of axes',
    ],
    [
      'name: board-temp,',
      'name: board-temp, axes: [{ name: x, type: 89 }, { name: y, type: 89, min: 1 }],',
      'sensor.sensors[2].axes[1].max must not be below min, 1',
    ],
    [
      '{ seconds: 1 }]',
      '{ seconds: 1, exponent: -3 }]',
      'sensor.sensors[1].intervals[2] must be above 0.01: the list ascends',
    ],
    [
      "release: '3.2'",
      "release: '3.2'\nversions: { clock: 0x40000 }",
      'versions.clock must be one of 0x10000, 0x20000, 0x30000; found 0x40000',
    ],
    [
      "release: '3.2'",
      "release: '2.0'",
      'voltage must be absent, or its version declared: release 2.0 has no such protocol',
    ],
    [
      "release: '3.2'",
      "release: '3.1'\npinControl: { pins: [{ id: 0, name: a }] }",
      'pinControl must be absent, or its version declared: release 3.1 has no such protocol',
    ],
    [
      "release: '3.2'",
      "release: '3.2'\nversions: { powerCapping: 0x30000 }",
      'versions.powerCapping must be one of 0x10000, 0x20000; found 0x30000',
    ],
    [
      'name: avb, clock: [0]',
      'name: avb, powerCapping: [0], clock: [0]',
      'devices[0].powerCapping[0] must exist; the platform has 0 of that kind, found 0',
    ],
    ...(
      [
        ['cap: { min: 5, max: 4 }', '.cap.max must not be below min, 5; found 4'],
        ['cap: { min: 5, max: 9 }', '.cap.step must be 1 to max - min, 4; found 0'],
        ['cap: { min: 5, max: 9, step: 5 }', '.cap.step must be 1 to max - min, 4; found 5'],
        ['ownCap: 10', '.ownCap must be 1 to 9 in steps of 2; found 10'],
        ['ownCap: 4', '.ownCap must be 1 to 9 in steps of 2; found 4'],
        ['initialPai: 3', '.initialPai must be 2 to 2 in steps of 0; found 3'],
        ['parent: 1', '.parent must be a domain; there is no 1'],
        ['parent: 0', '.parent must not lead back to a domain below it'],
        [
          'fastChannels: [{ message: 4, address: 1 }, { message: 4, address: 2 }]',
          '.fastChannels[1].message must be unique; found 4 again',
        ],
      ] as const
    ).map(([property, expected]): [string, string, string] => [
      'system: {',
      `powerCapping: { domains: [{ id: 0, name: a, pai: { min: 2, max: 2 }, ${property.startsWith('cap') ? '' : 'cap: { min: 1, max: 9, step: 2 }, '}${property} }] }\nsystem: {`,
      `powerCapping.domains[0]${expected}`,
    ]),
    ...(
      [
        ['configs: [{ type: 21, value: 0 }]', 'configs[0].type must be 0 to 20 or 192 to 255; found 21'],
        [
          'configs: [{ type: 4, value: 0 }, { type: 4, value: 0 }]',
          'configs[1].type must be above 4: types ascend',
        ],
        ['groups: [{ id: 0, name: g, pins: [0, 1] }]', 'groups[0].pins[1] must be a pin; there is no pin 1'],
        ['functions: [{ id: 0, name: f }]', 'functions[0] must have groups or pins, and not both'],
        [
          'functions: [{ id: 0, name: f, pins: [0], groups: [0] }]',
          'functions[0] must have groups or pins, and not both',
        ],
        [
          'functions: [{ id: 0, name: f, groups: [0] }]',
          'functions[0].groups[0] must be a group; there is no group 0',
        ],
        [
          'functions: [{ id: 0, name: f, pins: [2] }]',
          'functions[0].pins[0] must be a pin; there is no pin 2',
        ],
        ['pins: [{ id: 0, name: p, function: 0 }]', 'pins[0].function must be a function; there is no 0'],
        ['pins: [{ id: 1, name: p }]', 'pins[0].id must be 0: ids are dense, in list order; found 1'],
      ] as const
    ).map(([property, expected]): [string, string, string] => [
      'system: {',
      `pinControl: { ${property.startsWith('pins') ? '' : 'pins: [{ id: 0, name: p }], '}${property} }\nsystem: {`,
      `pinControl.${expected}`,
    ]),
    [
      'name: avb, clock: [0]',
      'name: avb, groups: [0], clock: [0]',
      'devices[0].groups[0] must exist; the platform has 0 of that kind, found 0',
    ],
    [
      "release: '3.2'",
      "release: '3.2'\nchannels: [{ agent: 6 }]",
      'channels[0].agent must be an agent; there is no agent 6',
    ],
  ])('%j to %j', (from, to, expected) => {
    const error = fault(edit(from, to))
    expect(error.code).toBe('CONFIG_INVALID')
    expect(error.message).toBe(`some.yaml: ${expected}`)
  })
})

test('a device that has a group without its pins is named', () => {
  const error = fault(
    extended(exampleText).replace('pins: [0, 1, 2], groups: [0]', 'pins: [0, 1], groups: [0]'),
  )
  expect(error.message).toBe(
    "some.yaml: devices[0].groups[0] must have its pins among the device's; pin 2 is not",
  )
})

test('a file that cannot be read is named', () => {
  expect(() => loadPlatform('/nonexistent/platform.yaml')).toThrow(
    '/nonexistent/platform.yaml: cannot be read',
  )
})
