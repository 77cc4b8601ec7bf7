// src/platform/delayed.ts, delays.ts and the protocols' asynchronous forms: accepted, carried out when due, answered once.
import { fc, test as property } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import { BUSY, DENIED, INVALID_PARAMETERS, NOT_SUPPORTED, SUCCESS } from '../../src/scmi/status.ts'
import { collectionsOf } from '../native/no-garbage.ts'
import { type Asked, hex, newFrame, platformOf, word } from './ask.ts'

const yaml = `
vendor: v
agents:
  - { id: 1, name: one, trusted: true, permissions: allow }
  - { id: 2, name: two, permissions: allow }
channels: [{ agent: 1 }, { agent: 2 }, { agent: 1 }, { agent: 2, p2a: false }]
devices:
  - { id: 0, name: all, clock: [0, 1, 2], sensor: [0, 1], reset: [0, 1], voltage: [0, 1], powerCapping: [0, 1, 2] }
clock:
  maxAsync: 2
  clocks:
    - { id: 0, name: fast, rates: [100, 200, 300], rateRequestedNotify: true, async: { ms: 2 } }
    - { id: 1, name: slow, rates: [100, 8589934592], async: { messages: 3 } }
    - { id: 2, name: plain, rates: [100, 200] }
sensor:
  maxAsync: 1
  sensors:
    - { id: 0, name: async, type: 2, value: -5, async: { messages: 0 } }
    - { id: 1, name: sync, type: 2 }
reset:
  maxAsync: 3
  domains:
    - { id: 0, name: async, async: { messages: 0 } }
    - { id: 1, name: sync }
voltage:
  domains:
    - { id: 0, name: async, levels: [-900, 900, 1000], level: 1000, async: { messages: 0 } }
    - { id: 1, name: sync, levels: [900] }
powerCapping:
  domains:
    - { id: 0, name: async, cap: { min: 10, max: 90, step: 20 }, pai: { min: 1, max: 1 }, async: { messages: 0 } }
    - { id: 1, name: sync, cap: { min: 10, max: 90, step: 20 }, pai: { min: 1, max: 1 } }
    - { id: 2, name: later, cap: { min: 10, max: 90, step: 20 }, pai: { min: 1, max: 1 }, async: { messages: 2 } }
`
const platform = (release = '3.2'): Asked =>
  platformOf(
    release === '3.2'
      ? yaml
      : `release: '${release}'\n${yaml.slice(0, yaml.indexOf('voltage:\n'))}`.replace(
          ', voltage: [0, 1], powerCapping: [0, 1, 2]',
          '',
        ),
  )
const CLOCK = 0x14
const SENSOR = 0x15
const RESET = 0x16
const VOLTAGE = 0x17
const CAPPING = 0x18
/** A delayed response in hex: status and fields. The token is the one that `Asked.ask` uses. */
const delayed = (protocol: number, message: number, ...words: number[]): string =>
  hex(word(protocol, message, 0x155, 2), ...words)

