// Resources that several can reach: votes, own views, exclusive settings. Over the embedded platform, which answers at once.
import { afterEach, describe, expect, test } from 'vitest'
import { EXCLUSIVELY_HELD, HOST_HOLDS, OTHERS_VOTE, STATE_NOT_SHARED } from '../../src/permissions/reasons.ts'
import { Machine, type MachineOptions, type MemoryGuest } from './machine.ts'

const INVALID = -2
const DENIED = -3
const ON = 0
const OFF = 0x4000_0000
/** Power domain that sdhi0 (guest a) and sdhi2 (guest b) are in; one that canfd (guest c) shares with the host. */
const sdhi = 2
const canI2c = 3
/** Clock of canfd (guest c) and can1 (guest d). */
const can = 9

const machines: Machine[] = []
afterEach(() => {
  for (const machine of machines.splice(0)) machine.stop()
})
interface Guests {
  machine: Machine
  a: MemoryGuest
  b: MemoryGuest
  c: MemoryGuest
  d: MemoryGuest
}
function fourGuests(options: MachineOptions = {}): Guests {
  const machine = new Machine(options)
  machines.push(machine)
  const [a, b, c, d] = [[0, 2, 5], [1, 3, 7], [6], [8]].map(devices => machine.guest(devices)) as [
    MemoryGuest,
    MemoryGuest,
    MemoryGuest,
    MemoryGuest,
  ]
  machine.takeTapped()
  return { machine, a, b, c, d }
}
const power = (guest: MemoryGuest, domain: number, state: number): number =>
  guest.status(0x1104, 0, domain, state)
const powerView = (guest: MemoryGuest, domain: number): number => guest.words(0x1105, domain)[1] as number
const clock = (guest: MemoryGuest, id: number, config: number, value = 0): number =>
  guest.status(0x1407, id, config, value)
const clockViews = (guest: MemoryGuest, id: number): number[] => [
  (guest.words(0x1403, id)[1] as number) & 1,
  guest.words(0x140b, id, 0)[2] as number,
]
/** Channel, message and payload of what the platform received. */
const received = (machine: Machine): (readonly number[])[] =>
  machine
    .takeTapped()
    .map(({ channel, words: [header = 0, ...payload] }) => [
      channel,
      (((header >>> 10) & 0xff) << 8) | (header & 0xff),
      ...payload,
    ])

const sharing = (kind: string) => (text: string) => text.replace('sharing: votes', `sharing: ${kind}`)

