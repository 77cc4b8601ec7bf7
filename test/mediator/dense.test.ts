// A guest with ids of its own, through the relay: every message of the schema that names a resource, both ways; counts,
// lists, holes. What is expected is worked out here from the platform's file, not by the tables under test.
import { afterAll, describe, expect, test } from 'vitest'
import { compileDense } from '../../src/permissions/dense.ts'
import { newestVersion, protocols } from '../../src/scmi/protocols.ts'
import { type AnyMessage, formAt, type Protocol } from '../../src/scmi/schema.ts'
import { extended } from '../platform/ask.ts'
import { frameOf, headerWord, Machine, type MemoryGuest, statusOf, wordsOf } from './machine.ts'

const SUCCESS = 0
const NOT_SUPPORTED = -1
const INVALID = -2
const DENIED = -3
const NOT_FOUND = -4
const OUT_OF_RANGE = -5
const NONE = 0xffff_ffff
const PINS = 0x019
const GROUPS = 0x119
const FUNCTIONS = 0x219

/** gpu, sdhi0, i2c2 (with the codec's clock) and avb, whose device has pins and a power cap. */
const devices = [0, 2, 4, 5]
const machine = new Machine({ edit: extended, hostDevices: [] })
const facts = await machine.facts()
const dense = machine.guest([], { grants: machine.dense(facts, devices), name: 'dense' })
/** The same, on a platform of its own, with the platform's ids. */
const other = new Machine({ edit: extended, hostDevices: [] })
const same = other.guest(devices, { name: 'identity' })
/** Has had all that `dense` has, and has lost it again: all its ids stand for nothing. */
const before = machine.dense(facts, devices).dense
if (before === undefined) throw new Error('not dense')
const labels = new Map(
  before.toPlatform.flatMap((table, space) =>
    table === undefined
      ? []
      : [[space, Array.from(table, id => facts.names.get(space)?.[id] || `#${id}`)] as const],
  ),
)
// The device with everything's first resources stay, so that it holds every protocol.
const bereft = machine.guest([], { grants: machine.dense(facts, [1, 7], labels), name: 'bereft' })
afterAll(() => {
  machine.stop()
  other.stop()
})

/** The platform's ids of the guest's, 0 to n - 1, by space: ascending, each once. */
const held = new Map<number, number[]>()
for (const { protocol, id, namespace = 0 } of machine.resources(devices)) {
  const space = protocol | (namespace << 8)
  held.set(
    space,
    [...new Set([...(held.get(space) ?? []), id])].sort((a, b) => a - b),
  )
}
const platformOf = (space: number, guest: number): number => held.get(space)?.[guest] ?? -1
const guestOf = (space: number, id: number): number => held.get(space)?.indexOf(id) ?? -1

interface Row {
  readonly name: string
  readonly message: number
  readonly declared: AnyMessage
  readonly space: number
  /** The command's payload words for a resource. */
  readonly payload: (id: number) => number[]
  /** Where they name it. */
  readonly at: number
}
/** Every message that names a resource, for every namespace it can name one from. */
const rows: readonly Row[] = (protocols as readonly Protocol[]).flatMap(p =>
  Object.entries(p.messages).flatMap(([name, declared]) => {
    const { resource, selector } = declared
    if (resource === undefined) return []
    const { command } = formAt(declared, newestVersion(p))
    return (p.namespaces ?? ['']).flatMap((_, namespace) => {
      const selected = selector === undefined ? 0 : namespace * (selector.mask & -selector.mask)
      const word = selector === undefined ? undefined : (command.word[selector.field] as number)
      if (selector !== undefined && command.fields[selector.field]?.valid?.(selected) === false) return []
      const at = command.word[resource] as number
      const payload = (id: number): number[] => {
        const words = new Array<number>(command.size / 4).fill(0)
        if (word !== undefined) words[word] = selected
        words[at] = id
        return words
      }
      const space = p.id | (namespace << 8)
      return [
        {
          name: `${name}${namespace > 0 ? ` of namespace ${namespace}` : ''}`,
          message: (p.id << 8) | declared.id,
          declared,
          space,
          payload,
          at,
        },
      ]
    })
  }),
)
const lists = new Set([0x140c, 0x1904])
/** What the platform heard of a command; undefined where it heard nothing. */
function heard(guest: MemoryGuest, row: Row, id: number): number[] | undefined {
  const on = guest === same ? other : machine
  on.takeTapped()
  guest.ask(frameOf(headerWord(row.message), ...row.payload(id)))
  const found = on
    .takeTapped()
    .find(({ words: [header = 0] }) => (header & 0x3_fcff) === headerWord(row.message))
  return found?.words.slice(1)
}
/** Whether a message about one's own is the mediator's alone to answer for a guest without a way back. */
const isLocal = ({ declared }: Row): boolean =>
  declared.privileged === true || declared.subscribes !== undefined