describe('each asynchronous form: accepted with the status alone, then answered with the command’s token', () => {
  test.each([
    ['CLOCK_RATE_SET', '3.2', CLOCK, 0x5, [1, 2, 200, 0], [2, 200, 0]],
    ['SENSOR_READING_GET, a value', '2.0', SENSOR, 0x6, [0, 1], [0, -5, -1]],
    ['SENSOR_READING_GET, value and time stamp', '3.2', SENSOR, 0x6, [0, 1], [0, -5, -1, 0, 0]],
    ['RESET', '3.2', RESET, 0x4, [0, 5, 0], [0]],
    ['POWERCAP_CAP_SET, between two steps', '3.2', CAPPING, 0x5, [0, 2, 49], [0, 30]],
    ['POWERCAP_CAP_SET, lifted', '3.2', CAPPING, 0x5, [0, 2, 0], [0, 0]],
    ['VOLTAGE_LEVEL_SET, below zero', '3.2', VOLTAGE, 0x7, [0, 1, -900], [0, -900]],
  ] as const)('%s at %s', (_, release, protocol, message, command, fields) => {
    const asked = platform(release)
    expect(asked.ask(1, protocol, message, ...command)).toBe(hex(SUCCESS))
    expect(asked.takeEvents()).toEqual([
      { channel: 1, frame: delayed(protocol, message, SUCCESS, ...fields) },
    ])
    asked.ask(1, protocol, 0x0)
    expect(asked.takeEvents(), 'once').toEqual([])
  })

  test('a power cap: lowest of all agents’ when carried out, silent where that was asked for, and told in the attributes', () => {
    const asked = platform()
    const cap = (): number | undefined => asked.words(0, CAPPING, 0x4, 2)[0]
    expect([0, 1, 2].map(id => ((asked.words(0, CAPPING, 0x3, id)[0] as number) >>> 29) & 1)).toEqual([
      1, 0, 1,
    ])
    expect(asked.status(0, CAPPING, 0x5, 1, 2, 30)).toBe(NOT_SUPPORTED)
    expect(asked.status(3, CAPPING, 0x5, 0, 2, 30)).toBe(NOT_SUPPORTED) // a channel without a way back
    expect(asked.status(0, CAPPING, 0x5, 2, 0, 70)).toBe(SUCCESS)
    expect(asked.status(1, CAPPING, 0x5, 2, 3, 50)).toBe(SUCCESS)
    expect([cap(), cap(), cap()]).toEqual([70, 70, 50])
    expect(asked.takeEvents()).toEqual([])
    for (let pending = 0; pending < 4; pending++)
      expect(asked.status(0, CAPPING, 0x5, 2, 2, 30 + 20 * (pending & 1)), `${pending}`).toBe(SUCCESS)
    expect(asked.takeEvents().length).toBeGreaterThan(0)
    expect(asked.status(0, CAPPING, 0x5, 2, 2, 95)).toBe(-5) // OUT_OF_RANGE: before it is taken in hand
  })

  test('it is carried out when due, not when accepted', () => {
    const asked = platform()
    asked.platform.tick(1000)
    expect(asked.status(0, CLOCK, 0x5, 1, 0, 300, 0)).toBe(SUCCESS)
    expect(asked.words(0, CLOCK, 0x6, 0)).toEqual([100, 0])
    expect(asked.platform.dueIn).toBe(2000)
    asked.platform.tick(2999)
    expect(asked.platform.dueIn).toBe(1)
    expect(asked.words(0, CLOCK, 0x6, 0)).toEqual([100, 0])
    expect(asked.takeEvents()).toEqual([])
    asked.platform.tick(3000)
    expect(asked.platform.dueIn).toBe(-1)
    expect(asked.words(0, CLOCK, 0x6, 0)).toEqual([300, 0])
    expect(asked.takeEvents()).toEqual([{ channel: 0, frame: delayed(CLOCK, 0x5, SUCCESS, 0, 300, 0) }])
  })

  test('after so many further messages, whoever sends them', () => {
    const asked = platform()
    expect(asked.status(0, CLOCK, 0x5, 1, 1, 0, 2)).toBe(SUCCESS)
    asked.ask(1, 0x10, 0x0)
    asked.raw(0, 'ffffffff')
    expect(asked.takeEvents()).toEqual([])
    asked.ask(1, 0x10, 0x0)
    expect(asked.takeEvents()).toEqual([{ channel: 0, frame: delayed(CLOCK, 0x5, SUCCESS, 1, 0, 2) }])
  })

  test('the clock may pass 2^31 and 2^32 meanwhile', () => {
    for (const start of [0x7fff_ff00, 0xffff_ff00 | 0]) {
      const asked = platform()
      asked.platform.tick(start)
      asked.ask(0, CLOCK, 0x5, 1, 0, 300, 0)
      asked.platform.tick((start + 1999) | 0)
      expect(asked.platform.clocks.rate(0)).toBe(100)
      asked.platform.tick((start + 2000) | 0)
      expect(asked.platform.clocks.rate(0)).toBe(300)
    }
  })

  test('in order of what is due, not of acceptance', () => {
    const asked = platform()
    asked.status(0, CLOCK, 0x5, 1, 1, 100, 0)
    asked.status(0, CLOCK, 0x5, 1, 2, 200, 0)
    asked.ask(0, 0x10, 0x0)
    asked.ask(0, 0x10, 0x0)
    expect(asked.takeEvents().map(e => e.frame)).toEqual([
      delayed(CLOCK, 0x5, SUCCESS, 2, 200, 0),
      delayed(CLOCK, 0x5, SUCCESS, 1, 100, 0),
    ])
  })

  test('on the channel that the command came on', () => {
    const asked = platform()
    expect(asked.status(2, CLOCK, 0x5, 1, 2, 200, 0)).toBe(SUCCESS)
    expect(asked.takeEvents().map(e => e.channel)).toEqual([2])
  })

  test('a waived answer does not come, and the request is carried out', () => {
    const asked = platform()
    for (let i = 0; i < 10; i++) {
      expect(asked.status(0, CLOCK, 0x5, 3, 2, 100 + 100 * (i & 1), 0)).toBe(SUCCESS)
      expect(asked.platform.clocks.rate(2)).toBe(100 + 100 * (i & 1))
    }
    expect(asked.takeEvents()).toEqual([])
  })
})

