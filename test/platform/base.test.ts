// src/platform/base.ts: identity, the caller's protocols, permission commands and agent reset.
import { describe, expect, test, vi } from 'vitest'
import { DENIED, INVALID_PARAMETERS, NOT_FOUND, NOT_SUPPORTED, SUCCESS } from '../../src/scmi/status.ts'
import { example, hex, name16 } from './ask.ts'

const mediator = 0
const guest0 = 1
const guest1 = 2

describe('identity', () => {
  test.each([
    [mediator, 0x3, [], name16('example')],
    [mediator, 0x4, [], name16('r-car-h3')],
    [mediator, 0x5, [], hex(0x1_0000)],
    [mediator, 0x7, [0], hex(0) + name16('platform')],
    [mediator, 0x7, [0xffff_ffff], hex(1) + name16('mediator')],
    [guest0, 0x7, [0xffff_ffff], hex(2) + name16('guest0')],
    [guest0, 0x7, [5], hex(5) + name16('guest3')],
  ] as const)('channel %i asks 0x%s %o', (channel, message, payload, body) => {
    expect(example().ask(channel, 0x10, message, ...payload)).toBe(hex(SUCCESS) + body)
  })

  test('version 1 of DISCOVER_AGENT answers the name alone', () => {
    const asked = example(text =>
      text.replace("release: '3.2'", "release: '3.2'\nversions: { base: 0x10000 }"),
    )
    expect(asked.ask(mediator, 0x10, 0x7, 2)).toBe(hex(SUCCESS) + name16('guest0'))
  })

  test('without a sub-vendor the message is left out', () => {
    const asked = example(text => text.replace('subVendor: r-car-h3\n', ''))
    expect(asked.status(mediator, 0x10, 0x4)).toBe(NOT_SUPPORTED)
    expect(asked.status(mediator, 0x10, 0x2, 0x4)).toBe(NOT_FOUND)
  })
})

describe('protocols', () => {
  test('the list and the count are the caller’s own, and follow its permissions', () => {
    const asked = example()
    const list = (channel: number) => asked.ask(channel, 0x10, 0x6, 0)
    const count = (channel: number) => (asked.words(channel, 0x10, 0x1)[0] as number) & 0xff
    expect(list(mediator)).toBe(`${hex(SUCCESS, 7)}1112131415161700`)
    expect(list(guest0)).toBe(`${hex(SUCCESS, 1)}12000000`)
    asked.ask(mediator, 0x10, 0x9, 2, 7, 1) // adc: clock, power, reset, sensor
    expect(list(guest0)).toBe(`${hex(SUCCESS, 5)}111214151600${'0000'}`)
    expect(count(guest0)).toBe(5)
    asked.ask(mediator, 0x10, 0xa, 2, 7, 0x15, 0)
    expect(list(guest0)).toBe(`${hex(SUCCESS, 4)}11121416`)
    expect(count(guest0)).toBe(4)
    expect(list(guest1)).toBe(`${hex(SUCCESS, 1)}12000000`)
  })

  test.each([
    [0, `${hex(7)}1112131415161700`],
    [3, `${hex(4)}14151617`],
    [6, `${hex(1)}17000000`],
    [7, hex(0)],
  ])('skip %i', (skip, body) => {
    expect(example().ask(mediator, 0x10, 0x6, skip)).toBe(hex(SUCCESS) + body)
  })

  test('agents are counted without the platform', () => {
    expect(example().words(guest0, 0x10, 0x1)).toEqual([0x0501])
  })
})

