// Votes while requests and answers travel: waiting, failing, leaving, losing grants. Over a real platform that takes its time.
import { afterEach, describe, expect, test } from 'vitest'
import { DelayingLink } from './delaying-link.ts'
import { frameOf, headerWord, Machine, type MachineOptions, type MemoryGuest, statusOf } from './machine.ts'

const DENIED = -3
const BUSY = -6
const COMMS_ERROR = -7
const HARDWARE_ERROR = -9
const ON = 0
const OFF = 0x4000_0000
const sdhi = 2
const can = 9

const machines: Machine[] = []
afterEach(() => {
  for (const machine of machines.splice(0)) machine.stop()
})

interface Slow {
  machine: Machine
  link: DelayingLink
  a: MemoryGuest
  b: MemoryGuest
  c: MemoryGuest
  d: MemoryGuest
}
function slow(options: MachineOptions & { maxInFlight?: number } = {}): Slow {
  let link: DelayingLink | undefined
  const machine = new Machine({
    edit: text => text.replace('sharing: votes', 'sharing: last-writer'),
    ...options,
    firmware: platform => {
      link = new DelayingLink(platform, options.maxInFlight)
      return link
    },
  })
  machines.push(machine)
  const [a, b, c, d] = [[0, 2, 5], [1, 3, 7], [6], [8]].map(devices =>
    machine.guest(devices),
  ) as MemoryGuest[]
  return { machine, link, a, b, c, d } as Slow
}

const power = (guest: MemoryGuest, domain: number, state: number): number =>
  guest.send(frameOf(headerWord(0x1104, guest.answers.length & 0x3ff), 0, domain, state))
const rate = (guest: MemoryGuest, hz: number): number =>
  guest.send(frameOf(headerWord(0x1405), 0, can, hz, 0))
const status = (guest: MemoryGuest, ticket: number): number | undefined => {
  const answer = guest.answers[ticket]
  return answer === undefined ? undefined : statusOf(answer)
}
/** Sends what the firmware refuses with this status, as long as the test says. */
const refusing = (link: DelayingLink, message: number, answer: number): void => {
  link.refuses = ([header = 0]) =>
    ((((header >>> 10) & 0xff) << 8) | (header & 0xff)) === message ? answer : undefined
}

describe('requests for one resource go one after the other', () => {
  test('in the order they came, over several channels', () => {
    const { machine, link, a, b } = slow()
    const tickets = [power(a, sdhi, ON), power(a, sdhi, OFF)]
    const other = power(b, sdhi, ON)
    expect(link.requests).toHaveLength(1)
    link.settle()
    expect(tickets.map(ticket => status(a, ticket))).toEqual([0, 0])
    expect(status(b, other)).toBe(0)
    expect(machine.platform.power.state(sdhi)).toBe(1)
    expect(machine.tapped.map(({ channel, words }) => [channel, words[3]])).toEqual([
      [1, ON],
      [1, OFF],
      [1 + 1, ON],
    ])
  })

  test('those that send nothing do not hold up those behind them', () => {
    const { link, a, b } = slow()
    power(a, sdhi, ON)
    link.settle()
    const first = power(a, sdhi, ON)
    const waiting = [power(b, sdhi, OFF), power(b, sdhi, OFF), power(b, sdhi, ON), power(b, sdhi, OFF)]
    expect(link.requests).toHaveLength(1)
    link.settle()
    expect(status(a, first)).toBe(0)
    expect(waiting.map(ticket => status(b, ticket))).toEqual([0, 0, 0, 0])
    expect(b.pending).toBe(0)
  })

  test('other resources do not wait', () => {
    const { link, a } = slow()
    power(a, sdhi, ON)
    power(a, sdhi, OFF)
    power(a, 0, ON)
    power(a, 4, ON)
    expect(link.requests).toHaveLength(3)
    link.settle()
    expect(a.pending).toBe(0)
  })

  test('a whole queue that is refused at once unwinds without a deep stack', () => {
    const { machine, link, a, b } = slow({ maxInFlight: 1 })
    power(a, sdhi, ON)
    const more = Array.from({ length: 20 }, () => power(b, sdhi, ON))
    b.send(frameOf(headerWord(0x1406), 1)) // takes b's channel
    expect(link.requests).toHaveLength(2)
    link.arrive()
    link.answer()
    expect(more.map(ticket => status(b, ticket))).toEqual(more.map(() => BUSY))
    link.settle()
    expect(machine.platform.power.state(sdhi)).toBe(1)
    expect(b.pending).toBe(0)
  })
})