describe('what is advertised is what is possible', () => {
  test('the most an agent can have pending, and which resources: on a channel with a way back alone', () => {
    const asked = platform()
    expect(asked.words(1, CLOCK, 0x1)).toEqual([0x2_0003])
    expect(asked.words(1, SENSOR, 0x1)[0]).toBe(0x1_0002)
    const both = (protocol: number, channel: number) =>
      [0, 1].map(id => (asked.words(channel, protocol, 0x3, id)[0] as number) >>> 31)
    expect([both(RESET, 1), both(VOLTAGE, 1)]).toEqual([
      [1, 0],
      [1, 0],
    ])
    expect(asked.words(1, SENSOR, 0x3, 0)[2]).toBe(0x8000_0100)
    expect(asked.words(1, SENSOR, 0x3, 1)[2]).toBe(0x100)
    expect(asked.words(3, CLOCK, 0x1)).toEqual([3])
    expect(asked.words(3, SENSOR, 0x1)[0]).toBe(2)
    expect([both(RESET, 3), both(VOLTAGE, 3)]).toEqual([
      [0, 0],
      [0, 0],
    ])
    expect(asked.words(3, SENSOR, 0x3, 0)[2]).toBe(0x100)
  })

  test.each([
    [1, SENSOR, 0x6, [1, 1], 'a sensor that answers at once'],
    [1, RESET, 0x4, [1, 5, 0], 'a domain that resets at once'],
    [1, VOLTAGE, 0x7, [1, 1, 900], 'a level that is set at once'],
    [3, CLOCK, 0x5, [1, 0, 200, 0], 'no way back'],
    [3, CLOCK, 0x5, [3, 0, 200, 0], 'no way back, and none wanted: it is not offered'],
    [3, SENSOR, 0x6, [0, 1], 'no way back'],
    [3, RESET, 0x4, [0, 5, 0], 'no way back'],
    [3, VOLTAGE, 0x7, [0, 1, 900], 'no way back'],
  ] as const)('channel %i, 0x%s 0x%s %o: %s', (channel, protocol, message, command, _why) => {
    const asked = platform()
    expect(asked.status(channel, protocol, message, ...command)).toBe(NOT_SUPPORTED)
    expect(asked.takeEvents()).toEqual([])
  })

  test('no protocol offers it where the file says nothing', () => {
    const asked = platformOf(yaml.replaceAll(/, async: \{ [a-z]+: \d \}/g, ''))
    expect(asked.words(0, CLOCK, 0x1)).toEqual([3])
    expect(asked.status(0, CLOCK, 0x5, 1, 0, 200, 0)).toBe(NOT_SUPPORTED)
  })

  test('VOLTAGE_LEVEL_SET of version 1 knows no flags', () => {
    const asked = platformOf(`versions: { voltage: 0x10000 }\n${yaml}`)
    expect(asked.words(0, VOLTAGE, 0x3, 0)[0]).toBe(0)
    expect(asked.status(0, VOLTAGE, 0x7, 0, 1, 900)).toBe(INVALID_PARAMETERS)
  })
})