test('the schema names resources in every protocol but Base and system power', () => {
  expect([...new Set(rows.map(({ space }) => space))].sort((a, b) => a - b)).toEqual([
    0x11,
    0x13,
    0x14,
    0x15,
    0x16,
    0x17,
    0x18,
    PINS,
    GROUPS,
    FUNCTIONS,
  ])
  for (const { space } of rows) expect(held.get(space)?.length, `0x${space.toString(16)}`).toBeGreaterThan(0)
})

describe('what each message that names a resource makes of it', () => {
  test.each(rows.map(row => [row.name, row] as const))(
    '%s, dense: the guest’s id becomes the platform’s',
    (_, row) => {
      for (const [guest, id] of (held.get(row.space) ?? []).entries()) {
        const told = heard(dense, row, guest)
        if (isLocal(row) || lists.has(row.message)) expect(told).toBeUndefined()
        else expect(told?.[row.at]).toBe(id)
      }
    },
  )

  test.each(rows.map(row => [row.name, row] as const))(
    '%s, dense: at the count and beyond it, NOT_FOUND',
    (_, row) => {
      const count = held.get(row.space)?.length as number
      for (const id of [count, count + 1, 0x7fff_ffff, 0x8000_0000, NONE]) {
        expect(heard(dense, row, id)).toBeUndefined()
        expect(statusOf(dense.ask(frameOf(headerWord(row.message), ...row.payload(id)))), `${id}`).toBe(
          NOT_FOUND,
        )
      }
    },
  )

  test.each(rows.filter(({ space }) => space !== 0x18).map(row => [row.name, row] as const))(
    '%s, identity: the id stays, its own alone is forwarded',
    (_, row) => {
      const count = facts.counts[row.space] as number
      for (let id = 0; id < count; id++) {
        const told = heard(same, row, id)
        if (guestOf(row.space, id) < 0 || isLocal(row)) expect(told).toBeUndefined()
        else expect(told?.[row.at]).toBe(id)
      }
      for (const id of [count, 0x8000_0000, NONE])
        expect(statusOf(same.ask(frameOf(headerWord(row.message), ...row.payload(id))))).toBe(NOT_FOUND)
    },
  )

  test.each(rows.filter(({ space }) => space === 0x18).map(row => [row.name, row] as const))(
    '%s, identity: the protocol is DENIED, own or not',
    (_, row) => {
      for (let id = 0; id < 3; id++)
        expect(statusOf(same.ask(frameOf(headerWord(row.message), ...row.payload(id))))).toBe(DENIED)
    },
  )

  // What it has instead are device 1's and 7's: behind the holes.
  test.each(rows.map(row => [row.name, row] as const))(
    '%s, dense: of a hole the platform hears nothing, and the answer is what identity says of others’',
    (_, row) => {
      const stranger = [...Array(facts.counts[row.space]).keys()].find(id => guestOf(row.space, id) < 0)
      const count = held.get(row.space)?.length as number
      for (let guest = 0; guest < count; guest++) {
        const id = platformOf(row.space, guest)
        const kept = machine
          .resources([1, 7])
          .some(r => (r.protocol | ((r.namespace ?? 0) << 8)) === row.space && r.id === id)
        if (kept || bereft.status((row.space & 0xff) << 8) === DENIED) continue
        expect(heard(bereft, row, guest)).toBeUndefined()
        if (stranger === undefined || row.space === 0x18) continue
        const answer = wordsOf(bereft.ask(frameOf(headerWord(row.message), ...row.payload(guest))))
        const others = wordsOf(same.ask(frameOf(headerWord(row.message), ...row.payload(stranger))))
        expect(withoutNumber(answer)).toEqual(withoutNumber(others))
      }
    },
  )
})