describe.each(['votes', 'last-writer'])('power, on firmware with %s', kind => {
  test('A on, B on, A off: nothing is sent; B off: released on every channel that holds it', () => {
    const { machine, a, b } = fourGuests({ edit: sharing(kind) })
    expect(power(a, sdhi, ON)).toBe(0)
    expect(power(b, sdhi, ON)).toBe(0)
    expect(received(machine)).toEqual([
      [1, 0x1104, 0, sdhi, ON],
      [2, 0x1104, 0, sdhi, ON],
    ])
    expect(power(a, sdhi, OFF)).toBe(0)
    expect(received(machine)).toEqual([])
    expect(machine.platform.power.state(sdhi)).toBe(1)
    expect(power(b, sdhi, OFF)).toBe(0)
    expect(received(machine)).toEqual([
      [1, 0x1104, 0, sdhi, OFF], // what A's channel may still hold
      [2, 0x1104, 0, sdhi, OFF],
    ])
    expect(machine.platform.power.state(sdhi)).toBe(0)
  })

  test('each sees its own last request, at first OFF', () => {
    const { a, b } = fourGuests({ edit: sharing(kind) })
    expect([powerView(a, sdhi), powerView(b, sdhi)]).toEqual([OFF, OFF])
    power(a, sdhi, ON)
    expect([powerView(a, sdhi), powerView(b, sdhi)]).toEqual([ON, OFF])
    power(b, sdhi, ON)
    power(a, sdhi, OFF)
    expect([powerView(a, sdhi), powerView(b, sdhi)]).toEqual([OFF, ON])
  })

  test('an OFF of one who never asked takes nothing from the other', () => {
    const { machine, a, b } = fourGuests({ edit: sharing(kind) })
    power(a, sdhi, ON)
    expect(power(b, sdhi, OFF)).toBe(0)
    expect(machine.platform.power.state(sdhi)).toBe(1)
    expect(powerView(b, sdhi)).toBe(OFF)
  })

  test('on twice is one vote', () => {
    const { machine, a, b } = fourGuests({ edit: sharing(kind) })
    power(a, sdhi, ON)
    power(a, sdhi, ON)
    power(b, sdhi, ON)
    power(b, sdhi, OFF)
    expect(power(a, sdhi, OFF)).toBe(0)
    expect(machine.platform.power.state(sdhi)).toBe(0)
  })

  test('a channel that has released it is not asked again', () => {
    const { machine, a, b } = fourGuests({ edit: sharing(kind) })
    power(a, sdhi, ON)
    power(a, sdhi, OFF)
    power(b, sdhi, ON)
    received(machine)
    power(b, sdhi, OFF)
    expect(received(machine)).toEqual([[2, 0x1104, 0, sdhi, OFF]])
  })

  test('a guest that leaves takes its vote along', () => {
    const { machine, a, b } = fourGuests({ edit: sharing(kind) })
    power(a, sdhi, ON)
    power(b, sdhi, ON)
    machine.close(0)
    expect(machine.platform.power.state(sdhi)).toBe(1)
    expect(powerView(b, sdhi)).toBe(ON)
    machine.close(1)
    expect(machine.platform.power.state(sdhi)).toBe(0)
  })

  test('so does one that loses the device, and only of that device', () => {
    const { machine, a, b } = fourGuests({ edit: sharing(kind) })
    power(a, sdhi, ON)
    power(a, 0, ON)
    machine.regrant(0, 0, 5)
    expect(machine.platform.power.state(sdhi)).toBe(0)
    expect(machine.platform.power.state(0)).toBe(1)
    expect(power(a, sdhi, ON)).toBe(DENIED)
    expect(power(b, sdhi, ON)).toBe(0)
    expect(powerView(a, 0)).toBe(ON)
  })

  test('the host’s vote stands for ever', () => {
    const { machine, c } = fourGuests({ edit: sharing(kind) })
    power(c, canI2c, ON)
    received(machine)
    expect(power(c, canI2c, OFF)).toBe(0)
    expect(received(machine)).toEqual([])
    expect(powerView(c, canI2c)).toBe(OFF)
    expect(machine.records().at(-1)).toMatchObject({
      decision: 'vote',
      status: 0,
      rule: OTHERS_VOTE,
      resource: canI2c,
    })
    received(machine)
    machine.close(2)
    expect(received(machine)).toEqual([])
  })

  test('until the host lets go: what nobody asks for any more is released', () => {
    const { machine, c } = fourGuests({ edit: sharing(kind) })
    power(c, canI2c, ON)
    power(c, canI2c, OFF)
    expect(machine.platform.power.state(canI2c)).toBe(1)
    machine.execute({ type: 'host', host: machine.grants() })
    expect(received(machine).at(-1)).toEqual([3, 0x1104, 0, canI2c, OFF])
    expect(machine.platform.power.state(canI2c)).toBe(0)
  })

  test('a state between on and off is nobody’s to choose for others', () => {
    const { machine, a, b } = fourGuests({ edit: sharing(kind) })
    power(a, sdhi, ON)
    received(machine)
    for (const state of [1, OFF + 1, 0x0fff_ffff]) expect(power(b, sdhi, state)).toBe(DENIED)
    expect(received(machine)).toEqual([])
    expect(machine.records().at(-1)).toMatchObject({
      decision: 'denied',
      rule: STATE_NOT_SHARED,
      resource: sdhi,
    })
    expect(power(a, 0, 1)).toBe(INVALID) // alone: the platform's to judge
    expect(received(machine)).toEqual([[1, 0x1104, 0, 0, 1]])
  })

  test('what is malformed is never a vote', () => {
    const { machine, a, b } = fourGuests({ edit: sharing(kind) })
    power(a, sdhi, ON)
    power(b, sdhi, ON)
    received(machine)
    expect(a.status(0x1104, 2, sdhi, OFF)).toBe(INVALID)
    expect(a.status(0x1104, 0, sdhi, 0x8000_0000)).toBe(INVALID)
    expect(received(machine)).toEqual([])
    expect(powerView(a, sdhi)).toBe(ON)
  })
})