describe('failure', () => {
  test('an ON that is refused is no vote', () => {
    const { machine, link, a, b } = slow()
    refusing(link, 0x1104, HARDWARE_ERROR)
    const ticket = power(a, sdhi, ON)
    link.settle()
    expect(status(a, ticket)).toBe(HARDWARE_ERROR)
    refusing(link, 0, 0)
    power(b, sdhi, ON)
    link.settle()
    power(b, sdhi, OFF)
    link.settle()
    expect(machine.platform.power.state(sdhi)).toBe(0)
  })

  test('an ON that is refused though it was on already leaves the vote', () => {
    const { machine, link, a, b } = slow()
    power(a, sdhi, ON)
    link.settle()
    refusing(link, 0x1104, BUSY)
    const ticket = power(a, sdhi, ON)
    link.settle()
    expect(status(a, ticket)).toBe(BUSY)
    refusing(link, 0, 0)
    power(b, sdhi, OFF)
    link.settle()
    expect(machine.platform.power.state(sdhi)).toBe(1)
  })

  test('an OFF that is refused leaves the vote', () => {
    const { machine, link, a, b } = slow()
    power(a, sdhi, ON)
    link.settle()
    refusing(link, 0x1104, HARDWARE_ERROR)
    const ticket = power(a, sdhi, OFF)
    link.settle()
    expect(status(a, ticket)).toBe(HARDWARE_ERROR)
    refusing(link, 0, 0)
    power(b, sdhi, OFF)
    link.settle()
    expect(machine.platform.power.state(sdhi)).toBe(1)
    power(a, sdhi, OFF)
    link.settle()
    expect(machine.platform.power.state(sdhi)).toBe(0)
  })

  test('a vote that others relied on when they released, and that failed, is made good: nobody needs it', () => {
    const { machine, link, a, b } = slow()
    power(a, sdhi, ON)
    link.settle()
    refusing(link, 0x1104, HARDWARE_ERROR)
    const ticket = power(b, sdhi, ON)
    machine.relay.execute({ type: 'grants', slot: 0, grants: machine.grants(0) }, () => {}) // a loses sdhi meanwhile
    expect(machine.platform.power.state(sdhi)).toBe(1)
    link.arrive()
    refusing(link, 0, 0)
    link.settle()
    expect(status(b, ticket)).toBe(HARDWARE_ERROR)
    expect(machine.platform.power.state(sdhi)).toBe(0)
  })

  test('an ON that was never answered may have come about: it is released', () => {
    const { machine, link, a } = slow()
    const ticket = power(a, sdhi, ON)
    link.arrive()
    link.loseAnswer()
    expect(status(a, ticket)).toBe(COMMS_ERROR)
    expect(machine.platform.power.state(sdhi)).toBe(1)
    link.settle()
    expect(machine.platform.power.state(sdhi)).toBe(0)
  })

  test('a release that fails keeps its mark, and is tried again when somebody leaves', () => {
    const { machine, link, a, b } = slow()
    power(a, sdhi, ON)
    link.settle()
    power(b, sdhi, ON)
    link.settle()
    power(a, sdhi, OFF) // nothing is sent
    refusing(link, 0x1104, BUSY)
    machine.relay.execute({ type: 'close', slot: 1 }, () => {})
    link.settle()
    expect(machine.platform.power.state(sdhi)).toBe(1)
    refusing(link, 0, 0)
    machine.relay.execute({ type: 'close', slot: 3 }, () => {})
    link.settle()
    expect(machine.platform.power.state(sdhi)).toBe(0)
  })
})

