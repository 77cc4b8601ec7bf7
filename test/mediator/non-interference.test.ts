// No traffic of a guest reaches what is not its own, or shows in what a guest with other resources is told.
import { fc, test as property } from '@fast-check/vitest'
import { expect } from 'vitest'
import { DelayingLink } from './delaying-link.ts'
import { Machine, type MachineOptions, type MemoryGuest, statusOf, type Tapped, wordsOf } from './machine.ts'
import { anyFrame, sharedRequest } from './traffic.ts'

/** Devices of guests a to d; b's sdhi2 is in a's power domain, c and d share a clock, c and the host a power domain. */
const devices = [[0, 2, 5], [1, 3, 7], [6], [8]] as const
const OFF = 0x4000_0000

/** Where a command names its resource: payload words, from the standard's tables. */
const second = new Set([0x1104, 0x1405])
/** Messages about no resource that may be forwarded: VERSION and NEGOTIATE are answered by the mediator. */
const whole = (message: number): boolean => [0x01, 0x02].includes(message & 0xff) || message === 0x1503
const neverForwarded = new Set([0x130b, 0x1009, 0x100a, 0x100b])
const notifications = new Set([0x1106, 0x1107, 0x1309, 0x130a, 0x1409, 0x140a, 0x1504, 0x150b, 0x1605])
/** Bits that ask for a delayed response: payload word and mask. */
const asks = new Map([
  [0x1104, [0, 1]],
  [0x1405, [0, 1]],
  [0x1506, [1, 1]],
  [0x1604, [1, 4]],
  [0x1707, [1, 1]],
])

interface Command {
  readonly channel: number
  readonly message: number
  readonly payload: readonly number[]
  readonly resource: number | undefined
}
function commandOf({ channel, words: [header = 0, ...payload] }: Tapped): Command {
  const message = (((header >>> 10) & 0xff) << 8) | (header & 0xff)
  return {
    channel,
    message,
    payload,
    resource: whole(message) ? undefined : payload[second.has(message) ? 1 : 0],
  }
}

/** What is wrong with a command that the platform received, if anything. */
function fault(
  machine: Machine,
  { words, channel }: Tapped,
  held: readonly (readonly number[])[],
): string | undefined {
  const header = words[0] as number
  const { message, payload, resource } = commandOf({ words, channel })
  const name = `message 0x${message.toString(16)} of ${payload} on channel ${channel}`
  if ((header & 0xf000_0300) !== 0) return `${name}: type or reserved bits`
  if (neverForwarded.has(message) || message >>> 8 === 0x10 || message >>> 8 === 0x12)
    return `${name}: not for guests`
  if (notifications.has(message)) return `${name}: nobody could be told`
  const [asyncWord, asyncMask] = asks.get(message) ?? [0, 0]
  if (((payload[asyncWord as number] as number) & (asyncMask as number)) !== 0)
    return `${name}: nobody could be told`
  const mine = machine.resources(held[channel - 1] ?? [])
  const owns = (id: number | undefined) =>
    mine.some(each => each.protocol === message >>> 8 && each.id === id)
  if (resource === undefined) {
    if (!mine.some(({ protocol }) => protocol === message >>> 8)) return `${name}: the protocol is not held`
  } else if (!owns(resource)) return `${name}: resource ${resource} is not granted`
  if (message === 0x140d && !owns(payload[1])) return `${name}: the parent is not granted`
  return undefined
}

function machineOf(options: MachineOptions = {}): [Machine, MemoryGuest[]] {
  const machine = new Machine(options)
  const guests = devices.map(each => machine.guest(each))
  machine.takeTapped()
  return [machine, guests]
}

const steps = fc.array(fc.tuple(fc.nat(3), anyFrame), { minLength: 1, maxLength: 60 })

/** Frees on other channels than the sender's are releases of what several share, and nothing else. */
const isRelease = ({ message, payload }: Command): boolean =>
  (message === 0x1104 && payload[2] === OFF) ||
  (message === 0x1407 && payload[1] === 0) ||
  (message === 0x1705 && payload[1] === 0)
const sharedByGuests = (message: number, resource: number | undefined): boolean =>
  (message >>> 8 === 0x11 && resource === 2) || (message >>> 8 === 0x14 && resource === 9)

