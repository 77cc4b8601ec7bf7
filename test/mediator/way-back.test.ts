// Delayed responses and notifications: each to the guest it is for, once, and of it only what that guest may see.
import { describe, expect, test } from 'vitest'
import { delayedAtOnce } from '../../src/mediator/mailbox.ts'
import { frameOf, headerWord, Machine, type MemoryGuest, wordsOf } from './machine.ts'

const [POWER_STATE_SET, POWER_STATE_NOTIFY] = [0x1104, 0x1106]
const [PERFORMANCE_LEVEL_SET, NOTIFY_LEVEL] = [0x1307, 0x130a]
const RESET_NOTIFY = 0x1605
const OFF = 0x4000_0000
const [SUCCESS, NOT_SUPPORTED, INVALID_PARAMETERS, BUSY] = [0, -1, -2, -6]

const machineOf = (): Machine =>
  new Machine({
    recordsPerGuest: 1 << 14,
    edit: text => text.replace('name: gpu\n', 'name: gpu\n      levelNotify: true\n'),
  })

function withWay(guest: MemoryGuest, room = Number.POSITIVE_INFINITY): MemoryGuest {
  guest.hasP2A = true
  guest.room = room
  return guest
}
const delivered = (guest: MemoryGuest): number[][] => guest.delivered.splice(0).map(wordsOf)
const notification = (message: number): number => headerWord(message, 0, 3)
const onChannel = (machine: Machine, channel: number, message: number): number =>
  machine.tapped.filter(
    ({ channel: c, words }) =>
      c === channel && ((words[0] as number) & 0x3_fcff) === (headerWord(message) & 0x3_fcff),
  ).length

