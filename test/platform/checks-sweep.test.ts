// Every message of every protocol, each check of the standard's order against all checks behind it: what comes first decides.
import { describe, expect, test } from 'vitest'
import { protocols as declared } from '../../src/scmi/protocols.ts'
import {
  DENIED,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  PROTOCOL_ERROR,
  SUCCESS,
} from '../../src/scmi/status.ts'
import { type Asked, example, hex, word } from './ask.ts'

const hexId = (id: number): string => `0x${id.toString(16)}`
const mediator = 0
const guest = 1 // agent 2
const bad = 0xffff_ffff

/**
 * Written down from the standard's tables: words of the payload, the word that names the resource, the word with reserved
 * bits or values (where the message has one; a value that is all ones is never valid in it).
 */
interface Shape {
  readonly words: number
  readonly resource?: number
  readonly reserved?: number
}
const notify: Shape = { words: 2, resource: 0, reserved: 1 }
const one: Shape = { words: 1, resource: 0 }
const two: Shape = { words: 2, resource: 0 }
const common = { 0: { words: 0 }, 1: { words: 0 }, 2: { words: 1 }, 16: { words: 1 } } as const

const protocols: Readonly<
  Record<number, { readonly count: number; readonly messages: Readonly<Record<number, Shape>> }>
> = {
  16: {
    count: 0,
    messages: {
      ...common,
      3: { words: 0 },
      4: { words: 0 },
      5: { words: 0 },
      6: { words: 1 },
      7: { words: 1 },
      8: { words: 1, reserved: 0 },
    },
  },
  17: {
    count: 8,
    messages: {
      ...common,
      3: one,
      4: { words: 3, resource: 1, reserved: 0 },
      5: one,
      6: notify,
      7: notify,
      8: one,
    },
  },
  18: {
    count: 0,
    messages: { ...common, 3: { words: 2, reserved: 0 }, 4: { words: 0 }, 5: { words: 1, reserved: 0 } },
  },
  19: {
    count: 3,
    messages: {
      ...common,
      3: one,
      4: two,
      5: { words: 3, resource: 0 },
      6: one,
      7: two,
      8: one,
      9: notify,
      10: notify,
      11: two,
      12: one,
    },
  },
  20: {
    count: 14,
    messages: {
      ...common,
      3: one,
      4: two,
      5: { words: 4, resource: 1, reserved: 0 },
      6: one,
      7: { words: 3, resource: 0, reserved: 1 },
      8: one,
      9: notify,
      10: notify,
      11: { words: 2, resource: 0, reserved: 1 },
      12: two,
      13: two,
      14: one,
      15: one,
    },
  },
  21: {
    count: 3,
    messages: {
      ...common,
      3: { words: 1 },
      4: notify,
      5: { words: 4, resource: 0, reserved: 1 },
      6: { words: 2, resource: 0, reserved: 1 },
      7: two,
      8: two,
      9: one,
      10: { words: 2, resource: 0, reserved: 1 },
      11: notify,
      12: one,
      13: two,
    },
  },
  22: {
    count: 9,
    messages: { ...common, 3: one, 4: { words: 3, resource: 0, reserved: 1 }, 5: notify, 6: one },
  },
  23: {
    count: 4,
    messages: {
      ...common,
      3: one,
      4: two,
      5: { words: 2, resource: 0, reserved: 1 },
      6: one,
      7: { words: 3, resource: 0, reserved: 1 },
      8: one,
      9: one,
    },
  },
  24: {
    count: 3,
    messages: {
      ...common,
      3: one,
      4: one,
      5: { words: 3, resource: 0, reserved: 1 },
      6: one,
      7: { words: 3, resource: 0, reserved: 1 },
      8: one,
      9: one,
      10: notify,
      11: { words: 4, resource: 0, reserved: 1 },
      12: two,
    },
  },
}
const capped = (id: number): string =>
  `    - { id: ${id}, name: cap${id}, cap: { min: 1, max: 9, step: 1 }, pai: { min: 1, max: 9, step: 1 } }\n`

/** Device 8 has something of each protocol: granted, the guest has some of each, and not all of any. */
const machine = (edit: (text: string) => string = text => text): Asked =>
  example(text =>
    edit(text)
      .replace(
        '{ id: 8, name: can1, clock: [9]',
        '{ id: 8, name: can1, performance: [1], sensor: [2], voltage: [3], powerCapping: [2], clock: [13]',
      )
      .concat(`powerCapping:\n  domains:\n${[0, 1, 2].map(capped).join('')}`),
  )
const granted = (): Asked => {
  const asked = machine()
  expect(asked.status(mediator, 0x10, 0x9, 2, 8, 1)).toBe(SUCCESS)
  return asked
}

const payload = (shape: Shape, resource: number, reserved: number): number[] => {
  const words = new Array<number>(shape.words).fill(0)
  if (shape.resource !== undefined) words[shape.resource] = resource
  if (shape.reserved !== undefined) words[shape.reserved] = reserved
  return words
}
const sent = (asked: Asked, channel: number, header: number, ...words: number[]): number =>
  Buffer.from(asked.raw(channel, hex(header, ...words)), 'hex').readInt32LE(4)