describe('bounds', () => {
  test('beyond the advertised maximum an agent is told BUSY; another is not; when answered, it may ask again', () => {
    const asked = platform()
    const set = (channel: number) => asked.status(channel, CLOCK, 0x5, 1, 0, 200, 0)
    expect([set(0), set(0), set(0), set(2), set(1)]).toEqual([SUCCESS, SUCCESS, BUSY, BUSY, SUCCESS])
    expect(asked.platform.clocks.rate(0)).toBe(100)
    expect(asked.status(0, CLOCK, 0x5, 1, 0, 999, 0), 'the value comes before BUSY').toBe(INVALID_PARAMETERS)
    expect(asked.status(0, CLOCK, 0x5, 0, 0, 200, 0), 'at once is always possible').toBe(SUCCESS)
    asked.platform.tick(2000)
    asked.platform.flush(() => {})
    expect([set(0), set(0), set(0)]).toEqual([SUCCESS, SUCCESS, BUSY])
  })

  test('a place is taken until the answer has been sent', () => {
    const { platform: p } = platform()
    const frame = newFrame()
    const read = () => {
      frame.words.set([word(SENSOR, 0x6), 0, 1])
      p.handle(0, frame, 12)
      return frame.ints[1]
    }
    expect([read(), read()]).toEqual([SUCCESS, BUSY])
    p.tick(0) // carried out, and queued
    expect(read()).toBe(BUSY)
    let sent = 0
    p.flush(() => {
      sent++
      expect(read(), 'while it is being sent').toBe(BUSY)
    })
    expect([sent, read()]).toEqual([1, SUCCESS])
  })

  test('a queue full of notifications drops notifications, and no delayed response', () => {
    const { platform: p } = platform()
    const frame = newFrame()
    const send = (...words: number[]) => {
      frame.words.set(words)
      p.handle(0, frame, words.length * 4)
      return frame.ints[1]
    }
    send(word(CLOCK, 0x9), 2, 1)
    send(word(CLOCK, 0x5, 7), 1, 1, 100, 0)
    for (let i = 0; i < 300; i++) send(word(CLOCK, 0x5), 0, 2, 100 + 100 * ((i + 1) & 1), 0)
    expect(p.eventsDropped).toBe(300 - 256)
    send(word(CLOCK, 0x5, 8), 1, 2, 100, 0)
    const types: number[] = []
    p.flush((_, bytes) => types.push((bytes[1] as number) & 3))
    expect(types.filter(type => type === 3).length).toBe(256)
    expect(types.filter(type => type === 2).length).toBe(2)
  })
})