describe('notifications', () => {
  test('come to the guest that asked and owns, and to nobody else; its own doing is agent 1, others’ agent 0', () => {
    const machine = machineOf()
    const [a, b] = [withWay(machine.guest([2])), withWay(machine.guest([3]))] // both hold power domain 2
    expect(a.status(POWER_STATE_NOTIFY, 2, 1)).toBe(SUCCESS)
    expect(a.status(POWER_STATE_SET, 0, 2, 0)).toBe(SUCCESS)
    const own = delivered(a)
    expect(
      own.every(([header, cause, domain]) => header === notification(0x1100) && cause === 1 && domain === 2),
    ).toBe(true)
    expect(a.status(POWER_STATE_SET, 0, 2, OFF)).toBe(SUCCESS)
    delivered(a)
    expect(b.status(POWER_STATE_SET, 0, 2, 0)).toBe(SUCCESS)
    expect(delivered(a)).toEqual([[notification(0x1100), 0, 2, 0]])
    expect(delivered(b)).toEqual([])
    expect(a.status(POWER_STATE_NOTIFY, 2, 0)).toBe(SUCCESS)
    b.status(POWER_STATE_SET, 0, 2, OFF)
    expect(delivered(a)).toEqual([])
    expect([...a.faults, ...b.faults]).toEqual([])
  })

  test('of what is not its own: NOT_SUPPORTED, bad flags first, and the firmware hears nothing', () => {
    const machine = machineOf()
    const a = withWay(machine.guest([2]))
    machine.tapped = []
    expect(a.status(POWER_STATE_NOTIFY, 0, 1)).toBe(NOT_SUPPORTED)
    expect(a.status(POWER_STATE_NOTIFY, 0, 3)).toBe(INVALID_PARAMETERS)
    expect(a.status(POWER_STATE_NOTIFY, 2, 2)).toBe(INVALID_PARAMETERS)
    expect(machine.tapped).toEqual([])
  })

  test('without a way back nothing is promised, and nothing subscribed to', () => {
    const machine = machineOf()
    const a = machine.guest([5])
    expect(a.status(POWER_STATE_NOTIFY, 4, 1)).toBe(NOT_SUPPORTED)
    expect((a.words(0x1103, 4)[1] as number) >>> 30).toBe(0)
    withWay(a)
    expect((a.words(0x1103, 4)[1] as number) >>> 31).toBe(1)
  })

  test('guests behind one channel: the firmware hears of the first subscription and of the last', () => {
    const machine = machineOf()
    const options = { channel: 1 }
    const [a, b] = [withWay(machine.guest([2], options)), withWay(machine.guest([3], options))]
    machine.tapped = []
    for (const guest of [a, b]) expect(guest.status(POWER_STATE_NOTIFY, 2, 1)).toBe(SUCCESS)
    expect(onChannel(machine, 1, POWER_STATE_NOTIFY)).toBe(1)
    a.status(POWER_STATE_SET, 0, 2, 0)
    expect(delivered(a)).toHaveLength(1)
    expect(delivered(b)).toHaveLength(1)
    expect(a.status(POWER_STATE_NOTIFY, 2, 0)).toBe(SUCCESS)
    expect(onChannel(machine, 1, POWER_STATE_NOTIFY)).toBe(1)
    a.status(POWER_STATE_SET, 0, 2, OFF)
    expect(delivered(a)).toEqual([])
    expect(delivered(b)).toHaveLength(1)
    expect(b.status(POWER_STATE_NOTIFY, 2, 0)).toBe(SUCCESS)
    expect(onChannel(machine, 1, POWER_STATE_NOTIFY)).toBe(2)
  })

  test('a subscription that the firmware refuses is none', () => {
    const machine = new Machine({
      edit: text => text.replace('{ id: 2, name: sdhi }', '{ id: 2, name: sdhi, notify: false }'),
    })
    const options = { channel: 1 }
    const [a, b] = [withWay(machine.guest([2], options)), withWay(machine.guest([3], options))]
    expect(a.status(POWER_STATE_NOTIFY, 2, 1)).toBe(NOT_SUPPORTED)
    expect(b.status(POWER_STATE_NOTIFY, 2, 1)).toBe(NOT_SUPPORTED)
    expect(machine.relay.mediator.routing.subscriptions.of(0)).toEqual([])
  })

  test.each([
    ['the guest begins anew', (machine: Machine, a: MemoryGuest) => machine.relay.restarted(a)],
    [
      'it loses the device',
      (machine: Machine) => machine.execute({ type: 'grants', slot: 0, grants: machine.grants(0) }),
    ],
    ['it is closed', (machine: Machine) => machine.execute({ type: 'close', slot: 0 })],
  ])('are unsubscribed when %s', (_when, event) => {
    const machine = machineOf()
    const [a, b] = [withWay(machine.guest([2])), withWay(machine.guest([3]))]
    expect(a.status(POWER_STATE_NOTIFY, 2, 1)).toBe(SUCCESS)
    machine.tapped = []
    event(machine, a)
    expect(machine.tapped.map(({ words }) => words.slice(1))).toContainEqual([2, 0])
    b.status(POWER_STATE_SET, 0, 2, 0)
    expect(delivered(a)).toEqual([])
  })

  test('are asked for again, once each, when the firmware is back', () => {
    const machine = machineOf()
    const options = { channel: 1 }
    const [a, b] = [withWay(machine.guest([2], options)), withWay(machine.guest([3], options))]
    for (const guest of [a, b]) guest.status(POWER_STATE_NOTIFY, 2, 1)
    a.status(RESET_NOTIFY, 2, 1)
    machine.tapped = []
    machine.relay.reconnected(1)
    expect(machine.tapped).toEqual([]) // not before their guests are granted again
    machine.execute({ type: 'restore', channel: 1, refused: [] })
    expect(machine.tapped.map(({ words }) => words.slice(1))).toEqual([
      [2, 1],
      [2, 1],
    ])
    expect(onChannel(machine, 1, RESET_NOTIFY)).toBe(1)
    machine.relay.reconnected(2)
    machine.execute({ type: 'restore', channel: 2, refused: [] })
    expect(machine.tapped).toHaveLength(2)
  })

  test('a guest that takes nothing loses only its own, the newest of each is kept, and it comes when there is room', () => {
    const machine = machineOf()
    const [a, other] = [withWay(machine.guest([5]), 0), withWay(machine.guest([3]))]
    expect(a.status(NOTIFY_LEVEL, 0, 1)).toBe(SUCCESS)
    expect(other.status(POWER_STATE_NOTIFY, 2, 1)).toBe(SUCCESS)
    for (let i = 0; i < 5000; i++) {
      a.status(PERFORMANCE_LEVEL_SET, 0, i % 2 === 0 ? 400 : 600)
      other.status(POWER_STATE_SET, 0, 2, i % 2 === 0 ? 0 : OFF)
    }
    expect(delivered(other)).toHaveLength(5000)
    a.room = 10
    machine.relay.mediator.routing.pump()
    expect(delivered(a)).toEqual([[notification(0x1301), 1, 0, 600]])
    expect(a.room).toBe(9)
  })

  test('malformed, unasked or about nothing that is there: nobody’s', () => {
    const machine = machineOf()
    const a = withWay(machine.guest([2]))
    a.status(POWER_STATE_NOTIFY, 2, 1)
    const { routing } = machine.relay.mediator
    const frames = [
      frameOf(notification(0x1100), 0, 2), // a word short
      frameOf(notification(0x1100), 0, 2, 0, 0), // a word long
      frameOf(notification(0x1100), 0, 99, 0),
      frameOf(notification(0x1100), 0, 1, 0),
      frameOf(notification(0x11ff), 0, 2, 0),
      frameOf(notification(0x2000), 0, 2, 0),
      frameOf(notification(0x1000), 0, 2, 0, 0),
      frameOf(notification(0x1200), 0, 0, 0, 0),
      frameOf(notification(0x1100)),
    ]
    for (const frame of frames) machine.relay.arrived(1, frame, frame.length)
    const good = frameOf(notification(0x1100), 0, 2, 0)
    machine.relay.arrived(2, good, good.length) // another agent's channel
    expect(routing.unrouted).toBe(frames.length + 1)
    expect(delivered(a)).toEqual([])
    machine.relay.arrived(1, good, good.length)
    expect(delivered(a)).toHaveLength(1)
  })
})