describe.each(Object.entries(protocols).map(([id, rest]) => [hexId(Number(id)), Number(id), rest] as const))(
  'protocol %s',
  (_name, protocol, { count, messages }) => {
    const each = Object.entries(messages).map(([id, shape]) => [Number(id), shape] as const)
    const known = new Set(each.map(([id]) => id))

    test('a message that is no command: PROTOCOL_ERROR before the agent, the message and the size', () => {
      const asked = machine()
      for (const type of [1, 2, 3])
        for (const message of [0x0, 0xee])
          expect(sent(asked, guest, word(protocol, message, 0, type), bad, bad)).toBe(PROTOCOL_ERROR)
      expect(sent(asked, guest, word(protocol, 0xee) + 0x1000_0000, bad)).toBe(PROTOCOL_ERROR)
    })

    test('an agent that holds nothing: DENIED before the message and the size, if there is anything to hold', () => {
      const asked = machine()
      const open = count === 0
      for (const words of [[bad], [bad, bad, bad]]) {
        expect(asked.status(guest, protocol, 0x0, ...words)).toBe(open ? PROTOCOL_ERROR : DENIED)
        expect(asked.status(guest, protocol, 0xee, ...words)).toBe(open ? NOT_FOUND : DENIED)
      }
      expect(asked.status(guest, protocol, 0x0)).toBe(open ? SUCCESS : DENIED)
    })

    test('an unknown message: NOT_FOUND before the size, invoked and asked about', () => {
      const asked = machine()
      for (let message = 0; message < 256; message++) {
        if (known.has(message) || (protocol === 0x10 && message >= 0x9 && message <= 0xb)) continue
        for (const words of [[], [bad], new Array<number>(20).fill(bad)])
          expect(asked.status(mediator, protocol, message, ...words), `0x${message.toString(16)}`).toBe(
            NOT_FOUND,
          )
        expect(asked.status(mediator, protocol, 0x2, message)).toBe(NOT_FOUND)
      }
      expect(asked.status(mediator, protocol, 0x2, 0x100)).toBe(NOT_FOUND)
      expect(asked.status(mediator, protocol, 0x2, bad)).toBe(NOT_FOUND)
    })

    test('a wrong size: PROTOCOL_ERROR before values, resource and permission', () => {
      const asked = granted()
      for (const [message, shape] of each)
        for (const agent of [mediator, guest])
          for (let words = 0; words < 8; words++)
            if (words !== shape.words)
              expect(
                asked.status(agent, protocol, message, ...new Array<number>(words).fill(bad)),
                `0x${message.toString(16)} with ${words} words`,
              ).toBe(PROTOCOL_ERROR)
    })

    const checked = each.filter(([, shape]) => shape.reserved !== undefined)
    test.each(checked)(
      'message %i: reserved bits before resource, permission and capability',
      (message, shape) => {
        const asked = granted()
        for (const agent of [mediator, guest])
          for (const resource of shape.resource === undefined ? [0] : [0, count - 1, count, bad])
            expect(asked.status(agent, protocol, message, ...payload(shape, resource, bad))).toBe(
              INVALID_PARAMETERS,
            )
      },
    )

    const named = each.filter(([, shape]) => shape.resource !== undefined)
    test.each(named)(
      'message %i: the resource before the permission, the permission before the rest',
      (message, shape) => {
        const asked = granted()
        for (const resource of [count, 0x8000_0000, bad])
          for (const agent of [mediator, guest])
            expect(asked.status(agent, protocol, message, ...payload(shape, resource, 0))).toBe(NOT_FOUND)
        for (let resource = 0; resource < count - 1; resource++)
          if (asked.platform.mayUse(2, protocol, resource) === false)
            expect(asked.status(guest, protocol, message, ...payload(shape, resource, 0))).toBe(DENIED)
      },
    )

    test('what does not come back cannot be asked for: a subscription without a way back is NOT_SUPPORTED', () => {
      const asked = machine(text => `channels: [{ agent: 1, p2a: false }]\n${text}`)
      const subscriptions = each.filter(
        ([, shape]) => shape === notify || (count === 0 && shape.reserved === 0 && shape.words === 1),
      )
      for (const [message, shape] of subscriptions) {
        expect(asked.status(0, protocol, 0x2, message)).toBe(NOT_FOUND)
        expect(asked.status(0, protocol, message, ...payload(shape, 0, bad))).toBe(INVALID_PARAMETERS)
        expect(asked.status(0, protocol, message, ...payload(shape, count, 1))).toBe(
          count === 0 ? NOT_SUPPORTED : NOT_FOUND,
        )
        expect(asked.status(0, protocol, message, ...payload(shape, 0, 1))).toBe(NOT_SUPPORTED)
      }
    })
  },
)

test.each([0x0f, 0x19, 0x1f, 0x80, 0xff])(
  'protocol %i is not there: NOT_SUPPORTED before everything but the type',
  protocol => {
    for (const channel of [mediator, guest])
      for (const words of [[], [bad], [bad, bad, bad, bad]])
        for (const message of [0x0, 0x3, 0xee])
          expect(machine().status(channel, protocol, message, ...words)).toBe(NOT_SUPPORTED)
  },
)

test('no message is missing here; pin control, whose ids are of several kinds, is in order-of-checks.test.ts', () => {
  for (const { id, key, messages } of declared) {
    const there = id === 0x19 ? [] : Object.values(messages).map(message => message.id)
    // Permission commands are the mediator's alone, and have rows of their own.
    const swept = Object.keys(protocols[id]?.messages ?? {}).map(Number)
    expect(swept, key).toEqual(
      there.filter(each => id !== 0x10 || each < 0x9 || each > 0xb).sort((a, b) => a - b),
    )
  }
})