/** Digits of names such as unused-p3 blanked: they are the id. */
const withoutNumber = (words: readonly number[]): string =>
  Buffer.from(Uint32Array.from(words).buffer)
    .toString('latin1')
    .replace(/(unused-[a-z]*)\d+/, '$1')

describe('counts', () => {
  test.each([
    ['power', 0x1101, 4],
    ['performance', 0x1301, 1],
    ['clock', 0x1401, 6],
    ['sensor', 0x1501, 1],
    ['reset', 0x1601, 4],
    ['voltage', 0x1701, 2],
    ['power capping', 0x1801, 1],
  ])('%s: the guest’s own', (_, message, count) => {
    expect((dense.words(message)[1] as number) & 0xffff).toBe(count)
  })

  test('other bits of the word stay: performance counts its power in mW', () => {
    expect(dense.words(0x1301)[1]).toBe((1 << 16) | 1)
  })

  test('pin control: one for each namespace', () => {
    expect(dense.words(0x1901)).toEqual([SUCCESS, (1 << 16) | 3, 2])
    expect(same.words(0x1901)).toEqual([SUCCESS, (3 << 16) | 5, 3])
  })

  test('a hole counts, and what came later counts behind it', () => {
    expect((bereft.words(0x1401)[1] as number) & 0xffff).toBe(6 + 3)
    expect(heard(bereft, rows.find(({ name }) => name === 'CLOCK_RATE_GET') as Row, 6)).toEqual([1])
  })

  test('Base lists the protocols of which something is held', () => {
    expect(dense.words(0x1001)[1]).toBe(8 | (1 << 8))
    const none = machine.guest([], { grants: machine.dense(facts, []), channel: 1 })
    expect(none.words(0x1001)[1]).toBe(1 << 8)
    expect(none.status(0x1400)).toBe(DENIED)
  })
})

describe('ids in answers', () => {
  const codec = guestOf(0x14, 12)

  test('possible parents: those that the guest can name', () => {
    expect(same.words(0x140c, 12, 0)).toEqual([SUCCESS, 2, 7, 13])
    expect(dense.words(0x140c, codec, 0)).toEqual([SUCCESS, 1, guestOf(0x14, 7)])
    expect(dense.words(0x140c, codec, 1)).toEqual([OUT_OF_RANGE])
    expect(dense.words(0x140c, 0, 0), 'the platform has no parents of it').toEqual([NOT_SUPPORTED])
  })

  test('the parent, set and read', () => {
    expect(dense.status(0x140d, codec, guestOf(0x14, 7))).toBe(SUCCESS)
    expect(dense.words(0x140e, codec)).toEqual([SUCCESS, guestOf(0x14, 7)])
    expect(same.words(0x140e, 12)).toEqual([SUCCESS, 7])
    expect(dense.status(0x140d, codec, 6), 'no such clock').toBe(NOT_FOUND)
  })

  test('a parent that the guest cannot name is not told', () => {
    // The host feeds the codec from clock 13, which is in no device.
    machine.execute({ type: 'request', channel: 0, frame: frameOf(headerWord(0x140d), 12, 13) })
    expect(dense.words(0x140e, codec)).toEqual([NOT_SUPPORTED])
    expect(same.words(0x140e, 12)).toEqual([SUCCESS, 7])
  })

  test('a power cap’s parent: as the guest names it, or none', () => {
    const child = { protocol: 0x18, id: 0 }
    const { grants } = compileDense([child, { protocol: 0x18, id: 2 }], facts)
    const both = machine.guest([], { grants, channel: 1 })
    expect(both.words(0x1803, 0).at(-1)).toBe(1)
    expect(both.words(0x1803, 1).at(-1)).toBe(NONE)
    expect(dense.words(0x1803, 0).at(-1)).toBe(NONE)
  })
})

