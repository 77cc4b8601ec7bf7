// What the mediator writes into the audit ring, and when it refuses because it could not.
import { fc, test as property } from '@fast-check/vitest'
import { afterEach, describe, expect, test } from 'vitest'
import {
  GRANTED,
  NO_RULE,
  NOT_OWNED,
  NOTHING_TO_RELEASE,
  PRIVILEGED_MESSAGE,
  PROTOCOL_NOT_HELD,
} from '../../src/permissions/reasons.ts'
import { DelayingLink } from './delaying-link.ts'
import { frameOf, headerWord, Machine, type MachineOptions, type MemoryGuest, statusOf } from './machine.ts'
import { anyFrame } from './traffic.ts'

const DENIED = -3
const BUSY = -6
const ON = 0
const OFF = 0x4000_0000

const machines: Machine[] = []
afterEach(() => {
  for (const machine of machines.splice(0)) machine.stop()
})
function machineOf(options: MachineOptions = {}): { machine: Machine; a: MemoryGuest; b: MemoryGuest } {
  const machine = new Machine(options)
  machines.push(machine)
  return { machine, a: machine.guest([0, 2, 5]), b: machine.guest([1, 3, 7]) }
}

describe('what is recorded', () => {
  test.each<[string, number, number[], Record<string, unknown>]>([
    [
      'an allowed control, with what it set',
      0x1405,
      [4, 8, 300_000_000, 0],
      { decision: 'allowed', resource: 8, status: 0, arguments: [4, 300_000_000], rule: GRANTED },
    ],
    [
      'one whose resource comes first',
      0x1407,
      [3, 1, 99],
      { decision: 'allowed', resource: 3, arguments: [1, 99], rule: GRANTED },
    ],
    [
      'one that the firmware refused',
      0x1307,
      [0, 9999],
      { decision: 'allowed', status: -5, arguments: [9999, 0] },
    ],
    [
      'a denial',
      0x1407,
      [7, 1, 5],
      { decision: 'denied', resource: 7, status: DENIED, arguments: [1, 5], rule: NOT_OWNED },
    ],
    [
      'a denial of a message whose resource comes second',
      0x1104,
      [0, 3, ON],
      { decision: 'denied', resource: 3, arguments: [0, ON], rule: NOT_OWNED },
    ],
    ['a placeholder', 0x1406, [7], { decision: 'placeholder', resource: 7, status: 0, rule: NOT_OWNED }],
    ['a placeholder that is a refusal', 0x140e, [7], { decision: 'placeholder', resource: 7, status: -1 }],
    ['a placeholder past its list', 0x1404, [7, 5], { decision: 'placeholder', resource: 7, status: -5 }],
    [
      'a release of nothing',
      0x1104,
      [0, 3, OFF],
      { decision: 'placeholder', resource: 3, status: 0, rule: NOTHING_TO_RELEASE },
    ],
    [
      'a permission command',
      0x1009,
      [2, 1, 1],
      { decision: 'denied', resource: -1, rule: PRIVILEGED_MESSAGE },
    ],
    [
      'a protocol not held',
      0x1203,
      [0, 1],
      { decision: 'denied', resource: -1, arguments: [0, 0], rule: PROTOCOL_NOT_HELD },
    ],
    [
      'a version negotiated',
      0x1410,
      [0x3_0000],
      { decision: 'local', resource: -1, status: 0, arguments: [0x3_0000, 0], rule: NO_RULE },
    ],
    [
      'Base’s version negotiated',
      0x1010,
      [0x2_0000],
      { decision: 'local', status: 0, arguments: [0x2_0000, 0] },
    ],
  ])('%s', (_name, message, payload, expected) => {
    const { machine, a } = machineOf()
    a.words(message, ...payload)
    expect(machine.records()).toMatchObject([{ slot: 0, message, repeated: 1, ...expected }])
  })

  test('a vote that sent nothing', () => {
    const { machine, a, b } = machineOf()
    a.words(0x1104, 0, 2, ON)
    b.words(0x1104, 0, 2, ON)
    machine.records()
    a.words(0x1104, 0, 2, OFF)
    expect(machine.records()).toMatchObject([
      { decision: 'vote', resource: 2, status: 0, arguments: [0, OFF] },
    ])
  })

  test.each<[string, number, number[]]>([
    ['a query', 0x1406, [8]],
    ['a Base query', 0x1007, [1]],
    ['what is not there', 0x1406, [99]],
    ['what is malformed', 0x1406, []],
    ['a bad flag', 0x1405, [0x10, 7, 0, 0]],
  ])('%s is not', (_name, message, payload) => {
    const { machine, a } = machineOf()
    a.words(message, ...payload)
    expect(machine.records()).toEqual([])
  })

  test.each<[string, number, number[], Record<string, unknown>]>([
    ['a query', 0x1406, [8], { decision: 'allowed', status: 0, resource: 8 }],
    ['a Base query', 0x1007, [1], { decision: 'local', status: 0 }],
    ['what is not there', 0x1406, [99], { decision: 'absent', status: -4, resource: 99, rule: NO_RULE }],
    ['what is malformed', 0x1406, [], { decision: 'error', status: -10, resource: -1, rule: NO_RULE }],
    ['a bad flag', 0x1405, [0x10, 7, 0, 0], { decision: 'error', status: -2, resource: 7 }],
  ])('%s is, where queries are recorded by choice', (_name, message, payload, expected) => {
    const { machine, a } = machineOf({ auditQueries: true })
    a.words(message, ...payload)
    expect(machine.records()).toMatchObject([{ message, ...expected }])
  })
})