describe('what ends a request before its time', () => {
  test('denied meanwhile: answered DENIED at once, and not carried out', () => {
    const asked = platform()
    asked.ask(1, CLOCK, 0x5, 1, 0, 300, 0)
    asked.ask(0, CLOCK, 0x5, 1, 0, 200, 0)
    expect(asked.status(0, 0x10, 0x9, 2, 0, 0)).toBe(SUCCESS)
    expect(asked.takeEvents()).toEqual([{ channel: 1, frame: delayed(CLOCK, 0x5, DENIED) }])
    asked.platform.tick(2000)
    asked.platform.flush((channel, bytes, length) => {
      asked.events.push({ channel, frame: Buffer.from(bytes.subarray(0, length)).toString('hex') })
    })
    expect(asked.takeEvents().map(e => e.channel)).toEqual([0])
    expect(asked.platform.clocks.rate(0)).toBe(200)
  })

  test('one protocol denied: the others’ requests go on', () => {
    const asked = platform()
    asked.ask(1, CLOCK, 0x5, 1, 0, 300, 0)
    asked.ask(0, 0x10, 0xa, 2, 0, RESET, 0)
    expect(asked.takeEvents()).toEqual([])
    asked.ask(0, 0x10, 0xa, 2, 0, CLOCK, 0)
    expect(asked.takeEvents()).toEqual([{ channel: 1, frame: delayed(CLOCK, 0x5, DENIED) }])
  })

  test('the agent was reset: nothing is answered or carried out, and all its places are free', () => {
    const asked = platform()
    for (let i = 0; i < 2; i++) asked.ask(1, CLOCK, 0x5, 1, 0, 300, 0)
    asked.ask(0, 0x10, 0xb, 2, 0)
    asked.platform.tick(5000)
    asked.ask(0, 0x10, 0x0)
    expect([asked.takeEvents(), asked.platform.clocks.rate(0)]).toEqual([[], 100])
    for (const status of [SUCCESS, SUCCESS, BUSY])
      expect(asked.status(1, CLOCK, 0x5, 1, 0, 300, 0)).toBe(status)
  })

  test('what was queued for it is withdrawn too', () => {
    const { platform: p } = platform()
    const frame = newFrame()
    const send = (channel: number, ...words: number[]) => {
      frame.words.set(words)
      p.handle(channel, frame, words.length * 4)
      return frame.ints[1]
    }
    expect(send(1, word(SENSOR, 0x6), 0, 1)).toBe(SUCCESS)
    expect(send(0, word(SENSOR, 0x6), 0, 1)).toBe(SUCCESS)
    p.tick(0)
    expect(send(0, word(0x10, 0xb), 2, 0)).toBe(SUCCESS)
    const seen: number[] = []
    p.flush(channel => seen.push(channel))
    expect(seen).toEqual([0])
    expect(send(1, word(SENSOR, 0x6), 0, 1)).toBe(SUCCESS)
  })

  test('a sensor that was switched off meanwhile has no reading', () => {
    const asked = platformOf(yaml.replace('value: -5, async: { messages: 0 }', 'async: { messages: 1 }'))
    asked.ask(0, SENSOR, 0x6, 0, 1)
    asked.ask(0, SENSOR, 0xa, 0, 0)
    expect(asked.takeEvents()).toEqual([{ channel: 0, frame: delayed(SENSOR, 0x6, -10) }])
  })
})

describe('notifications', () => {
  const subscribed = () => {
    const asked = platform()
    asked.ask(1, CLOCK, 0x9, 0, 1)
    expect(asked.status(1, CLOCK, 0xa, 0, 1)).toBe(SUCCESS)
    return asked
  }
  const changed = (...words: number[]) => hex(word(CLOCK, 0, 0, 3), ...words)
  const requested = (...words: number[]) => hex(word(CLOCK, 1, 0, 3), ...words)
  const heard = (asked: Asked) =>
    asked
      .takeEvents()
      .filter(e => e.channel === 1)
      .map(e => e.frame)

  test('asked for later: requested now, changed when it has', () => {
    const asked = subscribed()
    asked.ask(0, CLOCK, 0x5, 1, 0, 300, 0)
    expect(heard(asked)).toEqual([requested(1, 0, 300, 0)])
    asked.platform.tick(2000)
    asked.ask(0, 0x10, 0)
    expect(heard(asked)).toEqual([changed(1, 0, 300, 0)])
  })

  test('rounded to the rate there is: requested; to another: changed; to what was asked: nothing', () => {
    const asked = subscribed()
    asked.ask(0, CLOCK, 0x5, 0, 0, 150, 0)
    expect(heard(asked)).toEqual([requested(1, 0, 150, 0)])
    asked.ask(0, CLOCK, 0x5, 4, 0, 150, 0)
    expect(heard(asked)).toEqual([changed(1, 0, 200, 0)])
    asked.ask(0, CLOCK, 0x5, 0, 0, 200, 0)
    expect(heard(asked)).toEqual([])
  })

  test('refused or BUSY: nothing', () => {
    const asked = subscribed()
    asked.ask(0, CLOCK, 0x5, 0, 0, 999, 0)
    expect(heard(asked)).toEqual([])
    for (let i = 0; i < 2; i++) asked.ask(0, CLOCK, 0x5, 1, 2, 200, 0)
    for (let i = 0; i < 3; i++) asked.ask(0, CLOCK, 0x5, 1, 0, 300, 0)
    expect(heard(asked).length, 'for the two that were accepted').toBe(2)
  })

  test('offered for the clocks of which the file says so', () => {
    const asked = platform()
    const bit = (id: number) => ((asked.words(0, CLOCK, 0x3, id)[0] as number) >>> 30) & 1
    expect([bit(0), bit(1)]).toEqual([1, 0])
    expect(asked.status(0, CLOCK, 0xa, 1, 1)).toBe(NOT_SUPPORTED)
    expect(asked.status(0, CLOCK, 0x2, 0xa)).toBe(SUCCESS)
    const silent = platformOf(yaml.replace('rateRequestedNotify: true, ', ''))
    expect(silent.status(0, CLOCK, 0x2, 0xa)).toBe(-4)
  })

  test('of a delayed reset: when it happens', () => {
    const asked = platform()
    asked.ask(1, RESET, 0x5, 0, 1)
    asked.ask(0, RESET, 0x4, 0, 5, 0)
    expect(heard(asked)).toEqual([hex(word(RESET, 0, 0, 3), 1, 0, 0)])
    expect(asked.platform.resets.resets(0)).toBe(1)
  })
})