property.prop([steps], { seed: 11, numRuns: 60 })(
  'the platform hears of nothing outside the sender’s grants, and answers are whole',
  sent => {
    const [machine, guests] = machineOf()
    for (const [who, frame] of sent) {
      const guest = guests[who] as MemoryGuest
      const answer = guest.ask(frame)
      for (const tapped of machine.takeTapped()) {
        expect(fault(machine, tapped, devices)).toBeUndefined()
        const command = commandOf(tapped)
        if (command.channel !== who + 1)
          expect([isRelease(command), sharedByGuests(command.message, command.resource)]).toEqual([
            true,
            true,
          ])
        expect(statusOf(answer)).not.toBe(-10) // a wrong size never gets as far as the platform
      }
    }
    for (const [slot, guest] of guests.entries()) {
      expect(guest.faults).toEqual([])
      const [messages, allowed, denied, errors] = machine.counters(slot)
      expect(allowed + denied + errors).toBe(messages)
      expect(messages).toBe(sent.filter(([who]) => who === slot).length)
    }
    machine.stop()
  },
)

/** Values of what is not the observer's: names, rates, levels, readings, capabilities. */
const otherValues = (text: string): string =>
  text
    .replace('name: usb0, rates: [133333333]', 'name: usb-new, rates: [1000, 2000, 3000], rate: 2000')
    .replace(
      'rates: [20000000, 40000000], rate: 40000000',
      'rates: { min: 20000000, max: 40000000, step: 20000000 }',
    )
    .replace('{ id: 5, name: adc }', '{ id: 5, name: adc5, set: both, alwaysOn: true }')
    .replace('value: 1801', 'value: 2999')
    .replace(
      'name: board-temp, type: 2, exponent: -3, value: 36500',
      'name: ambient, type: 2, exponent: -2, value: 12',
    )
    .replace(
      '- { id: 3, name: sd2, latencyUs: 35 }',
      '- { id: 3, name: sd2reset, latencyUs: 999, explicit: true }',
    )
    .replace(
      '- { id: 2, name: vcc-sd2, levels: [3300000] }',
      '- { id: 2, name: vcc2, levels: [1200000, 1500000] }',
    )
    .replace('- { level: 500, power: 700', '- { level: 600, power: 700')
    .replace('sustainedLevel: 1500', 'sustainedLevel: 1000')

const observer = fc.array(anyFrame, { minLength: 1, maxLength: 40 })
const others = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.tuple(fc.nat(2), fc.oneof(anyFrame, sharedRequest)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant(-1), fc.subarray([0, 1, 4, 6, 7, 8])) },
  ),
  { maxLength: 40 },
)

property.prop([observer, others], { seed: 12, numRuns: 60 })(
  'a guest’s answers are the same whatever others hold, do, and are told',
  (sent, noise) => {
    const quiet = new Machine()
    const loud = new Machine({ edit: otherValues, hostDevices: [8] })
    const alone = quiet.guest([2, 5])
    const watched = loud.guest([2, 5])
    const crowd = [
      [0, 1],
      [6, 7],
      [4, 8],
    ].map(each => loud.guest(each))
    let next = 0
    const speak = () => {
      const [who, what] = noise[next++] ?? [0, undefined]
      if (what === undefined) return
      // Grants come and go too; the observer's, and sdhi2 in its power domain, are never among them.
      if (who < 0) loud.regrant(1, ...(what as number[]))
      else (crowd[who as number] as MemoryGuest).ask(what as Uint8Array)
    }
    for (const frame of sent) {
      speak()
      expect(Buffer.from(watched.ask(frame)).toString('hex')).toBe(
        Buffer.from(alone.ask(frame)).toString('hex'),
      )
      speak()
    }
    quiet.stop()
    loud.stop()
  },
)

/** Voltage 0 is sdhi0's and sdhi2's here, and clock 9 has a duty cycle: everything that votes is shared by somebody. */
const shareMore = (text: string): string =>
  text
    .replace('reset: [3], voltage: [2] }', 'reset: [3], voltage: [0, 2] }')
    .replace(
      'name: can, rates: [20000000, 40000000], rate: 40000000',
      'name: can, rates: [20000000, 40000000], rate: 40000000, extended: [{ type: 1, value: 50 }]',
    )

/** What the policy makes of the answers that guests got: who has a vote for what. */
class Votes {
  readonly #votes = new Map<string, Set<number>>()
  /** What the host holds is never released once somebody asked for it. */
  readonly #sticky = new Set<string>(['17:3'])