test('several guests on one channel: the last OFF goes out on it', () => {
  const machine = new Machine()
  machines.push(machine)
  const a = machine.guest([2], { channel: 1 })
  const b = machine.guest([3], { channel: 1 })
  power(a, sdhi, ON)
  power(b, sdhi, ON)
  received(machine)
  expect(power(a, sdhi, OFF)).toBe(0)
  expect(received(machine)).toEqual([])
  expect(power(b, sdhi, OFF)).toBe(0)
  expect(received(machine)).toEqual([[1, 0x1104, 0, sdhi, OFF]])
  expect(machine.platform.power.state(sdhi)).toBe(0)
})

describe('clocks', () => {
  test('votes and views, in CLOCK_ATTRIBUTES and CLOCK_CONFIG_GET alike', () => {
    const { machine, c, d } = fourGuests()
    expect([clockViews(c, can), clockViews(d, can)]).toEqual([
      [0, 0],
      [0, 0],
    ])
    expect(clock(c, can, 1)).toBe(0)
    expect(clock(d, can, 1)).toBe(0)
    expect([clockViews(c, can), clockViews(d, can)]).toEqual([
      [1, 1],
      [1, 1],
    ])
    received(machine)
    expect(clock(c, can, 0)).toBe(0)
    expect([clockViews(c, can), clockViews(d, can)]).toEqual([
      [0, 0],
      [1, 1],
    ])
    expect(machine.platform.clocks.running(can)).toBe(true)
    expect(clock(d, can, 0)).toBe(0)
    expect(machine.platform.clocks.running(can)).toBe(false)
    expect(machine.platform.clocks.enableCount(can)).toBe(0)
  })

  test('the name and the rest of the attributes are the truth', () => {
    const { c } = fourGuests()
    expect(c.words(0x1403, can).slice(2, 3)).toEqual([Buffer.from('can\0').readUInt32LE()])
  })

  test('a rate is the truth too: a divider depends on it', () => {
    const { c, d } = fourGuests()
    expect(c.status(0x1405, 0, can, 20_000_000, 0)).toBe(0)
    expect(d.words(0x1406, can)).toEqual([0, 20_000_000, 0])
  })

  const duty = 0x1_0000
  const withDuty = (text: string) =>
    text.replace(
      'name: can, rates: [20000000, 40000000], rate: 40000000',
      'name: can, rates: [20000000, 40000000], rate: 40000000, extended: [{ type: 1, value: 50 }]',
    )

  test('unchanged (3) neither asks nor releases', () => {
    const { machine, c } = fourGuests({ edit: withDuty })
    expect(clock(c, can, duty | 3, 40)).toBe(0)
    expect(clockViews(c, can)).toEqual([0, 0])
    expect(machine.platform.clocks.running(can)).toBe(false)
    clock(c, can, 1)
    expect(clock(c, can, duty | 3, 60)).toBe(0)
    expect(clockViews(c, can)).toEqual([1, 1])
    expect(machine.platform.clocks.extended(can, 0)).toBe(60)
  })

  test('unchanged without a type is malformed', () => {
    const { machine, c } = fourGuests()
    expect(clock(c, can, 3)).toBe(INVALID)
    expect(received(machine)).toEqual([])
  })

  test('an extended configuration is exclusive, an enable is not', () => {
    const { machine, c, d } = fourGuests({ edit: withDuty })
    expect(clock(c, can, duty | 3, 40)).toBe(0)
    expect(clock(d, can, duty | 3, 70)).toBe(DENIED)
    expect(machine.records().at(-1)).toMatchObject({ slot: 3, rule: EXCLUSIVELY_HELD })
    expect(clock(d, can, duty | 1, 70)).toBe(DENIED)
    expect(clockViews(d, can)).toEqual([0, 0])
    expect(clock(d, can, 1)).toBe(0)
    expect(clock(d, can, 0)).toBe(0)
    expect(machine.platform.clocks.extended(can, 0)).toBe(40)
  })

  test('a release that sets a duty cycle too: that is sent, and the clock goes on', () => {
    const { machine, c, d } = fourGuests({ edit: withDuty })
    clock(c, can, 1)
    clock(d, can, 1)
    received(machine)
    expect(clock(c, can, duty, 30)).toBe(0)
    expect(received(machine)).toEqual([[3, 0x1407, can, duty | 3, 30]])
    expect(machine.platform.clocks.extended(can, 0)).toBe(30)
    expect(machine.platform.clocks.running(can)).toBe(true)
    expect([clockViews(c, can), clockViews(d, can)]).toEqual([
      [0, 0],
      [1, 1],
    ])
    expect(clock(d, can, 0)).toBe(0)
    expect(machine.platform.clocks.running(can)).toBe(false)
  })

  test('when that fails, the vote stands', () => {
    const { machine, c, d } = fourGuests({ edit: withDuty })
    clock(c, can, 1)
    clock(d, can, 1)
    expect(clock(c, can, duty, 101)).toBe(INVALID)
    expect(clockViews(c, can)).toEqual([1, 1])
    expect(clock(d, can, duty | 3, 60)).toBe(0) // the failed request gave its hold up
    expect(machine.platform.clocks.extended(can, 0)).toBe(60)
  })

  test('version 1 of the protocol: two words', () => {
    const { machine, c } = fourGuests({
      versions: [[0x14, 0x1_0000]],
      edit: text => text.replace("release: '3.2'", "release: '3.2'\nversions: { clock: 0x10000 }"),
    })
    expect(c.status(0x1407, can, 1)).toBe(0)
    expect(machine.platform.clocks.running(can)).toBe(true)
    machine.close(2)
    expect(machine.platform.clocks.running(can)).toBe(false)
  })
})