describe('delayed responses', () => {
  /** Tags as the mediator makes them, for commands that the firmware has yet to answer. */
  const tagOf = (guest: { session: number; slot: number }): number => (guest.session << 6) | guest.slot
  const complete = (token: number, status: number, ...rest: number[]): Uint8Array =>
    frameOf(headerWord(0x1405, token, 2), status, ...rest)

  function awaiting(count = 1, room = Number.POSITIVE_INFINITY) {
    const machine = machineOf()
    const a = withWay(machine.guest([0]), room)
    const state = machine.relay.mediator.guests[0] as NonNullable<
      (typeof machine.relay.mediator.guests)[number]
    >
    for (let i = 0; i < count; i++) expect(state.mailbox.await()).toBe(true)
    return { machine, a, state, tag: tagOf(state) }
  }

  test('come under the agent’s own token, to the guest that asked, once', () => {
    const { machine, a, tag } = awaiting()
    const frame = complete(0x155, 0, 0, 125_000_000, 0)
    machine.relay.delayed(tag, frame, frame.length)
    expect(delivered(a)).toEqual([wordsOf(frame)])
    machine.relay.delayed(tag, frame, frame.length)
    expect(delivered(a)).toEqual([])
    expect(machine.relay.mediator.routing.unrouted).toBe(1)
  })

  test('are kept, all of them and in order, until the guest takes them; notifications come after', () => {
    const { machine, a, tag } = awaiting(delayedAtOnce, 0)
    for (let i = 0; i < delayedAtOnce; i++) machine.relay.delayed(tag, complete(i, 0, 0, i, 0), 20)
    a.room = 5
    machine.relay.mediator.routing.pump()
    a.room = Number.POSITIVE_INFINITY
    machine.relay.mediator.routing.pump()
    expect(delivered(a).map(words => words[3])).toEqual(Array.from({ length: delayedAtOnce }, (_, i) => i))
  })

  test('a failure is the status alone; what cannot be believed is COMMS_ERROR; what was lost meanwhile is DENIED', () => {
    const { machine, a, tag } = awaiting(4)
    machine.relay.delayed(tag, complete(1, -9, 0, 5, 0), 20)
    machine.relay.delayed(tag, complete(2, 0, 0, 5), 16)
    machine.relay.delayed(tag, complete(3, 0, 1, 5, 0), 20) // clock 1 is not its own
    machine.execute({ type: 'grants', slot: 0, grants: machine.grants(2) })
    machine.relay.delayed(tag, complete(4, 0, 0, 5, 0), 20)
    expect(delivered(a).map(words => words.slice(1).map(word => word | 0))).toEqual([[-9], [-7], [-3], [-3]])
  })

  test('for a former run of the guest go nowhere', () => {
    const { machine, a, tag } = awaiting()
    machine.relay.restarted(a)
    machine.relay.delayed(tag, complete(1, 0, 0, 5, 0), 20)
    expect(delivered(a)).toEqual([])
    expect(machine.relay.mediator.routing.unrouted).toBe(1)
  })

  test('that never come give their place back', () => {
    const { machine, state, tag } = awaiting(delayedAtOnce)
    expect(state.mailbox.await()).toBe(false)
    machine.relay.delayed(tag, new Uint8Array(0), 0)
    expect(state.mailbox.await()).toBe(true)
  })

  test('no place left: BUSY, and nothing is sent', () => {
    const { machine, a } = awaiting(delayedAtOnce)
    machine.tapped = []
    expect(a.status(0x1405, 1, 0, 125_000_000, 0)).toBe(BUSY)
    expect(machine.tapped).toEqual([])
  })

  test('through the platform: accepted at once, carried out later, told under the agent’s token; the platform’s limit is BUSY', () => {
    const machine = new Machine({
      edit: text => text.replace('rate: 125000000 }', 'rate: 125000000, async: { messages: 6 } }'),
    })
    const [a, b] = [withWay(machine.guest([0])), withWay(machine.guest([1]))]
    const setRate = (rate: number, token: number): number[] =>
      wordsOf(a.ask(frameOf(headerWord(0x1405, token), 1, 0, rate, 0))).slice(1)
    expect((a.words(0x1401)[1] as number) >>> 16).toBe(4)
    expect(setRate(25_000_000, 0x111)).toEqual([SUCCESS])
    expect(setRate(125_000_000, 0x222)).toEqual([SUCCESS])
    expect(setRate(25_000_000, 0x333)).toEqual([SUCCESS])
    expect(setRate(25_000_000, 0x044)).toEqual([SUCCESS])
    expect(setRate(25_000_000, 0x55)).toEqual([BUSY >>> 0])
    expect(delivered(a)).toEqual([])
    for (let i = 0; i < 8; i++) expect(b.status(0x1406, 1)).toBe(SUCCESS) // others' messages let time pass
    expect(delivered(a)).toEqual([
      [headerWord(0x1405, 0x111, 2), 0, 0, 25_000_000, 0],
      [headerWord(0x1405, 0x222, 2), 0, 0, 125_000_000, 0],
      [headerWord(0x1405, 0x333, 2), 0, 0, 25_000_000, 0],
      [headerWord(0x1405, 0x044, 2), 0, 0, 25_000_000, 0],
    ])
    expect(delivered(b)).toEqual([])
    expect(machine.relay.mediator.routing.unrouted).toBe(0)
    expect([...a.faults, ...b.faults]).toEqual([])
  })

  test('a command that the firmware refuses awaits none', () => {
    const machine = machineOf()
    const a = withWay(machine.guest([0]))
    for (let i = 0; i < 2 * delayedAtOnce; i++)
      expect(a.status(0x1405, 1, 0, 125_000_000, 0)).toBe(NOT_SUPPORTED)
  })

  test('an explicit assert or deassert awaits none, though Linux sets the async bit on it', () => {
    const machine = machineOf()
    const a = withWay(machine.guest([1]))
    for (let i = 0; i < 2 * delayedAtOnce; i++)
      expect(a.status(0x1604, 1, i % 2 === 0 ? 6 : 4, 0)).toBe(SUCCESS)
  })
})