describe('releases on several channels', () => {
  test('the last OFF is answered when all of them have been', () => {
    const { machine, link, a, b } = slow()
    power(a, sdhi, ON)
    link.settle()
    power(b, sdhi, ON)
    link.settle()
    power(a, sdhi, OFF)
    const last = power(b, sdhi, OFF)
    expect(link.requests.map(({ channel }) => channel)).toEqual([1, 2])
    link.arrive(1)
    link.answer()
    expect(status(b, last)).toBeUndefined()
    const next = power(a, sdhi, ON)
    expect(link.requests).toHaveLength(1) // it waits for the release on its own channel
    link.arrive()
    link.answer()
    expect(status(b, last)).toBe(0)
    link.settle()
    expect(status(a, next)).toBe(0)
    expect(machine.platform.power.state(sdhi)).toBe(1)
  })

  test('an ON does not overtake the release of one who left, where the last writer wins', () => {
    const { machine, link, a, b } = slow()
    power(a, sdhi, ON)
    link.settle()
    machine.relay.execute({ type: 'close', slot: 0 }, () => {})
    expect(link.requests).toHaveLength(1)
    const ticket = power(b, sdhi, ON)
    expect(link.requests).toHaveLength(1)
    link.settle()
    expect(status(b, ticket)).toBe(0)
    expect(machine.platform.power.state(sdhi)).toBe(1)
  })
})

describe('channels that take one command at a time', () => {
  test('everything a guest held is released when it leaves, one after the other', () => {
    const { machine, link, a } = slow({ maxInFlight: 1 })
    for (const domain of [0, 2, 4]) {
      power(a, domain, ON)
      link.settle()
    }
    for (const clock of [0, 3, 4, 8]) {
      a.send(frameOf(headerWord(0x1407), clock, 1, 0))
      link.settle()
    }
    const close = machine.begin({ type: 'close', slot: 0 })
    expect(close.done()).toBe(false)
    link.settle()
    expect(close.done()).toBe(true)
    expect([0, 2, 4].map(domain => machine.platform.power.state(domain))).toEqual([0, 0, 0])
    expect([0, 3, 4, 8].map(clock => machine.platform.clocks.running(clock))).toEqual([
      false,
      false,
      false,
      false,
    ])
  })

  test('a guest whose channel is taken is told BUSY, and its vote is not booked', () => {
    const { machine, link, a, b } = slow({ maxInFlight: 1 })
    const first = power(a, sdhi, ON)
    const second = power(a, 0, ON)
    expect([status(a, first), status(a, second)]).toEqual([undefined, BUSY])
    link.settle()
    expect(status(a, first)).toBe(0)
    expect(machine.platform.power.state(0)).toBe(0)
    expect(machine.counters(0)).toEqual([2, 1, 0, 1])
    expect(b.pending).toBe(0)
  })

  test('the main thread’s commands wait for it', () => {
    const { machine, link } = slow({ maxInFlight: 1 })
    const commands = [0, 1, 3].map(message =>
      machine.begin({ type: 'request', channel: 0, frame: frameOf(headerWord(0x1000 | message)) }),
    )
    link.settle()
    expect(commands.map(command => command.done())).toEqual([true, true, true])
    expect(Buffer.from(commands[0]?.result() as Uint8Array).readUInt32LE(8)).toBe(0x2_0001)
  })

  test('a channel that takes nothing is silence, after a while', async () => {
    const { machine, link } = slow({ maxInFlight: 0 })
    const command = machine.begin({ type: 'request', channel: 0, frame: frameOf(headerWord(0x1000)) })
    expect(command.done()).toBe(false)
    const end = Date.now() + 5000
    while (!command.done() && Date.now() < end) machine.step(20)
    expect(() => command.result()).toThrow('the firmware did not answer on channel 0')
    expect(link.pending).toBe(0)
  })
})