property.prop(
  [
    fc.array(
      fc.record({
        channel: fc.constantFrom(0, 1, 2),
        clock: fc.integer({ min: 0, max: 2 }),
        kind: fc.constantFrom('async', 'sync', 'time', 'flush'),
        by: fc.integer({ min: 0, max: 3000 }),
      }),
      { maxLength: 120 },
    ),
  ],
  { seed: 1, numRuns: 150 },
)(
  'every accepted request is answered exactly once, on its channel, with its token; never more than allowed',
  steps => {
    const { platform: p } = platform()
    const frame = newFrame()
    const accepted: string[] = []
    const answered: string[] = []
    const open = [0, 0]
    let now = 0
    const flush = () =>
      p.flush((channel, bytes) => {
        const header = Buffer.from(bytes).readUInt32LE(0)
        answered.push(`${channel} ${header >>> 18}`)
        const agent = channel % 2
        open[agent] = (open[agent] as number) - 1
      })
    for (const [token, step] of steps.entries()) {
      if (step.kind === 'time') {
        now += step.by
        p.tick(now)
      } else if (step.kind === 'flush') flush()
      else {
        frame.words.set([word(CLOCK, 0x5, token), step.kind === 'async' ? 1 : 0, step.clock, 100, 0])
        p.handle(step.channel, frame, 20)
        const agent = step.channel % 2
        if (step.kind === 'sync') expect(frame.ints[1]).toBe(SUCCESS)
        else if (frame.ints[1] === SUCCESS) {
          accepted.push(`${step.channel} ${token}`)
          open[agent] = (open[agent] as number) + 1
          expect(open[agent]).toBeLessThanOrEqual(2)
        } else {
          expect(frame.ints[1]).toBe(BUSY)
          expect(open[agent]).toBe(2)
        }
      }
    }
    p.tick(now + 2000)
    for (let i = 0; i < 3; i++) {
      frame.words[0] = word(0x10, 0)
      p.handle(0, frame, 4)
    }
    flush()
    expect(answered.sort()).toEqual(accepted.sort())
  },
)

test('two million messages with delayed answers collect no garbage', async () => {
  const { platform: p } = platform()
  const frame = newFrame()
  let answers = 0
  const count = () => {
    answers++
  }
  const run = (times: number) => {
    for (let i = 0; i < times; i++) {
      const { words } = frame
      const which = i % 6
      words[0] = word(
        which < 2 ? CLOCK : which === 2 ? SENSOR : which === 3 ? RESET : VOLTAGE,
        which < 2 ? 5 : which === 2 ? 6 : which === 3 ? 4 : 7,
        i & 0x3ff,
      )
      if (which < 2) {
        words[1] = 1
        words[2] = which
        words[3] = which === 0 ? 100 + 100 * (i % 3) : 0
        words[4] = which === 0 ? 0 : 2
        p.handle(i & 1, frame, 20)
      } else {
        words[1] = 0
        words[2] = which === 3 ? 5 : 1
        words[3] = which === 3 ? 0 : 0xffff_fc7c // -900
        p.handle(i & 1, frame, which === 2 ? 12 : 16)
      }
      p.tick((i * 700) | 0)
      p.flush(count)
    }
  }
  run(200_000)
  expect(await collectionsOf(run, 2_000_000)).toBe(0)
  expect(answers).toBeGreaterThan(1_000_000)
})
