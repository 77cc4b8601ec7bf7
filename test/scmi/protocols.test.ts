// What the declarations promise each other, and tables of the standard that they must agree with.
import { describe, expect, test } from 'vitest'
import { encodeResponse } from '../../src/scmi/codec.ts'
import { NEGOTIATE_PROTOCOL_VERSION } from '../../src/scmi/common.ts'
import {
  messageOf,
  newestVersion,
  protocolOf,
  protocols,
  releases,
  versionIn,
} from '../../src/scmi/protocols.ts'
import {
  type AnyMessage,
  existsAt,
  fits,
  formAt,
  type Layout,
  type Protocol,
  payloadAt,
} from '../../src/scmi/schema.ts'
import { SUCCESS } from '../../src/scmi/status.ts'
import { allMessages, allNotifications, masksOf, startsOf } from './layouts.ts'

const all = protocols as readonly Protocol[]
const named = allMessages.map(one => [`${one.protocol.key} ${one.name}`, one] as const)
const namedNotifications = allNotifications.map(one => [`${one.protocol.key} ${one.name}`, one] as const)

const get = (protocol: number, name: string): AnyMessage => {
  const message = protocolOf(protocol)?.messages[name]
  if (message === undefined) throw new Error(`no ${name}`)
  return message
}

/** The message's forms, each with the version it starts at. */
const forms = (message: AnyMessage) =>
  startsOf(message).map(version => ({ version, form: formAt(message, version) }))

/** Declared bits of a field, or every bit where the word is not cut. */
const declaredBits = (layout: Layout, field: string): number => {
  const masks = masksOf(layout.fields[field] as never)
  return masks === undefined
    ? 0xffff_ffff
    : Object.values(masks).reduce((bits, mask) => (bits | mask) >>> 0, 0)
}

describe('each protocol', () => {
  test.each(all.map(p => [p.key, p] as const))('%s has each id once, within a byte', (_, p) => {
    for (const declared of [p.messages, p.notifications]) {
      const ids = Object.values(declared).map(one => one.id)
      expect(new Set(ids).size).toBe(ids.length)
      for (const id of ids) expect(id).toBeLessThanOrEqual(0xff)
    }
  })

  test.each(all.map(p => [p.key, p] as const))('%s has ascending versions of known releases', (_, p) => {
    const versions = p.versions.map(v => v.version)
    const order = p.versions.map(v => releases.indexOf(v.release as never))
    expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b))
    expect(order).toEqual([...new Set(order)].sort((a, b) => a - b))
    expect(order).not.toContain(-1)
    expect(newestVersion(p)).toBe(versions.at(-1))
  })

  test.each(all.filter(p => p.resource !== undefined).map(p => [p.key, p] as const))(
    '%s counts its resources in bits 15:0 of PROTOCOL_ATTRIBUTES',
    (_, p) => {
      const { response } = get(p.id, 'PROTOCOL_ATTRIBUTES')
      const masks = Object.values(masksOf(response.fields['attributes']) ?? {})
      expect(response.at['attributes']).toBe(0)
      expect(masks).toContain(0xffff)
    },
  )

  test.each(all.filter(p => p.namespaces !== undefined).map(p => [p.key, p] as const))(
    '%s counts each kind of its resources in PROTOCOL_ATTRIBUTES, and every selector stays among them',
    (_, p) => {
      expect(p.resource).toBeUndefined()
      const { response } = get(p.id, 'PROTOCOL_ATTRIBUTES')
      for (const { count } of p.namespaces ?? [])
        expect(Object.values(masksOf(response.fields[count.field]) ?? {})).toContain(count.mask)
      for (const { resource, selector, other, command } of Object.values(p.messages)) {
        expect(selector === undefined).toBe(resource === undefined)
        if (other !== undefined)
          expect(command.fields[other]?.namespace).toBeLessThan(p.namespaces?.length ?? 0)
        if (selector === undefined) continue
        const word = command.fields[selector.field]
        expect(Object.values(masksOf(word as never) ?? {})).toContain(selector.mask)
        const lowest = selector.mask & -selector.mask
        expect(word?.valid?.((p.namespaces?.length ?? 0) * lowest), 'one beyond').toBe(false)
      }
    },
  )

  test('ids, keys and names are each used once', () => {
    for (const part of ['id', 'key', 'name'] as const)
      expect(new Set(all.map(p => p[part])).size).toBe(all.length)
  })
})