describe('a place is kept before anything takes effect', () => {
  test('a control that finds the share full is BUSY, and is not sent', () => {
    const { machine, a } = machineOf({ recordsPerGuest: 4 })
    for (const clock of [0, 3, 4, 8]) expect(a.status(0x1407, clock, 1, 0)).toBe(0)
    machine.takeTapped()
    expect(a.status(0x1407, 0, 0, 0)).toBe(BUSY)
    expect(a.status(0x1104, 0, 2, ON)).toBe(BUSY)
    expect(machine.takeTapped()).toEqual([])
    expect(machine.platform.clocks.running(0)).toBe(true)
    expect(machine.audit.lost(0)).toBe(2)
    expect(machine.records()).toHaveLength(4)
    expect(a.status(0x1407, 0, 0, 0)).toBe(0)
  })

  test('a full share takes no hold, no vote, and releases nothing', () => {
    const { machine, a, b } = machineOf({ recordsPerGuest: 2 })
    a.status(0x1104, 0, 2, ON)
    b.status(0x1104, 0, 2, ON)
    a.status(0x1104, 0, 0, ON) // a's share is full
    expect(a.status(0x1104, 0, 2, OFF)).toBe(BUSY)
    expect(a.words(0x1105, 2)).toEqual([0, ON]) // its vote stands
    machine.close(1)
    expect(machine.platform.power.state(2)).toBe(1)
  })

  test('commands under way keep theirs: the ring never overflows', () => {
    let link: DelayingLink | undefined
    const { machine, a } = machineOf({
      recordsPerGuest: 4,
      firmware: platform => {
        link = new DelayingLink(platform)
        return link
      },
    })
    const send = (clock: number) => a.send(frameOf(headerWord(0x1407), clock, 1, 0))
    const tickets = [0, 3, 4, 8].map(send)
    expect(statusOf(a.answers[send(0)] ?? frameOf(0, 1))).toBe(1) // waits for the first
    expect(a.status(0x1307, 0, 400)).toBe(BUSY)
    link?.settle()
    expect(tickets.map(ticket => statusOf(a.answers[ticket] as Uint8Array))).toEqual([0, 0, 0, 0])
    expect(machine.records()).toHaveLength(4)
    expect(a.pending).toBe(0)
  })

  test('queries, placeholders and denials too', () => {
    const { machine, a } = machineOf({ recordsPerGuest: 2, auditQueries: true })
    expect(a.status(0x1406, 8)).toBe(0)
    expect(a.status(0x1406, 3)).toBe(0)
    expect(a.words(0x1406, 8)).toEqual([BUSY])
    expect(a.words(0x1406, 7)).toEqual([BUSY])
    expect(a.status(0x1405, 0, 7, 1, 0)).toBe(BUSY)
    expect(a.words(0x1007, 1)).toEqual([BUSY])
    expect(machine.records()).toHaveLength(2)
  })
})

