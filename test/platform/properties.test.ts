// What holds for every sequence of frames: lengths, isolation, and that shared state is the sum of the agents' own views.
import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { messageId, protocolId } from '../../src/scmi/header.ts'
import { protocolOf } from '../../src/scmi/protocols.ts'
import { type AnyMessage, fits, formAt } from '../../src/scmi/schema.ts'
import { type Asked, example, extended, hex, newFrame, platformOf, word } from './ask.ts'

const options = { seed: 1, numRuns: 300 }
const maxBytes = 128

/** Any message of any protocol, with words that are often plausible: small ids and flags, sometimes anything. */
const anyWord = fc.oneof(
  { weight: 6, arbitrary: fc.nat(15) },
  { weight: 1, arbitrary: fc.constantFrom(0x4000_0000, 0x8000_0000, 0xffff_ffff, 0x2_0000, 125_000_000) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff_ffff }) },
)
const anyCommand = fc
  .record({
    protocol: fc.integer({ min: 0x10, max: 0x19 }),
    message: fc.integer({ min: 0, max: 0x11 }),
    payload: fc.array(anyWord, { maxLength: 5 }),
    fitted: fc.boolean(),
  })
  .map(({ protocol, message, payload, fitted }) => {
    const declared = Object.values(protocolOf(protocol)?.messages ?? {}).find(m => m.id === message) as
      | AnyMessage
      | undefined
    if (fitted && declared !== undefined) {
      const words = formAt(declared, 0x4_0000).command.size / 4
      while (payload.length < words) payload.push(0)
      payload.length = words
      // The one command with entries: as many as its third word tells, up to a few.
      if (protocol === 0x19 && message === 6)
        for (let i = 0; i < 2 * (((payload[2] as number) >>> 2) & 7); i++) payload.push(i % 2 === 0 ? 10 : i)
    }
    return hex(word(protocol, message), ...payload)
  })
const anyFrame = fc.oneof(
  { weight: 5, arbitrary: anyCommand },
  {
    weight: 1,
    arbitrary: fc.uint8Array({ maxLength: 140 }).map(bytes => Buffer.from(bytes).toString('hex')),
  },
)

/** Everything that the platform would tell or be, apart from how it is told. */
const physical = ({ platform: p }: Asked) => ({
  clocks: Array.from({ length: 14 }, (_, id) => [
    p.clocks.running(id),
    p.clocks.rate(id),
    p.clocks.parent(id),
  ]),
  power: Array.from({ length: 8 }, (_, id) => p.power.state(id)),
  levels: [0, 1].map(id => [p.performance.level(id), p.performance.max(id), p.performance.min(id)]),
  resets: Array.from({ length: 9 }, (_, id) => [p.resets.resets(id), p.resets.asserted(id)]),
  voltages: [0, 1, 2, 3].map(id => [p.voltages.level(id), p.voltages.config(id)]),
  sensors: [0, 1, 2].map(id => [p.sensors.enabled(id), p.sensors.interval(id)]),
  powerCaps: [0, 1, 2].map(id => [p.powerCaps.cap(id), p.powerCaps.pai(id)]),
  pins: [0, 1, 2, 3, 4].map(id => [
    p.pins.owner(id),
    p.pins.functionOf(id),
    ...Array.from(p.pins.types(id), type => p.pins.value(id, type)),
  ]),
})

test.prop([fc.array(fc.tuple(fc.nat(4), anyFrame), { maxLength: 60 })], options)(
  'no frame throws, is answered longer than its channel, or with a length that its message does not have',
  frames => {
    const asked = example(extended)
    for (const [channel, frame] of frames) {
      const response = Buffer.from(asked.raw(channel, frame), 'hex')
      const command = Buffer.from(frame, 'hex')
      if (command.length < 4) {
        expect(response.length).toBe(0)
        continue
      }
      expect(response.subarray(0, 4)).toEqual(command.subarray(0, 4))
      expect(response.length).toBeGreaterThanOrEqual(8)
      expect(response.length).toBeLessThanOrEqual(maxBytes)
      const status = response.readInt32LE(4)
      if (status !== 0) {
        expect(response.length).toBe(8)
        expect(status).toBeGreaterThanOrEqual(protocolId(command.readUInt32LE(0)) === 0x19 ? -11 : -10)
        continue
      }
      const header = command.readUInt32LE(0)
      const message = Object.values(protocolOf(protocolId(header))?.messages ?? {}).find(
        m => m.id === messageId(header),
      ) as AnyMessage
      const version = asked.platform.versionInForce(asked.platform.agentOf(channel), protocolId(header))
      expect(fits(formAt(message, version).response, response.length - 8), response.toString('hex')).toBe(
        true,
      )
    }
  },
)