describe('what exists for whom', () => {
  test.each([
    [mediator, 0x9, SUCCESS],
    [mediator, 0xa, SUCCESS],
    [mediator, 0xb, SUCCESS],
    [guest0, 0x9, NOT_FOUND],
    [guest0, 0xa, NOT_FOUND],
    [guest0, 0xb, NOT_FOUND],
    [guest0, 0x7, SUCCESS],
    [guest0, 0xc, NOT_FOUND],
    [guest0, 0x1_0007, NOT_FOUND],
    [guest0, 0xffff_ffff, NOT_FOUND],
  ])('to channel %i message 0x%s: %i', (channel, message, status) => {
    expect(example().status(channel, 0x10, 0x2, message)).toBe(status)
  })

  test('an agent without a way back finds no notification messages, and cannot subscribe', () => {
    const channels = 'channels: [{ agent: 1 }, { agent: 2, p2a: false }]\n'
    const asked = example(
      text => channels + text.replace('name: guest0, permissions: deny', 'name: guest0, permissions: allow'),
    )
    expect(asked.status(guest0, 0x10, 0x2, 0x8)).toBe(NOT_FOUND)
    expect(asked.status(guest0, 0x10, 0x8, 1)).toBe(NOT_SUPPORTED)
    expect(asked.status(guest0, 0x10, 0x8, 2), 'flags first').toBe(INVALID_PARAMETERS)
    expect(asked.status(guest0, 0x11, 0x2, 0x6)).toBe(NOT_FOUND)
    expect(asked.status(guest0, 0x11, 0x6, 1, 1)).toBe(NOT_SUPPORTED)
    expect(asked.words(guest0, 0x11, 0x3, 1)[0], 'nor is any advertised').toBe(0x2000_0000)
    expect(asked.words(mediator, 0x11, 0x3, 1)[0]).toBe(0xb000_0000)
  })
})

describe('device permissions', () => {
  test('allow and deny take effect at once, for that agent and that device', () => {
    const onPermission = vi.fn()
    const asked = example(undefined, { onPermission })
    expect(asked.status(mediator, 0x10, 0x9, 2, 0, 1)).toBe(SUCCESS)
    expect(asked.status(guest0, 0x14, 0x3, 0)).toBe(SUCCESS)
    expect(asked.status(guest0, 0x14, 0x3, 1)).toBe(DENIED)
    expect(asked.status(guest1, 0x14, 0x3, 0)).toBe(DENIED)
    expect(asked.status(mediator, 0x10, 0x9, 2, 0, 0)).toBe(SUCCESS)
    expect(asked.status(guest0, 0x14, 0x0), 'suite b012: VERSION of the protocol').toBe(DENIED)
    expect(onPermission.mock.calls).toEqual([
      [2, 0, true],
      [2, 0, false],
    ])
  })

  test('ids of devices may have holes, be large and stand in any order', () => {
    const onPermission = vi.fn()
    const asked = example(
      text =>
        text
          .replace(
            'name: guest0, permissions: deny',
            'name: guest0, permissions: deny, devices: [0xffffffff]',
          )
          .replace('{ id: 0, name: avb', '{ id: 0xffffffff, name: avb')
          .replace('{ id: 3, name: sdhi2', '{ id: 0x8000, name: sdhi2')
          .replace('{ id: 8, name: can1', '{ id: 70000, name: can1'),
      { onPermission },
    )
    expect(asked.status(guest0, 0x14, 0x3, 0), 'avb, allowed at boot').toBe(SUCCESS)
    for (const [device, clock] of [
      [0x8000, 5],
      [70_000, 9],
      [1, 1],
    ] as const) {
      expect(asked.status(guest0, 0x14, 0x3, clock)).toBe(DENIED)
      expect(asked.status(mediator, 0x10, 0x9, 2, device, 1)).toBe(SUCCESS)
      expect(asked.status(guest0, 0x14, 0x3, clock)).toBe(SUCCESS)
      expect(asked.status(mediator, 0x10, 0xa, 2, device, 0x14, 0)).toBe(SUCCESS)
      expect(asked.status(guest0, 0x14, 0x3, clock)).toBe(DENIED)
    }
    for (const hole of [0, 3, 8, 9, 0x7fff, 0x8001, 69_999, 70_001, 0x8000_0000, 0xffff_fffe]) {
      expect(asked.status(mediator, 0x10, 0x9, 2, hole, 1)).toBe(NOT_FOUND)
      expect(asked.status(mediator, 0x10, 0xa, 2, hole, 0x14, 1)).toBe(NOT_FOUND)
    }
    expect(onPermission.mock.calls).toEqual([
      [2, 0x8000, true],
      [2, 70_000, true],
      [2, 1, true],
    ])
  })

  test('a resource in two devices stays usable while one of them is allowed', () => {
    const asked = example()
    asked.ask(mediator, 0x10, 0x9, 4, 6, 1) // canfd
    asked.ask(mediator, 0x10, 0x9, 4, 8, 1) // can1: clock 9 is in both
    asked.ask(mediator, 0x10, 0x9, 4, 6, 0)
    expect(asked.status(3, 0x14, 0x3, 9)).toBe(SUCCESS)
    expect(asked.status(3, 0x14, 0x3, 10)).toBe(DENIED)
    asked.ask(mediator, 0x10, 0x9, 4, 8, 0)
    expect(asked.status(3, 0x14, 0x3, 9)).toBe(DENIED)
  })

  test('a refused command changes nothing and is not told', () => {
    const onPermission = vi.fn()
    const asked = example(undefined, { onPermission })
    asked.ask(mediator, 0x10, 0x9, 2, 0, 3)
    asked.ask(mediator, 0x10, 0x9, 2, 9, 1)
    asked.ask(guest0, 0x10, 0x9, 2, 0, 1)
    expect(asked.status(guest0, 0x14, 0x3, 0)).toBe(DENIED)
    expect(onPermission).not.toHaveBeenCalled()
  })

  test('what no device lists is for agents that may use everything, and no message gives it to others', () => {
    const asked = example()
    for (let device = 0; device < 9; device++) asked.ask(mediator, 0x10, 0x9, 2, device, 1)
    expect(asked.status(guest0, 0x14, 0x3, 13)).toBe(DENIED)
    expect(asked.status(mediator, 0x14, 0x3, 13)).toBe(SUCCESS)
  })

  test('the trusted agent can deny itself', () => {
    const asked = example()
    asked.ask(mediator, 0x10, 0x9, 1, 0, 0)
    expect(asked.status(mediator, 0x14, 0x3, 0)).toBe(DENIED)
    asked.ask(mediator, 0x10, 0xb, 1, 1)
    expect(asked.status(mediator, 0x14, 0x3, 0)).toBe(SUCCESS)
  })

  test('a file can allow devices at boot, and reset restores them', () => {
    const asked = example(text =>
      text.replace('name: guest0, permissions: deny', 'name: guest0, permissions: deny, devices: [1]'),
    )
    expect(asked.status(guest0, 0x14, 0x3, 1)).toBe(SUCCESS)
    asked.ask(mediator, 0x10, 0x9, 2, 1, 0)
    expect(asked.status(guest0, 0x14, 0x3, 1)).toBe(DENIED)
    asked.ask(mediator, 0x10, 0xb, 2, 1)
    expect(asked.status(guest0, 0x14, 0x3, 1)).toBe(SUCCESS)
  })
})