describe('each message', () => {
  test.each(named)(
    '%s starts and changes at versions in order, none newer than its protocol',
    (_, { protocol, message }) => {
      const starts = startsOf(message)
      expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b))
      expect(starts.at(-1)).toBeLessThanOrEqual(newestVersion(protocol))
    },
  )

  test.each(named)('%s names only fields that its command has, in every form', (_, { message }) => {
    const { resource, other, index, votes, exclusive } = message
    const fields = [resource, other, index?.field, votes?.field]
    if (typeof exclusive === 'object') fields.push(exclusive.field)
    if (message.async !== undefined) fields.push(message.async.field)
    for (const { form } of forms(message)) {
      for (const field of fields)
        if (field !== undefined) expect(Object.keys(form.command.fields)).toContain(field)
      if (message.view !== undefined) expect(Object.keys(form.response.fields)).toContain(message.view.field)
    }
  })

  test.each(named)(
    '%s: every id that it carries is marked, and is one that the message declares',
    (_, { message }) => {
      for (const { form } of forms(message)) {
        const ids = Object.entries(form.command.fields).filter(([, field]) => field.role === 'resource')
        expect(ids.map(([name]) => name).sort()).toEqual(
          [message.resource, message.other].filter(name => name !== undefined).sort(),
        )
        const { delayed } = form
        if (delayed !== undefined) expect(Object.keys(delayed.fields)[0]).toBe(message.resource)
        for (const layout of [form.command, form.response, ...(delayed === undefined ? [] : [delayed])])
          for (const [name, field] of Object.entries({ ...layout.fields, ...layout.tail?.entry.fields }))
            if (
              /^(clock|domain|sensor|parent|function)_(id|selected)$|^identifier$/.test(name) &&
              !message.privileged
            )
              expect(field.role, name).toBe('resource')
      }
    },
  )

  test.each(named)('%s masks only bits that exist where they mean something', (_, { protocol, message }) => {
    const { command, response } = formAt(message, newestVersion(protocol))
    const within = (layout: Layout, field: string, mask: number) =>
      expect((mask & ~declaredBits(layout, field)) >>> 0).toBe(0)
    if (message.async !== undefined) {
      within(command, message.async.field, message.async.mask)
      within(command, message.async.field, message.async.waived ?? 0)
      expect(message.async.mask & (message.async.waived ?? 0)).toBe(0)
    }
    if (typeof message.exclusive === 'object')
      within(command, message.exclusive.field, message.exclusive.mask)
    if (message.view !== undefined && masksOf(response.fields[message.view.field] as never) !== undefined)
      within(response, message.view.field, message.view.mask)
    if (message.votes !== undefined) {
      const { mask, off, neutral = 0 } = message.votes
      expect(((off | neutral) & ~mask) >>> 0).toBe(0)
    }
  })

  test.each(named)(
    '%s has a delayed response exactly where its command can ask for one',
    (_, { message }) => {
      for (const { form } of forms(message)) {
        const field = message.async && form.command.fields[message.async.field]
        const asks = field !== undefined && field.valid?.(message.async?.mask as number) !== false
        expect(form.delayed !== undefined).toBe(asks)
      }
    },
  )

  test.each(named)(
    '%s that only reads changes nothing: no votes, no exclusiveness, no subscription',
    (_, { message }) => {
      if (message.effect !== 'query') return
      expect([message.votes, message.exclusive, message.subscribes]).toEqual([
        undefined,
        undefined,
        undefined,
      ])
    },
  )

  test.each(named)(
    '%s with a resource has a placeholder that fits in every form',
    (_, { protocol, name, message }) => {
      const { placeholder } = message
      if (message.resource === undefined) return expect(placeholder).toBeUndefined()
      expect(placeholder).toBeDefined()
      if (placeholder === undefined || typeof placeholder === 'string') return
      for (const { version, form } of forms(message)) {
        const entries = form.response.tail === undefined ? [] : (placeholder.entries ?? [])
        const answer = Object.fromEntries(
          Object.entries(placeholder.answer).map(([field, value]) => [
            field,
            typeof value === 'string' ? value.replace('#', '65535') : value,
          ]),
        )
        const frame = encodeResponse(protocol.id, name, version, SUCCESS, answer, entries)
        expect(fits(form.response, frame.length - 8)).toBe(true)
        expect(frame.length).toBeLessThanOrEqual(128)
      }
    },
  )

  test.each(named)(
    '%s subscribes to a notification that exists as long as it does',
    (_, { protocol, message }) => {
      if (message.subscribes === undefined) return
      const [, target] =
        Object.entries(protocol.notifications).find(([, n]) => n.id === message.subscribes) ?? []
      expect(target).toBeDefined()
      expect(existsAt(target ?? {}, message.since ?? 0x1_0000)).toBe(true)
      expect(target?.resource === undefined).toBe(message.resource === undefined)
    },
  )

  test.each(named)('%s is found by its id, and says what it does', (_, { protocol, name, message }) => {
    expect(messageOf(protocol.id, message.id)).toEqual({ name, message })
    expect(message.doc).toMatch(/^[A-Z].*\.$/)
  })

  test('what nobody declares is not found', () => {
    expect(messageOf(0x14, 0x11)).toBeUndefined()
    expect(messageOf(0x1a, 0x0)).toBeUndefined()
    expect(protocolOf(0x80)).toBeUndefined()
  })
})