describe('sensors', () => {
  const wide = machine.guest([], { grants: machine.dense(facts, [5, 7]), channel: 1, name: 'wide' })
  const name = (words: readonly number[], at: number): string =>
    Buffer.from(Uint32Array.from(words.slice(at, at + 4)).buffer)
      .toString('latin1')
      .replace(/\0+$/, '')

  test('are listed under the guest’s ids, as many to an answer as have room', () => {
    const first = wide.words(0x1503, 0)
    expect([first[0], first[1], first[2], name(first, 5)]).toEqual([SUCCESS, 2, 0, 'gpu-temp'])
    expect([first[15], name(first, 18)]).toEqual([1, 'adc-in0'])
    expect(first).toHaveLength(2 + 26)
    const second = wide.words(0x1503, 1)
    expect([second[0], second[1], second[2], name(second, 5)]).toEqual([SUCCESS, 1, 1, 'adc-in0'])
    expect(wide.words(0x1503, 2)).toEqual([INVALID])
    expect(wide.words(0x1503, NONE)).toEqual([INVALID])
  })

  test('a narrow link gets them one by one, and is told what remains', () => {
    const narrow = machine.guests.length
    machine.open(narrow, [], { grants: machine.dense(facts, [5, 7]), channel: 1 })
    const guest = machine.guests[narrow] as MemoryGuest
    Object.assign(guest, { maxMessageBytes: 12 + 52 + 51 })
    expect(guest.words(0x1503, 0)[1]).toBe(1 | (1 << 16))
    expect(guest.words(0x1503, 1)[1]).toBe(1)
  })

  test('promises need a way back', () => {
    const promises = (words: readonly number[]) => (words[3] as number) >>> 30
    expect(promises(wide.words(0x1503, 1))).toBe(0)
    wide.hasP2A = true
    expect(promises(wide.words(0x1503, 1))).toBe(1)
    wide.hasP2A = false
  })

  test('that are gone leave a description of nothing, and the others their place', () => {
    const order = new Map([[0x15, ['gone', 'adc-in0']]])
    const guest = machine.guest([], { grants: machine.dense(facts, [7], order), channel: 1 })
    const words = guest.words(0x1503, 0)
    expect(words.slice(0, 5)).toEqual([SUCCESS, 2, 0, 0, 0])
    expect([name(words, 5), words[9], name(words, 12)]).toEqual(['unused-s0', 1, 'adc-in0'])
    expect(guest.status(0x1506, 1, 0)).toBe(SUCCESS)
    expect(guest.words(0x1506, 0, 0)).toEqual([SUCCESS, 0, 0, 0, 0])
  })
})

describe('pins, groups and functions', () => {
  const [PIN, GROUP, FUNCTION] = [0, 1, 2]
  const usb = machine.guest([], { grants: machine.dense(facts, [1]), channel: 2, name: 'usb' })

  test('members are told by the guest’s ids, and only those it can name', () => {
    // usb0 has pins 2 and 3, group 1 and function 0, which has groups 0 and 1.
    expect(usb.words(0x1901)).toEqual([SUCCESS, (1 << 16) | 2, 1])
    expect(usb.words(0x1903, 0, GROUP)[1]).toBe(2)
    expect(usb.words(0x1904, 0, GROUP, 0)).toEqual([SUCCESS, 2, (1 << 16) | 0])
    expect(usb.words(0x1903, 0, FUNCTION)[1], 'one of its two groups').toBe(1)
    expect(usb.words(0x1904, 0, FUNCTION, 0)).toEqual([SUCCESS, 1, 0])
    expect(usb.words(0x1904, 0, FUNCTION, 1)).toEqual([OUT_OF_RANGE])
    expect(usb.words(0x1904, 0, GROUP, 1)).toEqual([SUCCESS, 1, 1])
    expect(usb.words(0x1904, 0, PIN, 0), 'a pin has no members').toEqual([INVALID])
    expect(usb.words(0x1903, 0, PIN)[1], 'and is one pin').toBe(1)
  })

  test('a function that takes pins counts those', () => {
    // avb has pins 0, 1, 2; function 1 is for pins 0 to 3.
    expect(dense.words(0x1903, 1, FUNCTION)[1]).toBe(0x3_0003)
    expect(dense.words(0x1904, 1, FUNCTION, 0)).toEqual([SUCCESS, 3, 1 << 16, 2])
  })

  test('a function is given and shown by the guest’s id', () => {
    const set = GROUP | (1 << 10)
    machine.takeTapped()
    expect(usb.status(0x1906, 0, 0, set)).toBe(SUCCESS)
    expect(machine.takeTapped().at(-1)?.words.slice(1)).toEqual([1, 0, set])
    expect(usb.words(0x1905, 0, (2 << 18) | (GROUP << 16))[1]).toBe(0)
    expect(usb.status(0x1906, 0, 1, set), 'a function it does not have').toBe(NOT_FOUND)
    expect(usb.status(0x1906, 0, 77, GROUP), 'none is meant').toBe(SUCCESS)
    // The host gives pin 3 function 1, which usb0 cannot name.
    machine.execute({
      type: 'request',
      channel: 0,
      frame: frameOf(headerWord(0x1906), 3, 1, PIN | (1 << 10)),
    })
    expect(usb.words(0x1905, 1, (2 << 18) | (PIN << 16))[1]).toBe(NONE)
  })

  test('a selector that is none is malformed, whatever the id', () => {
    expect(usb.status(0x1903, 0, 3)).toBe(INVALID)
    expect(usb.status(0x1903, 99, 4)).toBe(INVALID)
    expect(usb.status(0x1907, 0, FUNCTION)).toBe(INVALID)
  })
})