describe('protocol permissions', () => {
  test('deny one protocol on one device', () => {
    const asked = example()
    asked.ask(mediator, 0x10, 0x9, 2, 0, 1)
    asked.ask(mediator, 0x10, 0x9, 2, 2, 1)
    asked.ask(mediator, 0x10, 0xa, 2, 0, 0x14, 0)
    expect(asked.status(guest0, 0x14, 0x3, 0)).toBe(DENIED)
    expect(asked.status(guest0, 0x14, 0x3, 3), 'another device').toBe(SUCCESS)
    expect(asked.status(guest0, 0x11, 0x3, 0), 'another protocol').toBe(SUCCESS)
    asked.ask(mediator, 0x10, 0xa, 2, 0, 0x14, 1)
    expect(asked.status(guest0, 0x14, 0x3, 0)).toBe(SUCCESS)
  })

  test('allowing a protocol does not allow the device', () => {
    const asked = example()
    asked.ask(mediator, 0x10, 0xa, 2, 0, 0x14, 1)
    expect(asked.status(guest0, 0x14, 0x3, 0)).toBe(DENIED)
  })

  test('a denied protocol stays denied when the device is allowed again', () => {
    const asked = example()
    asked.ask(mediator, 0x10, 0xa, 2, 0, 0x14, 0)
    asked.ask(mediator, 0x10, 0x9, 2, 0, 1)
    expect(asked.status(guest0, 0x14, 0x3, 0)).toBe(DENIED)
    expect(asked.status(guest0, 0x11, 0x3, 0)).toBe(SUCCESS)
  })
})