describe('each notification', () => {
  test.each(namedNotifications)(
    '%s starts with the agent that caused it, in every form',
    (_, { notification }) => {
      for (const version of startsOf(notification)) {
        const payload = payloadAt(notification, version)
        expect(payload.at['agent_id']).toBe(0)
        expect(payload.fields['agent_id']?.role).toBe('agent')
        if (notification.resource !== undefined) expect(payload.at[notification.resource]).toBe(4)
      }
    },
  )

  test.each(namedNotifications)('%s has a message that subscribes to it', (_, { protocol, notification }) => {
    const subscribed = Object.values(protocol.messages).filter(m => m.subscribes === notification.id)
    expect(subscribed).toHaveLength(1)
  })
})

/** The highest message id but NEGOTIATE_PROTOCOL_VERSION, by version: DEN0056 1.0 to 3.2, as Linux and SCP number them. */
const ceilings: readonly (readonly [number, number, number])[] = [
  [0x10, 0x1_0000, 0x8],
  [0x10, 0x2_0000, 0xb],
  [0x10, 0x2_0001, 0xb],
  [0x11, 0x1_0000, 0x6],
  [0x11, 0x2_0000, 0x7],
  [0x11, 0x3_0000, 0x8],
  [0x11, 0x3_0001, 0x8],
  [0x12, 0x1_0000, 0x5],
  [0x12, 0x2_0000, 0x5],
  [0x12, 0x2_0001, 0x5],
  [0x13, 0x1_0000, 0xa],
  [0x13, 0x2_0000, 0xb],
  [0x13, 0x3_0000, 0xc],
  [0x13, 0x4_0000, 0xc],
  [0x14, 0x1_0000, 0x7],
  [0x14, 0x2_0000, 0xa],
  [0x14, 0x3_0000, 0xf],
  [0x15, 0x1_0000, 0x6],
  [0x15, 0x2_0000, 0xb],
  [0x15, 0x3_0000, 0xd],
  [0x15, 0x3_0001, 0xd],
  [0x16, 0x1_0000, 0x5],
  [0x16, 0x3_0000, 0x6],
  [0x16, 0x3_0001, 0x6],
  [0x17, 0x1_0000, 0x8],
  [0x17, 0x2_0000, 0x9],
  [0x17, 0x2_0001, 0x9],
  [0x18, 0x1_0000, 0xc],
  [0x18, 0x2_0000, 0xc],
  [0x19, 0x1_0000, 0xa],
]