test('with the platform’s ids: of another’s pins there is nothing, and nothing can be done to them', () => {
  const named = (words: readonly number[]) =>
    Buffer.from(Uint32Array.from(words.slice(2)).buffer)
      .toString('latin1')
      .replace(/\0+$/, '')
  for (const [id, selector] of [
    [3, 0],
    [1, 1],
    [2, 2],
  ] as const) {
    const words = same.words(0x1903, id, selector)
    expect([words.slice(0, 2), named(words)]).toEqual([[SUCCESS, 0], `unused-${id}`])
  }
  expect(same.words(0x1904, 1, 1, 0)).toEqual([SUCCESS, 0])
  expect(same.words(0x1904, 1, 1, 1)).toEqual([OUT_OF_RANGE])
  expect(same.words(0x1905, 3, 0)).toEqual([SUCCESS, NONE, 0])
  expect(same.status(0x1906, 3, 0, 1 << 10)).toBe(DENIED)
  for (const message of [0x1907, 0x1908]) expect(same.status(message, 1, 1)).toBe(DENIED)
  expect(same.status(0x1909, 3, 0)).toBe(NOT_SUPPORTED)
  expect(same.status(0x1906, 0, 2, 1 << 10), 'a function that is not its own').toBe(DENIED)
})

test('the audit log tells of the platform’s ids', () => {
  machine.records()
  dense.status(0x140d, 5, 4)
  dense.status(0x1407, 99, 1, 0)
  dense.status(0x1604, 3, 0, 0)
  expect(
    machine.records().map(({ message, resource, arguments: [first] }) => [message, resource, first]),
  ).toEqual([
    [0x140d, 12, 8],
    [0x1604, 5, 0],
  ])
})

describe('pins that a guest took', () => {
  const RELEASE = 0x1908
  const released = (on: Machine) =>
    on
      .takeTapped()
      .filter(({ words: [header = 0] }) => (header & 0x3_fcff) === headerWord(RELEASE))
      .map(({ channel, words }) => [channel, ...words.slice(1)])

  test('are given back when it loses the device, and when it goes', () => {
    const own = new Machine({ edit: extended, hostDevices: [] })
    const guest = own.guest([], { grants: own.dense(facts, [1]) })
    expect(guest.status(0x1907, 0, 1), 'usb0’s group').toBe(SUCCESS)
    own.takeTapped()
    own.execute({ type: 'grants', slot: 0, grants: own.dense(facts, [5]) })
    expect(released(own)).toEqual([
      [1, 2, 0],
      [1, 3, 0],
      [1, 1, 1],
    ])
    const next = own.guest([1])
    expect(next.status(0x1907, 1, 1), 'nobody has them now').toBe(SUCCESS)
    own.close(1)
    expect(released(own)).toHaveLength(3)
    expect(own.guest([1], { channel: 3 }).status(0x1907, 3, 0)).toBe(SUCCESS)
    own.stop()
  })

  test('are not, where another guest behind the same channel has them', () => {
    const own = new Machine({ edit: extended, hostDevices: [] })
    own.guest([0], { channel: 1 }) // pins 0, 1 and 2
    const usb = own.guest([1], { channel: 1 }) // pins 2 and 3
    expect(usb.status(0x1907, 3, 0)).toBe(SUCCESS)
    own.takeTapped()
    own.close(1)
    expect(released(own)).toEqual([[1, 3, 0]])
    own.stop()
  })
})