describe('voltages', () => {
  // vmmc of sdhi0 (voltage 0), shared here with guest b's sdhi2.
  const shared = (text: string) => text.replace('reset: [3], voltage: [2] }', 'reset: [3], voltage: [0, 2] }')

  test('votes and views', () => {
    const { machine, a, b } = fourGuests({ edit: shared })
    expect([a.words(0x1706, 0), b.words(0x1706, 0)]).toEqual([
      [0, 0],
      [0, 0],
    ])
    expect(a.status(0x1705, 0, 7)).toBe(0)
    expect(b.status(0x1705, 0, 7)).toBe(0)
    received(machine)
    expect(a.status(0x1705, 0, 0)).toBe(0)
    expect(received(machine)).toEqual([])
    expect([a.words(0x1706, 0), b.words(0x1706, 0)]).toEqual([
      [0, 0],
      [0, 7],
    ])
    expect(b.status(0x1705, 0, 0)).toBe(0)
    expect(machine.platform.voltages.config(0)).toBe(0)
  })

  test('a mode of the implementation is not to be chosen for others', () => {
    const { machine, a, b } = fourGuests({ edit: shared })
    expect(b.status(0x1705, 0, 7)).toBe(0)
    received(machine)
    expect(a.status(0x1705, 0, 8)).toBe(DENIED)
    expect(received(machine)).toEqual([])
    expect(a.status(0x1705, 1, 8)).toBe(-1) // alone: the platform knows no such mode
  })
})