describe('floods', () => {
  test('equal denials are one record', () => {
    const { machine, a } = machineOf({ recordsPerGuest: 4 })
    for (let i = 0; i < 10_000; i++) expect(a.status(0x1104, 0, 3, ON)).toBe(DENIED)
    expect(machine.records()).toMatchObject([{ decision: 'denied', resource: 3, repeated: 10_000 }])
    expect(machine.counters(0)).toEqual([10_000, 0, 10_000, 0])
  })

  test('so are placeholders, releases of nothing, and versions negotiated', () => {
    const { machine, a } = machineOf({ recordsPerGuest: 4 })
    for (let i = 0; i < 1000; i++) a.status(0x1406, 7)
    for (let i = 0; i < 1000; i++) a.status(0x1104, 0, 3, OFF)
    for (let i = 0; i < 1000; i++) a.status(0x1010, 0x5_0000)
    expect(machine.records().map(({ decision, repeated }) => [decision, repeated])).toEqual([
      ['placeholder', 1000],
      ['placeholder', 1000],
      ['local', 1000],
    ])
  })

  test('allowed controls never are: each had an effect', () => {
    const { machine, a } = machineOf({ recordsPerGuest: 64 })
    for (let i = 0; i < 10; i++) a.status(0x1604, 2, 1, 0)
    expect(machine.records().filter(({ decision }) => decision === 'allowed')).toHaveLength(10)
  })

  test('a full share is BUSY for its guest alone', () => {
    const { machine, a, b } = machineOf({ recordsPerGuest: 4 })
    let busy = 0
    for (let i = 0; i < 100; i++) if (a.status(0x1104, 0, [1, 3, 5, 6][i % 4] as number, ON) === BUSY) busy++
    expect(busy).toBe(72) // three took a record each, the fourth’s are the newest record and join it
    expect(a.status(0x1406, 8)).toBe(0) // what needs no record goes on
    expect(b.status(0x1407, 1, 1, 0)).toBe(0)
    expect(b.status(0x1104, 0, 3, ON)).toBe(DENIED)
    expect(machine.counters(0)).toEqual([101, 1, 28, 72])
    expect(machine.counters(1)).toEqual([2, 1, 1, 0])
    expect([machine.audit.lost(0), machine.audit.lost(1)]).toEqual([72, 0])
  })
})

test('a command that the firmware’s channel cannot take is recorded as BUSY', () => {
  const { machine, a } = machineOf({ firmware: platform => new DelayingLink(platform, 0) })
  expect(a.status(0x1407, 0, 1, 0)).toBe(BUSY)
  expect(machine.records()).toMatchObject([{ decision: 'busy', status: BUSY, resource: 0, rule: NO_RULE }])
})

test('records carry the tenant', () => {
  const { machine, a } = machineOf()
  a.status(0x1104, 0, 3, ON)
  const seen: number[][] = []
  machine.audit.drain({
    message: ({ slot, generation, agentId }) => seen.push([slot, generation, agentId]),
    lost: () => {},
  })
  expect(seen).toEqual([[0, 1, 2]])
})

property.prop([fc.array(fc.tuple(anyFrame, fc.boolean()), { minLength: 1, maxLength: 80 })], {
  seed: 21,
  numRuns: 40,
})('every control that the platform received of a guest has its record, however small the ring', traffic => {
  const { machine, a } = machineOf({ recordsPerGuest: 4 })
  const controls = new Set([
    0x1104, 0x1305, 0x1307, 0x1405, 0x1407, 0x140d, 0x1505, 0x150a, 0x1604, 0x1705, 0x1707,
  ])
  machine.takeTapped()
  const received: number[] = []
  const recorded: number[] = []
  const look = () => {
    for (const { words } of machine.takeTapped()) {
      const header = words[0] as number
      const message = (((header >>> 10) & 0xff) << 8) | (header & 0xff)
      if (controls.has(message)) received.push(message)
    }
    for (const { decision, message } of machine.records()) if (decision === 'allowed') recorded.push(message)
  }
  for (const [frame, drain] of traffic) {
    a.ask(frame)
    if (drain) look()
  }
  look()
  expect(recorded).toEqual(received)
})