describe('messages by version', () => {
  test.each(ceilings)('protocol 0x%x at 0x%x ends at 0x%x, without gaps', (id, version, highest) => {
    const ids = Object.values(protocolOf(id)?.messages ?? {})
      .filter(m => existsAt(m, version) && m.id !== NEGOTIATE_PROTOCOL_VERSION)
      .map(m => m.id)
    expect(ids.sort((a, b) => a - b)).toEqual(Array.from({ length: highest + 1 }, (_, i) => i))
  })

  test('the table names every version there is', () => {
    const listed = all.flatMap(p => p.versions.map(({ version }) => `${p.id} ${version}`))
    expect(ceilings.map(([id, version]) => `${id} ${version}`)).toEqual(listed)
  })

  test.each(all.map(p => [p.key, p] as const))(
    '%s negotiates its version from SCMI 3.2 on, and not before',
    (_, p) => {
      const since = get(p.id, 'NEGOTIATE_PROTOCOL_VERSION').since
      expect(since).toBe(versionIn(p, '3.2'))
      expect(versionIn(p, '3.1') ?? 0).toBeLessThan(since as number)
    },
  )
})

test.each([
  [0x10, [0x1_0000, 0x2_0000, 0x2_0000, 0x2_0000, 0x2_0001]],
  [0x11, [0x1_0000, 0x2_0000, 0x2_0000, 0x3_0000, 0x3_0001]],
  [0x12, [0x1_0000, 0x1_0000, 0x1_0000, 0x2_0000, 0x2_0001]],
  [0x13, [0x1_0000, 0x2_0000, 0x2_0000, 0x3_0000, 0x4_0000]],
  [0x14, [0x1_0000, 0x1_0000, 0x1_0000, 0x2_0000, 0x3_0000]],
  [0x15, [0x1_0000, 0x1_0000, 0x2_0000, 0x3_0000, 0x3_0001]],
  [0x16, [undefined, 0x1_0000, 0x1_0000, 0x3_0000, 0x3_0001]],
  [0x17, [undefined, undefined, 0x1_0000, 0x2_0000, 0x2_0001]],
  [0x18, [undefined, undefined, undefined, 0x1_0000, 0x2_0000]],
  [0x19, [undefined, undefined, undefined, undefined, 0x1_0000]],
])('protocol 0x%x has the version word of each SCMI release', (id, versions) => {
  expect(releases.map(release => versionIn(protocolOf(id) as Protocol, release))).toEqual(versions)
})

describe('where the resource stands', () => {
  test.each(named.filter(([, { message }]) => message.resource !== undefined))(
    '%s',
    (_, { name, message }) => {
      const second = ['POWER_STATE_SET', 'CLOCK_RATE_SET'] // these two have their flags first
      for (const { form } of forms(message))
        expect(form.command.at[message.resource as string]).toBe(second.includes(name) ? 4 : 0)
    },
  )

  test.each(named.filter(([, { message }]) => message.async !== undefined))(
    '%s repeats it first in the delayed response',
    (_, { protocol, message }) => {
      const { delayed } = formAt(message, newestVersion(protocol))
      expect(delayed?.at[message.resource as string]).toBe(0)
    },
  )
})

test.each([
  [0x14, 'CLOCK_RATE_SET', 'flags', 0x1, { waived: 0x2 }],
  [0x15, 'SENSOR_READING_GET', 'flags', 0x1, {}],
  [0x16, 'RESET', 'flags', 0x4, { only: 0x1 }],
  [0x17, 'VOLTAGE_LEVEL_SET', 'flags', 0x1, {}],
  [0x18, 'POWERCAP_CAP_SET', 'flags', 0x2, { waived: 0x1 }],
])('protocol 0x%x %s asks for a delayed response in %s, bits 0x%x', (id, name, field, mask, more) => {
  expect(get(id, name).async).toEqual({ field, mask, ...more })
})