describe('agent reset', () => {
  const held = () => {
    const asked = example(text =>
      text.replace('explicit: true }\n    - { id: 6', 'explicit: true }\n    - { id: 6'),
    )
    for (const device of [1, 5]) asked.ask(mediator, 0x10, 0x9, 2, device, 1) // usb0, gpu
    const done = [
      asked.status(guest0, 0x14, 0x7, 1, 1, 0),
      asked.status(guest0, 0x11, 0x4, 0, 1, 0),
      asked.status(guest0, 0x13, 0x5, 0, 400, 200),
      asked.status(guest0, 0x13, 0x7, 0, 400),
      asked.status(guest0, 0x16, 0x4, 1, 2, 0),
      asked.status(guest0, 0x15, 0x5, 0, 1, 50_000, 0),
      asked.status(guest0, 0x15, 0xa, 0, 0),
      asked.status(guest0, 0x11, 0x6, 1, 1),
      asked.status(guest0, 0x14, 0x10, 0x2_0000),
    ]
    expect(done).toEqual(done.map(() => SUCCESS))
    return asked
  }

  test('gives back clocks, power, limits, level, signals, sensor configuration, subscriptions and versions', () => {
    const asked = held()
    const { clocks, power, performance, resets, sensors } = asked.platform
    expect([clocks.running(1), power.state(1), performance.max(0), performance.level(0)]).toEqual([
      true,
      1,
      400,
      400,
    ])
    expect([resets.asserted(1), sensors.enabled(0)]).toEqual([true, false])
    expect(asked.platform.versionInForce(2, 0x14)).toBe(0x2_0000)
    expect(asked.status(mediator, 0x10, 0xb, 2, 0)).toBe(SUCCESS)
    expect([clocks.running(1), power.state(1), performance.max(0), performance.level(0)]).toEqual([
      false,
      0,
      600,
      200,
    ])
    expect([resets.asserted(1), sensors.enabled(0)]).toEqual([false, true])
    expect(asked.platform.versionInForce(2, 0x14)).toBe(0x3_0000)
    asked.takeEvents()
    asked.ask(mediator, 0x11, 0x4, 0, 1, 0)
    asked.platform.sensors.setReading(0, 60_000)
    asked.ask(mediator, 0x10, 0x0)
    expect(asked.takeEvents(), 'no subscription, no trip point').toEqual([])
    expect(asked.status(guest0, 0x14, 0x3, 1), 'flags 0 keeps permissions').toBe(SUCCESS)
  })

  test('flag 1 restores the permissions too', () => {
    const asked = held()
    asked.ask(mediator, 0x10, 0xb, 2, 1)
    expect(asked.status(guest0, 0x14, 0x3, 1)).toBe(DENIED)
    expect(asked.platform.deviceAllowed(2, 1)).toBe(false)
  })

  test('suite b017: what was denied by protocol comes back with flag 1', () => {
    const asked = example(text =>
      text.replace('name: guest0, permissions: deny', 'name: guest0, permissions: deny, devices: [1]'),
    )
    asked.ask(mediator, 0x10, 0xa, 2, 1, 0x14, 0)
    asked.ask(mediator, 0x10, 0xb, 2, 0)
    expect(asked.status(guest0, 0x14, 0x0), 'flags 0').toBe(DENIED)
    asked.ask(mediator, 0x10, 0xb, 2, 1)
    expect(asked.status(guest0, 0x14, 0x0)).toBe(SUCCESS)
  })

  test('takes nothing from others', () => {
    const asked = held()
    asked.ask(mediator, 0x14, 0x7, 1, 1, 0)
    asked.ask(mediator, 0x11, 0x4, 0, 1, 0)
    asked.ask(mediator, 0x10, 0xb, 2, 1)
    expect([asked.platform.clocks.running(1), asked.platform.power.state(1)]).toEqual([true, 1])
  })
})

test('subscribers hear of reported errors', () => {
  const asked = example()
  asked.ask(guest0, 0x10, 0x8, 1)
  asked.platform.reportError(3, 0x5007, -9)
  asked.ask(mediator, 0x10, 0x0)
  expect(asked.takeEvents()).toEqual([{ channel: guest0, frame: hex(0x4300, 3, 1, 0x5007, -9) }])
  asked.platform.reportError(3, 0x5007, -9, true)
  asked.ask(guest0, 0x10, 0x8, 0)
  expect(asked.takeEvents()).toEqual([{ channel: guest0, frame: hex(0x4300, 3, 0x8000_0001, 0x5007, -9) }])
})