  note(slot: number, frame: Uint8Array, status: number): void {
    const [header = 0, ...payload] = wordsOf(frame)
    if (status !== 0) return
    const message = (((header >>> 10) & 0xff) << 8) | (header & 0xff)
    const off = message === 0x1104 ? payload[2] === OFF : (payload[1] as number) === 0
    const id = message === 0x1104 ? payload[1] : payload[0]
    if (
      ![0x1104, 0x1407, 0x1705].includes(message) ||
      (message === 0x1407 && ((payload[1] as number) & 3) === 3)
    )
      return
    const key = `${message >>> 8}:${id}`
    const votes = this.#votes.get(key) ?? new Set()
    this.#votes.set(key, votes)
    if (off) votes.delete(slot)
    else votes.add(slot)
    if (!off && this.#sticky.has(key)) votes.add(-1)
  }

  leave(slot: number): void {
    for (const votes of this.#votes.values()) votes.delete(slot)
  }

  on(protocol: number, id: number): boolean {
    return (this.#votes.get(`${protocol}:${id}`)?.size ?? 0) > 0
  }

  view(slot: number, protocol: number, id: number): boolean {
    return this.#votes.get(`${protocol}:${id}`)?.has(slot) ?? false
  }
}

function expectPolicy(machine: Machine, votes: Votes): void {
  const { power, clocks, voltages } = machine.platform
  for (const id of [0, 2, 3])
    expect([`power ${id}`, power.state(id) === 1]).toEqual([`power ${id}`, votes.on(0x11, id)])
  for (const id of [3, 9, 10])
    expect([`clock ${id}`, clocks.running(id)]).toEqual([`clock ${id}`, votes.on(0x14, id)])
  for (const id of [0, 2])
    expect([`voltage ${id}`, voltages.config(id) === 7]).toEqual([`voltage ${id}`, votes.on(0x17, id)])
}

const requests = fc.array(fc.tuple(fc.nat(3), sharedRequest), { minLength: 1, maxLength: 60 })
const kinds = fc.constantFrom('votes', 'last-writer')
/** Only known requests change state: the frames of guests that do not own what they name are denied. */
property.prop([requests, kinds], { seed: 13, numRuns: 60 })(
  'what is shared is as the votes have it, and each sees its own',
  (sent, kind) => {
    const [machine, guests] = machineOf({
      edit: text => shareMore(text).replaceAll('sharing: votes', `sharing: ${kind}`),
    })
    const votes = new Votes()
    const owned = devices.map(each => machine.resources(each))
    for (const [who, frame] of sent) {
      const guest = guests[who] as MemoryGuest
      const status = statusOf(guest.ask(frame))
      const command = commandOf({ channel: 0, words: wordsOf(frame) })
      // A release by one who does not own it is SUCCESS too, and is no vote.
      if (owned[who]?.some(each => each.protocol === command.message >>> 8 && each.id === command.resource))
        votes.note(who, frame, status)
      expectPolicy(machine, votes)
    }
    expect(guests[0]?.words(0x1105, 2)[1]).toBe(votes.view(0, 0x11, 2) ? 0 : OFF)
    expect(guests[1]?.words(0x1105, 2)[1]).toBe(votes.view(1, 0x11, 2) ? 0 : OFF)
    expect(guests[2]?.words(0x1105, 3)[1]).toBe(votes.view(2, 0x11, 3) ? 0 : OFF)
    expect(guests[2]?.words(0x140b, 9, 0)[2]).toBe(votes.view(2, 0x14, 9) ? 1 : 0)
    expect(guests[3]?.words(0x140b, 9, 0)[2]).toBe(votes.view(3, 0x14, 9) ? 1 : 0)
    expect(guests[0]?.words(0x1706, 0)[1]).toBe(votes.view(0, 0x17, 0) ? 7 : 0)
    expect(guests[1]?.words(0x1706, 0)[1]).toBe(votes.view(1, 0x17, 0) ? 7 : 0)
    for (const slot of [0, 1, 2, 3]) {
      machine.close(slot)
      votes.leave(slot)
      expectPolicy(machine, votes)
    }
    machine.stop()
  },
)

/** What happens next: a guest sends, something travels, a guest loses and regains its devices. */
const events = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ send: fc.nat(3), frame: sharedRequest }) },
    { weight: 1, arbitrary: fc.record({ send: fc.nat(3), frame: anyFrame }) },
    { weight: 4, arbitrary: fc.record({ arrive: fc.nat(9) }) },
    { weight: 4, arbitrary: fc.record({ answer: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ refuse: fc.nat(9), status: fc.constantFrom(-6, -8, -9) }) },
    { weight: 1, arbitrary: fc.record({ regrant: fc.nat(3), some: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ restart: fc.nat(3) }) },
  ),
  { maxLength: 120 },
)