test('no other message asks for a delayed response', () => {
  const names = allMessages.filter(({ message }) => message.async !== undefined).map(({ name }) => name)
  expect(names).toEqual([
    'CLOCK_RATE_SET',
    'SENSOR_READING_GET',
    'RESET',
    'VOLTAGE_LEVEL_SET',
    'POWERCAP_CAP_SET',
  ])
})

describe('notifications', () => {
  const table: readonly (readonly [number, number, string, number, number, readonly number[]])[] = [
    [0x10, 0x0, 'BASE_ERROR_EVENT', 8, 8, [0x8]],
    [0x11, 0x0, 'POWER_STATE_CHANGED', 12, 0, [0x6]],
    [0x11, 0x1, 'POWER_STATE_CHANGE_REQUESTED', 12, 0, [0x7]],
    [0x12, 0x0, 'SYSTEM_POWER_STATE_NOTIFIER', 16, 0, [0x5]],
    [0x13, 0x0, 'PERFORMANCE_LIMITS_CHANGED', 16, 0, [0x9]],
    [0x13, 0x1, 'PERFORMANCE_LEVEL_CHANGED', 12, 0, [0xa]],
    [0x14, 0x0, 'CLOCK_RATE_CHANGED', 16, 0, [0x9]],
    [0x14, 0x1, 'CLOCK_RATE_CHANGE_REQUESTED', 16, 0, [0xa]],
    [0x15, 0x0, 'SENSOR_TRIP_POINT_EVENT', 12, 0, [0x4]],
    [0x15, 0x1, 'SENSOR_UPDATE', 8, 16, [0xb]],
    [0x16, 0x0, 'RESET_ISSUED', 12, 0, [0x5]],
    [0x18, 0x0, 'POWERCAP_CAP_CHANGED', 16, 0, [0xa]],
    [0x18, 0x1, 'POWERCAP_MEASUREMENTS_CHANGED', 12, 0, [0xb]],
  ]
  test.each(table)(
    'protocol 0x%x id 0x%x is %s, %i bytes and %i each',
    (id, notificationId, name, size, each, by) => {
      const p = protocolOf(id) as Protocol
      const n = p.notifications[name]
      const payload = payloadAt(n as never, newestVersion(p))
      expect(n?.id).toBe(notificationId)
      expect(payload.size).toBe(size)
      expect(payload.tail?.entry.size ?? 0).toBe(each)
      const subscribers = Object.values(p.messages).filter(m => m.subscribes === notificationId)
      expect(subscribers.map(m => m.id)).toEqual(by)
    },
  )

  test('there are no others', () => {
    expect(allNotifications.map(({ name }) => name)).toEqual(table.map(([, , name]) => name))
  })

  test('the system notifier had no timeout before version 2', () => {
    expect(
      payloadAt(protocolOf(0x12)?.notifications['SYSTEM_POWER_STATE_NOTIFIER'] as never, 0x1_0000).size,
    ).toBe(12)
  })
})

test('guests never reach the permission commands and fast channels', () => {
  const names = allMessages.filter(({ message }) => message.privileged).map(({ name }) => name)
  expect(names).toEqual([
    'BASE_SET_DEVICE_PERMISSIONS',
    'BASE_SET_PROTOCOL_PERMISSIONS',
    'BASE_RESET_AGENT_CONFIGURATION',
    'PERFORMANCE_DESCRIBE_FASTCHANNEL',
    'POWERCAP_DESCRIBE_FASTCHANNEL',
    'PINCTRL_SET_PERMISSIONS',
  ])
})

test('addresses that lead past the mediator are hidden in every response', () => {
  const shown = allMessages.flatMap(({ name, message }) =>
    forms(message).flatMap(({ form }) =>
      Object.entries(form.response.fields)
        .filter(
          ([field, { role }]) => /address|addr_|mask_|statistics|_len$/.test(field) && role !== 'hidden',
        )
        .map(([field]) => `${name} ${field}`),
    ),
  )
  expect(shown).toEqual([])
})
