// System power as guests see it: the protocol is there, its notifications come, and nobody switches the machine.
import { afterEach, expect, test } from 'vitest'
import { compileGrants } from '../../src/permissions/grants.ts'
import { MACHINES_POWER } from '../../src/permissions/reasons.ts'
import { frameOf, headerWord, Machine, type MemoryGuest, wordsOf } from './machine.ts'

const [SUCCESS, NOT_SUPPORTED, INVALID, DENIED, NOT_FOUND] = [0, -1, -2, -3, -4]
const [VERSION, ATTRIBUTES, MESSAGE_ATTRIBUTES, SET, GET, NOTIFY] = [
  0x1200, 0x1201, 0x1202, 0x1203, 0x1204, 0x1205,
]

const machines: Machine[] = []
afterEach(() => {
  for (const machine of machines.splice(0)) machine.stop()
})

function holder(machine: Machine, devices: readonly number[], channel?: number): MemoryGuest {
  const grants = compileGrants(machine.resources(devices), machine.counts, [0x12])
  const guest = machine.guest(devices, { grants, ...(channel === undefined ? {} : { channel }) })
  guest.hasP2A = true
  guest.room = 100
  machine.takeTapped()
  return guest
}

/** The platform where every agent may switch the machine: nothing but the mediator stands between. */
function machineOf(): Machine {
  const machine = new Machine({
    edit: text => text.replace('system: { agents: [1]', 'system: { agents: [1, 2, 3, 4, 5]'),
  })
  machines.push(machine)
  return machine
}

test('the protocol is listed and says what it has', () => {
  const machine = machineOf()
  const guest = holder(machine, [0])
  expect(guest.words(0x1006, 0)).toEqual([SUCCESS, 4, 0x1614_1211])
  expect(guest.words(VERSION)).toEqual([SUCCESS, 0x2_0001])
  expect(guest.words(ATTRIBUTES)).toEqual([SUCCESS, 0])
  expect([SET, GET, NOTIFY].map(message => guest.status(MESSAGE_ATTRIBUTES, message & 0xff))).toEqual([
    0, 0, 0,
  ])
  expect([guest.status(MESSAGE_ATTRIBUTES, 0x6), guest.status(0x1206)]).toEqual([NOT_FOUND, NOT_FOUND])
})

test.each([0, 1, 2, 3, 4, 0x8000_0000])('state %i is denied, forceful or graceful, and recorded', state => {
  const machine = machineOf()
  const guest = holder(machine, [0])
  for (const flags of [0, 1]) expect(guest.status(SET, flags, state)).toBe(DENIED)
  expect(machine.takeTapped()).toEqual([])
  expect(machine.platform.system.requests).toBe(0)
  expect(machine.records()).toMatchObject([
    { message: SET, decision: 'denied', arguments: [0, 0], rule: MACHINES_POWER, repeated: 2 },
  ])
})

test.each([
  ['a reserved flag', SET, [2, 1]],
  ['every flag', SET, [0xffff_ffff, 1]],
  ['a reserved state', SET, [0, 5]],
  ['a reserved bit of notify_enable', NOTIFY, [2]],
])('%s is INVALID_PARAMETERS', (_what, message, words) => {
  const machine = machineOf()
  expect(holder(machine, [0]).status(message, ...words)).toBe(INVALID)
  expect(machine.takeTapped()).toEqual([])
})

test('the state is not to be read', () => {
  const machine = machineOf()
  expect(holder(machine, [0]).status(GET)).toBe(NOT_SUPPORTED)
  expect(machine.takeTapped()).toEqual([])
})

test('a guest without the protocol hears nothing of it', () => {
  const machine = machineOf()
  const guest = machine.guest([0])
  for (const message of [VERSION, SET, NOTIFY]) expect(guest.status(message, 0, 0)).toBe(DENIED)
})

test('without a way back there is no subscription', () => {
  const machine = machineOf()
  const guest = holder(machine, [0])
  guest.hasP2A = false
  expect([guest.status(MESSAGE_ATTRIBUTES, 5), guest.status(NOTIFY, 1), guest.status(NOTIFY, 2)]).toEqual([
    NOT_FOUND,
    NOT_SUPPORTED,
    INVALID,
  ])
})

/** What the host asks for, on the management channel. */
function shutDown(machine: Machine): void {
  const { done, result } = machine.begin({
    type: 'request',
    channel: 0,
    frame: frameOf(headerWord(SET), 1, 0),
  })
  expect(done()).toBe(true)
  expect(wordsOf(result() as Uint8Array)[1]).toBe(SUCCESS)
}
const notified = (guest: MemoryGuest): number[][] =>
  guest.delivered.splice(0).map(frame => wordsOf(frame).slice(1))

test('the machine’s shutdown is told to those who asked, once each, also behind one channel', () => {
  const machine = machineOf()
  const [a, b, c] = [holder(machine, [0], 1), holder(machine, [1], 1), holder(machine, [3])]
  for (const guest of [a, b]) expect(guest.status(NOTIFY, 1)).toBe(SUCCESS)
  expect(machine.takeTapped()).toHaveLength(1) // the firmware hears of the first
  shutDown(machine)
  expect([a, b, c].map(notified)).toEqual([[[0, 1, 0, 10_000]], [[0, 1, 0, 10_000]], []])

  expect(a.status(NOTIFY, 0)).toBe(SUCCESS)
  shutDown(machine)
  expect([a, b].map(notified)).toEqual([[], [[0, 1, 0, 10_000]]])
  machine.takeTapped()
  machine.close(1)
  expect(machine.takeTapped().map(({ words }) => words.slice(1))).toEqual([[0]]) // and of the last
})

test('a change of devices leaves the subscription; losing the protocol ends it', () => {
  const machine = machineOf()
  const guest = holder(machine, [0])
  expect(guest.status(NOTIFY, 1)).toBe(SUCCESS)
  machine.execute({
    type: 'grants',
    slot: 0,
    grants: compileGrants(machine.resources([0, 2]), machine.counts, [0x12]),
  })
  shutDown(machine)
  expect(notified(guest)).toHaveLength(1)
  machine.regrant(0, 0)
  shutDown(machine)
  expect(notified(guest)).toEqual([])
})

test('after a restart of the firmware it is asked for again', () => {
  const machine = machineOf()
  const guest = holder(machine, [0])
  expect(guest.status(NOTIFY, 1)).toBe(SUCCESS)
  machine.takeTapped()
  machine.relay.reconnected(1)
  expect(machine.execute({ type: 'restore', channel: 1, refused: [] })).toMatchObject({ subscriptions: 1 })
  expect(machine.takeTapped().map(({ words }) => words.slice(1))).toEqual([[1]])
})