describe('grants that change under way', () => {
  test('what waits is judged anew', () => {
    const { machine, link, a, b } = slow()
    power(b, sdhi, ON)
    const waiting = power(a, sdhi, ON)
    const regrant = machine.begin({ type: 'grants', slot: 0, grants: machine.grants(0) })
    expect(regrant.done()).toBe(true)
    link.settle()
    expect(status(a, waiting)).toBe(DENIED)
    expect(machine.tapped.filter(({ channel }) => channel === 1)).toEqual([])
  })

  test('they are in force at once, and done when what was judged before has ended', () => {
    const { machine, link, a } = slow()
    const before = power(a, sdhi, ON)
    const regrant = machine.begin({ type: 'grants', slot: 0, grants: machine.grants(0) })
    expect(regrant.done()).toBe(false)
    const after = power(a, sdhi, ON)
    expect(status(a, after)).toBe(DENIED)
    const kept = power(a, 0, ON)
    link.arrive()
    link.answer()
    expect(status(a, before)).toBe(0)
    expect(regrant.done()).toBe(false) // the vote it left is being withdrawn
    expect(link.requests.map(({ words }) => [words[2], words[3]])).toContainEqual([sdhi, OFF])
    link.settle()
    expect(regrant.done()).toBe(true)
    expect(status(a, kept)).toBe(0)
    expect(machine.platform.power.state(sdhi)).toBe(0)
    expect(machine.platform.power.state(0)).toBe(1)
  })

  test('several in a row each end, in order, when theirs is quiet', () => {
    const { machine, link, a } = slow()
    power(a, sdhi, ON)
    const changes = [[0], [0, 2], [5]].map(devices =>
      machine.begin({ type: 'grants', slot: 0, grants: machine.grants(...devices) }),
    )
    expect(changes.map(change => change.done())).toEqual([false, false, false])
    link.settle()
    expect(changes.map(change => change.done())).toEqual([true, true, true])
    expect(machine.platform.power.state(sdhi)).toBe(0)
  })

  test('closing: what is under way ends, what waits is not carried out', () => {
    const { machine, link, a, b } = slow()
    power(b, sdhi, ON)
    const waiting = power(a, sdhi, ON)
    const underWay = power(a, 0, ON)
    const close = machine.begin({ type: 'close', slot: 0 })
    expect(status(a, waiting)).toBe(BUSY)
    expect(close.done()).toBe(false)
    expect(() => machine.execute({ type: 'close', slot: 0 })).toThrow('no guest in slot 0')
    expect(() => machine.regrant(0, 2)).toThrow('no guest in slot 0')
    link.settle()
    expect(close.done()).toBe(true)
    expect(status(a, underWay)).toBe(0)
    expect(machine.platform.power.state(0)).toBe(0)
    expect(machine.tapped.filter(({ channel, words }) => channel === 1 && words[2] === sdhi)).toEqual([])
    expect(machine.counters(0)).toEqual([2, 1, 0, 1])
  })

  test('a slot is given again only when it is free', () => {
    const { machine, link, a } = slow()
    power(a, 0, ON)
    const close = machine.begin({ type: 'close', slot: 0 })
    expect(() => machine.open(0, [1])).toThrow('slot 0 is taken')
    link.settle()
    expect(close.done()).toBe(true)
    machine.open(0, [0])
    const again = machine.guests[0] as MemoryGuest
    const view = again.send(frameOf(headerWord(0x1105), 0))
    link.settle()
    expect(again.answers[view]).toEqual(frameOf(headerWord(0x1105), 0, OFF))
  })
})

describe('a guest that begins anew', () => {
  test('what it waited for is void, its votes stand', () => {
    const { machine, link, a, b } = slow()
    power(a, sdhi, ON)
    link.settle()
    power(b, sdhi, ON)
    const waiting = power(a, sdhi, OFF)
    machine.relay.restarted(a)
    expect(status(a, waiting)).toBe(BUSY)
    link.settle()
    power(b, sdhi, OFF)
    link.settle()
    expect(machine.platform.power.state(sdhi)).toBe(1)
  })
})

test('two rates on their way: the first one’s failure does not take the second one’s hold', () => {
  const { link, c, d } = slow()
  const tickets = [rate(c, 1), rate(c, 20_000_000)] // 1 Hz cannot be made
  const others = rate(d, 40_000_000)
  link.settle()
  expect(tickets.map(ticket => status(c, ticket))).toEqual([-2, 0])
  expect(status(d, others)).toBe(DENIED)
})

test('everybody is answered exactly once', () => {
  const { machine, link, a, b, c, d } = slow()
  for (let round = 0; round < 5; round++)
    for (const guest of [a, b, c, d]) {
      power(guest, sdhi, round % 2 === 0 ? ON : OFF)
      power(guest, 3, OFF)
      guest.send(frameOf(headerWord(0x1406), 9))
    }
  link.settle()
  for (const [slot, guest] of [a, b, c, d].entries()) {
    expect(guest.faults).toEqual([])
    expect(guest.pending).toBe(0)
    expect(guest.answers).not.toContain(undefined)
    const [messages, allowed, denied, errors] = machine.counters(slot)
    expect(messages).toBe(15)
    expect(allowed + denied + errors).toBe(messages)
  }
})