describe('exclusive settings', () => {
  test('the first to set a shared rate has it, until it leaves', () => {
    const { machine, c, d } = fourGuests()
    expect(c.status(0x1405, 0, can, 20_000_000, 0)).toBe(0)
    received(machine)
    expect(d.status(0x1405, 0, can, 40_000_000, 0)).toBe(DENIED)
    expect(received(machine)).toEqual([])
    expect(machine.records().at(-1)).toMatchObject({
      slot: 3,
      message: 0x1405,
      resource: can,
      rule: EXCLUSIVELY_HELD,
    })
    expect(c.status(0x1405, 0, can, 40_000_000, 0)).toBe(0)
    machine.close(2)
    expect(d.status(0x1405, 0, can, 20_000_000, 0)).toBe(0)
    expect(machine.platform.clocks.rate(can)).toBe(20_000_000)
  })

  test('or loses the device', () => {
    const { machine, c, d } = fourGuests()
    c.status(0x1405, 0, can, 20_000_000, 0)
    machine.regrant(2)
    expect(d.status(0x1405, 0, can, 40_000_000, 0)).toBe(0)
  })

  test('a rate that the firmware refused is nobody’s', () => {
    const { c, d } = fourGuests()
    expect(c.status(0x1405, 0, can, 1, 0)).toBe(INVALID)
    expect(d.status(0x1405, 0, can, 40_000_000, 0)).toBe(0)
  })

  test('an enable that the firmware refused leaves the rate with its holder', () => {
    const restricted = (text: string) =>
      text.replace('name: can, rates:', 'name: can, restrict: [{ agents: [4], deny: [state] }], rates:')
    const { c, d } = fourGuests({ edit: restricted })
    expect(c.status(0x1405, 0, can, 20_000_000, 0)).toBe(0)
    expect(clock(c, can, 1)).toBe(DENIED)
    expect(d.status(0x1405, 0, can, 40_000_000, 0)).toBe(DENIED)
  })

  test('what was set alone stays exclusive when another comes to share it', () => {
    const machine = new Machine()
    machines.push(machine)
    const c = machine.guest([6])
    expect(c.status(0x1405, 0, can, 20_000_000, 0)).toBe(0)
    const d = machine.guest([8])
    expect(d.status(0x1405, 0, can, 40_000_000, 0)).toBe(DENIED)
    expect(machine.platform.clocks.rate(can)).toBe(20_000_000)
  })

  test('what the host uses is the host’s to set', () => {
    const { machine, c } = fourGuests({ hostDevices: [8] })
    received(machine)
    expect(c.status(0x1405, 0, can, 20_000_000, 0)).toBe(DENIED)
    expect(received(machine)).toEqual([])
    expect(machine.records().at(-1)).toMatchObject({ rule: HOST_HOLDS })
    expect(c.status(0x1405, 0, 10, 80_000_000, 0)).toBe(0)
  })

  test('resets, performance levels and voltage levels alike', () => {
    const both = (text: string) =>
      text.replace('power: [0], reset: [0] }', 'power: [0], reset: [0, 1], performance: [0], voltage: [1] }')
    const { machine, a, b } = fourGuests({
      edit: text =>
        both(text).replace(
          'power: [1], reset: [1], performance: [2] }',
          'power: [1], reset: [1], performance: [0, 2], voltage: [1] }',
        ),
    })
    expect(b.status(0x1604, 1, 1, 0)).toBe(0)
    expect(a.status(0x1604, 1, 1, 0)).toBe(DENIED)
    expect(a.status(0x1307, 0, 400)).toBe(0)
    expect(b.status(0x1307, 0, 200)).toBe(DENIED)
    expect(b.status(0x1305, 0, 400, 200)).toBe(DENIED)
    expect(a.status(0x1707, 1, 0, 1_800_000)).toBe(0)
    expect(b.status(0x1707, 1, 0, 3_300_000)).toBe(DENIED)
    expect(machine.platform.voltages.level(1)).toBe(1_800_000)
    machine.close(0)
    expect(b.status(0x1307, 0, 200)).toBe(0)
    expect(b.status(0x1707, 1, 0, 3_300_000)).toBe(0)
  })

  test('malformed settings of what is shared take no hold', () => {
    const { machine, c, d } = fourGuests()
    received(machine)
    expect(c.status(0x1405, 0x10, can, 20_000_000, 0)).toBe(INVALID)
    expect(received(machine)).toEqual([])
    expect(d.status(0x1405, 0, can, 40_000_000, 0)).toBe(0)
  })

  test('a parent must be owned too, and the record names it', () => {
    const { machine } = fourGuests()
    const codec = machine.guest([4], { channel: 0 }) // clocks 7 and 12; 12 may be fed from 7 or 13
    received(machine)
    machine.records()
    expect(codec.status(0x140d, 12, 13)).toBe(DENIED)
    expect(received(machine)).toEqual([])
    expect(machine.records()).toMatchObject([{ message: 0x140d, resource: 13, decision: 'denied' }])
  })
})