property.prop([events, kinds, fc.constantFrom(1, 2, 1024)], { seed: 14, numRuns: 120 })(
  'the same while requests and answers overtake one another, are refused, and grants change under way',
  (happening, kind, maxInFlight) => {
    let made: DelayingLink | undefined
    const [machine, guests] = machineOf({
      edit: text => shareMore(text).replaceAll('sharing: votes', `sharing: ${kind}`),
      firmware: platform => {
        made = new DelayingLink(platform, maxInFlight)
        return made
      },
    })
    const link = made as DelayingLink
    const votes = new Votes()
    const held = devices.map(each => [...each] as readonly number[])
    const sent: Uint8Array[][] = devices.map(() => [])
    const changes: { slot: number; done: () => boolean }[] = []
    for (const [slot, guest] of guests.entries())
      guest.onAnswer = (ticket, answer) => {
        const frame = sent[slot]?.[ticket] ?? new Uint8Array(4)
        const command = commandOf({ channel: 0, words: wordsOf(frame) })
        // Judged by what it holds now: a vote that comes about after its grant is gone is withdrawn at once.
        const mine = machine.resources(held[slot] ?? [])
        if (mine.some(each => each.protocol === command.message >>> 8 && each.id === command.resource))
          votes.note(slot, frame, statusOf(answer))
      }
    const at = (list: readonly unknown[], n: number): number => (list.length === 0 ? -1 : n % list.length)
    for (const event of happening) {
      if ('send' in event) {
        const guest = guests[event.send] as MemoryGuest
        if (guest.pending === guest.maxInFlight) continue
        sent[event.send]?.push(event.frame)
        guest.send(event.frame)
      } else if ('arrive' in event) {
        if (link.requests.length > 0) link.arrive(at(link.requests, event.arrive))
      } else if ('answer' in event) {
        if (link.answers.length > 0) link.answer(at(link.answers, event.answer))
      } else if ('refuse' in event) {
        const index = at(link.requests, event.refuse)
        // Only what guests ask: a release that is refused leaves what it would have released.
        if (index < 0 || isRelease(commandOf(link.requests[index] as Tapped))) continue
        link.refuses = () => event.status
        link.arrive(index)
        link.refuses = () => undefined
      } else if ('regrant' in event) {
        const slot = event.regrant
        if (changes.some(change => change.slot === slot && !change.done())) continue
        const next = event.some ? (devices[slot] ?? []) : []
        held[slot] = next
        if (!event.some) votes.leave(slot)
        const { done } = machine.begin({ type: 'grants', slot, grants: machine.grants(...next) })
        changes.push({ slot, done })
      } else machine.relay.restarted(guests[event.restart] as MemoryGuest)
      for (const tapped of machine.takeTapped())
        if (!isRelease(commandOf(tapped))) expect(fault(machine, tapped, devices)).toBeUndefined()
    }
    link.settle()
    for (const change of changes) expect(change.done()).toBe(true)
    expectPolicy(machine, votes)
    for (const [slot, guest] of guests.entries()) {
      expect(guest.faults).toEqual([])
      expect(guest.pending).toBe(0)
      expect(guest.answers).not.toContain(undefined)
      const [messages, allowed, denied, errors] = machine.counters(slot)
      expect(messages).toBe(guest.answers.length)
      expect(allowed + denied + errors).toBe(messages)
    }
    machine.stop()
  },
)

const losses = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ send: fc.nat(3), frame: fc.oneof(sharedRequest, anyFrame) }) },
    { weight: 4, arbitrary: fc.record({ arrive: fc.nat(9) }) },
    { weight: 4, arbitrary: fc.record({ answer: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ lose: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ loseAnswer: fc.nat(9) }) },
  ),
  { maxLength: 100 },
)

property.prop([losses], { seed: 15, numRuns: 60 })(
  'with firmware that falls silent: nobody is forgotten, and when all have left nothing stays on',
  happening => {
    let made: DelayingLink | undefined
    const [machine, guests] = machineOf({
      edit: shareMore,
      hostDevices: [],
      firmware: platform => {
        made = new DelayingLink(platform)
        return made
      },
    })
    const link = made as DelayingLink
    for (const event of happening) {
      if ('send' in event) (guests[event.send] as MemoryGuest).send(event.frame)
      else if ('arrive' in event) link.arrive(link.requests.length && event.arrive % link.requests.length)
      else if ('answer' in event) link.answer(link.answers.length && event.answer % link.answers.length)
      else if ('lose' in event) link.lose(link.requests.length && event.lose % link.requests.length)
      else link.loseAnswer(link.answers.length && event.loseAnswer % link.answers.length)
    }
    link.settle()
    for (const [slot, guest] of guests.entries()) {
      expect(guest.faults).toEqual([])
      expect(guest.pending).toBe(0)
      const [messages, allowed, denied, errors] = machine.counters(slot)
      expect(allowed + denied + errors).toBe(messages)
      const close = machine.begin({ type: 'close', slot })
      link.settle()
      expect(close.done()).toBe(true)
    }
    const { power, clocks, voltages } = machine.platform
    for (let id = 0; id < 7; id++) expect(power.state(id)).toBe(0)
    for (let id = 0; id < 12; id++) expect(clocks.running(id)).toBe(false)
    for (let id = 0; id < 3; id++) expect(voltages.config(id)).toBe(0)
    machine.stop()
  },
)