test.prop([fc.array(fc.tuple(fc.nat(4), anyFrame), { maxLength: 40 })], options)(
  'without grants an agent changes nothing physical, and learns nothing but who is there',
  frames => {
    const asked = example(extended)
    const before = physical(asked)
    for (const [channel, frame] of frames) asked.raw(1 + (channel % 4), frame)
    expect(physical(asked)).toEqual(before)
    for (const protocol of [0x11, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19])
      for (const channel of [1, 2, 3, 4]) expect(asked.status(channel, protocol, 0)).toBe(-3)
  },
)

/** avb, gpu and i2c2 for the one, usb0, adc and sdhi2 for the other: nothing in common. */
const disjoint = (): Asked => {
  const asked = example(text =>
    extended(text)
      .replace('pins: [2, 3], groups: [1]', 'pins: [3]')
      .replace('groups: [0, 1] }', 'groups: [0] }'),
  )
  for (const device of [0, 5, 4]) asked.ask(0, 0x10, 9, 2, device, 1)
  for (const device of [1, 7, 3]) asked.ask(0, 0x10, 9, 3, device, 1)
  return asked
}

test.prop([fc.array(fc.tuple(fc.boolean(), anyFrame), { maxLength: 80 })], options)(
  'agents with disjoint devices: what one is answered does not depend on the other',
  frames => {
    const together = disjoint()
    const alone = disjoint()
    for (const [first, frame] of frames) {
      const answer = together.raw(first ? 1 : 2, frame)
      if (first) expect(answer, frame).toBe(alone.raw(1, frame))
    }
    expect(together.takeEvents().filter(e => e.channel === 1)).toEqual(alone.takeEvents())
  },
)

test.prop(
  [
    fc.array(
      fc.record({
        agent: fc.nat(2),
        clock: fc.nat(5),
        what: fc.constantFrom('enable', 'disable', 'parent', 'reset'),
        parent: fc.nat(5),
      }),
      { maxLength: 80 },
    ),
  ],
  options,
)(
  'a clock’s enable count is the sum of the agents’ own views, and what feeds a running clock runs',
  steps => {
    const asked = platformOf(`
vendor: v
agents:
  - { id: 1, name: a, trusted: true, permissions: allow }
  - { id: 2, name: b, permissions: allow }
  - { id: 3, name: c, permissions: allow }
clock:
  clocks:
    - { id: 0, name: pll0, rates: [1] }
    - { id: 1, name: pll1, rates: [1], alwaysOn: true }
    - { id: 2, name: mux, rates: [1], parents: [0, 1] }
    - { id: 3, name: bus, rates: [1], parents: [2, 0] }
    - { id: 4, name: dev, rates: [1], parents: [3, 2, 1] }
    - { id: 5, name: dev2, rates: [1], parents: [3], enabledBy: [2] }
`)
    const { clocks } = asked.platform
    const views = [0, 1, 2].map(agent => [0, 1, 2, 3, 4, 5].map(clock => agent === 1 && clock === 5))
    for (const { agent, clock, what, parent } of steps) {
      const mine = views[agent] as boolean[]
      if (what === 'enable' || what === 'disable') {
        asked.ask(agent, 0x14, 7, clock, what === 'enable' ? 1 : 0, 0)
        mine[clock] = what === 'enable'
      } else if (what === 'parent') asked.ask(agent, 0x14, 0xd, clock, parent)
      else {
        asked.ask(0, 0x10, 0xb, agent + 1, 0)
        mine.fill(false)
      }
      const feeds = (id: number): boolean =>
        id === 1 ||
        views.some(v => v[id] === true) ||
        [0, 1, 2, 3, 4, 5].some(child => clocks.parent(child) === id && feeds(child))
      for (let id = 0; id < 6; id++) {
        expect(clocks.enableCount(id)).toBe(views.filter(v => v[id]).length)
        expect(clocks.running(id)).toBe(feeds(id))
        for (const a of [0, 1, 2]) {
          expect((asked.words(a, 0x14, 3, id)[0] as number) & 1, 'own view').toBe(views[a]?.[id] ? 1 : 0)
        }
      }
    }
  },
)

test('a frame beside the platform’s room is left alone', () => {
  const { platform } = example()
  const frame = newFrame(256)
  frame.bytes.fill(0xee)
  frame.words[0] = word(0x15, 3)
  frame.words[1] = 0
  const length = platform.handle(0, frame, 8)
  expect(length).toBeLessThanOrEqual(maxBytes)
  expect(frame.bytes.subarray(length).every(b => b === 0xee)).toBe(true)
})
