// For a guest that owns everything the mediator is as good as absent: what it is answered is what the platform would
// have answered it, byte for byte, but for what the schema marks as never a guest's. Two equal platforms in lock step.
import { afterEach, expect, test } from 'vitest'
import { EmbeddedLink } from '../../src/firmware-link/embedded/embedded-link.ts'
import { compileDense, type PlatformFacts } from '../../src/permissions/dense.ts'
import { compileGrants } from '../../src/permissions/grants.ts'
import { parsePlatform } from '../../src/platform/load.ts'
import { Platform } from '../../src/platform/platform.ts'
import { base } from '../../src/scmi/base.ts'
import { NEGOTIATE_PROTOCOL_VERSION, PROTOCOL_MESSAGE_ATTRIBUTES } from '../../src/scmi/common.ts'
import { DELAYED_RESPONSE, messageType } from '../../src/scmi/header.ts'
import { FUNCTION } from '../../src/scmi/pin-control.ts'
import { messageOf, protocols } from '../../src/scmi/protocols.ts'
import {
  type AnyMessage,
  existsAt,
  type Field,
  formAt,
  type Layout,
  type Protocol,
  payloadAt,
} from '../../src/scmi/schema.ts'
import { protocolOfSpace, spaceOf } from '../../src/scmi/space.ts'
import type { Transfer } from '../../src/transfer.ts'
import { extended } from '../platform/ask.ts'
import { goldenFrames } from '../scmi/golden-frames.ts'
import { exampleText, headerWord, Machine, type MemoryGuest } from './machine.ts'

const [SUCCESS, NOT_SUPPORTED, INVALID, DENIED, NOT_FOUND, PROTOCOL_ERROR] = [0, -1, -2, -3, -4, -10]
const frames = 100_000
/** Agent 2, on channel 1: it owns everything. */
const [agentId, channel] = [2, 1]
const all = 0xffff_ffff

/** A sensor with axes, one of them with a longer name; it is read at once and later, and tells its updates. */
const accelerometer = `    - id: 3
      name: accelerometer
      type: 89
      power: 2200
      continuousUpdate: true
      async: { ms: 2 }
      axes:
        - { name: x, type: 89, exponent: -6, value: -981, min: -20000, max: 20000, resolution: 4 }
        - { name: y-of-the-accelerometer, type: 89, exponent: -6, value: 17, min: -20000, max: 20000 }
        - { name: z, type: 89, value: 9007199254740991 }
`
/** The example, where more can be asked for. */
const edit = (file: string): string =>
  file
    .replace('{ id: 0, name: avb, rates:', '{ id: 0, name: avb, rateRequestedNotify: true, rates:')
    .replace(/(?<=name: board-temp, .*\n)/, accelerometer)
/** The same with power capping and pin control, a cap that is set later, and more intervals than one message takes. */
const editWhole = (file: string): string =>
  extended(edit(file))
    .replace('cap: { min: 1000, max: 9000, step: 250 }', '$&\n      async: { ms: 3 }')
    .replace(
      'name: gpu-temp, ',
      `$&intervals: [${Array.from({ length: 40 }, (_, i) => `{ seconds: ${i + 1}, exponent: -2 }`).join(', ')}], `,
    )
    .replace(
      'name: board-temp, ',
      '$&intervals: { min: { seconds: 1 }, max: { seconds: 9 }, step: { seconds: 2 } }, ',
    )

/** Tells when the platform behind the mediator was told the time, so that the other one is told the same. */
class TimedLink extends EmbeddedLink {
  toldAt: number | undefined
  override send(to: number, transfer: Transfer): boolean {
    this.toldAt = transfer.arrivedAt
    return super.send(to, transfer)
  }
  override expire(now: number): void {
    this.toldAt = now
    super.expire(now)
  }
}

const machines: Machine[] = []
afterEach(() => {
  for (const machine of machines.splice(0)) machine.stop()
})

interface PairOptions {
  readonly change?: (file: string) => string
  readonly facts?: PlatformFacts
  readonly shown?: Readonly<Record<string, number>>
}

/** One guest behind the mediator, and its double at the platform itself. */
class Pair {
  readonly machine: Machine
  readonly guest: MemoryGuest
  readonly versions: ReadonlyMap<number, number>
  readonly #link: TimedLink
  readonly #direct: Platform
  readonly #frame = new ArrayBuffer(128)
  readonly #io = {
    bytes: new Uint8Array(this.#frame),
    words: new Uint32Array(this.#frame),
    ints: new Int32Array(this.#frame),
  }
  readonly #events: Uint8Array[] = []
  readonly #arrived = (to: number, frame: Uint8Array, length: number): void => {
    if (to === channel) this.#events.push(frame.slice(0, length))
  }

  /**
   * `shown`: older versions by section, that the guest is shown and that its double's platform presents itself. `facts`:
   * what is known of the platform, for a guest with ids of its own; who owns everything has the platform's.
   */
  constructor({ change = edit, facts, shown = {} }: PairOptions = {}) {
    let link: TimedLink | undefined
    this.machine = new Machine({
      edit: change,
      hostDevices: [],
      recordsPerGuest: 4096,
      firmware: platform => {
        link = new TimedLink(platform)
        return link
      },
    })
    machines.push(this.machine)
    this.#link = link as unknown as TimedLink
    const written = Object.entries(shown).map(([key, version]) => `${key}: ${version}`)
    const text = change(exampleText).replaceAll('permissions: deny', 'permissions: allow')
    const older = written.length === 0 ? text : `${text}versions: { ${written.join(', ')} }\n`
    this.#direct = new Platform(parsePlatform(older, 'platform.yaml'))
    const { counts } = this.machine
    const everything = Array.from(counts).flatMap((count, space) =>
      Array.from({ length: count }, (_, id) => ({
        protocol: protocolOfSpace(space),
        namespace: space >>> 8,
        id,
      })),
    )
    const idOf = (key: string): number => protocols.find(each => each.key === key)?.id ?? 0
    this.versions = new Map([
      ...this.machine.versions,
      ...Object.entries(shown).map(([key, version]) => [idOf(key), version] as const),
    ])
    this.guest = this.machine.guest([], {
      grants:
        facts === undefined
          ? compileGrants(everything, counts, [0x12])
          : compileDense(everything, facts, undefined, [0x12]).grants,
      name: 'guest0',
      ...(written.length === 0 ? {} : { versions: this.versions }),
    })
    this.guest.hasP2A = true
    this.machine.platform.tap = undefined
  }

  /** Sends the same to both; gives what each answered and said of its own accord. */
  exchange(frame: Uint8Array): {
    direct: Uint8Array
    mediated: Uint8Array
    said: readonly [Uint8Array[], Uint8Array[]]
  } {
    this.guest.room = 1000
    this.guest.delivered.length = 0
    this.#link.toldAt = undefined
    const mediated = this.guest.ask(frame)
    this.#tell()
    this.#io.bytes.set(frame)
    const length = this.#direct.handle(channel, this.#io, frame.length)
    const direct = this.#io.bytes.slice(0, length)
    return { direct, mediated, said: this.#said() }
  }

  /** Lets time pass for both. */
  pass(): readonly [Uint8Array[], Uint8Array[]] {
    this.guest.room = 1000
    this.guest.delivered.length = 0
    this.#link.toldAt = undefined
    this.machine.step()
    this.#tell()
    this.machine.audit.drain({ message: () => {}, lost: () => {} })
    return this.#said()
  }

  #tell(): void {
    if (this.#link.toldAt !== undefined) this.#direct.tick(this.#link.toldAt)
  }
  #said(): readonly [Uint8Array[], Uint8Array[]] {
    this.#events.length = 0
    this.#direct.flush(this.#arrived)
    return [this.#events, this.guest.delivered]
  }
}

const wordAt = (frame: Uint8Array, word: number): number =>
  new DataView(frame.buffer, frame.byteOffset).getUint32(word * 4, true)
const setWord = (frame: Uint8Array, word: number, value: number): void =>
  new DataView(frame.buffer, frame.byteOffset).setUint32(word * 4, value >>> 0, true)
const statusOf = (frame: Uint8Array): number => wordAt(frame, 1) | 0

const fieldsOf = (layout: Layout): [string, Field<unknown>][] => Object.entries(layout.fields)
const mentionsAgents = (layout: Layout): boolean => fieldsOf(layout).some(([, { role }]) => role === 'agent')

/** What a guest may be shown of the platform's answer: the same bytes, but for what the schema marks. */
function shown(layout: Layout, from: number, frame: Uint8Array): Uint8Array {
  const seen = frame.slice()
  const cut = (part: Layout, at: number): void => {
    for (const [name, field] of fieldsOf(part)) {
      const hidden = field.role === 'hidden' ? all : (field.hidden ?? 0)
      const agents = field.agents ?? 0
      const start = at + (part.at[name] as number)
      for (let byte = start; hidden === all && byte < start + field.size; byte++) seen[byte] = 0
      if (hidden !== 0 || agents !== 0) {
        const one = agents & -agents
        setWord(seen, start >>> 2, (wordAt(seen, start >>> 2) & ~(hidden | agents)) | one)
      }
    }
  }
  cut(layout, from)
  const { tail } = layout
  for (
    let at = from + layout.size;
    tail !== undefined && tail.sizeAt === undefined && at + tail.entry.size <= seen.length;
    at += tail.entry.size
  )
    cut(tail.entry, at)
  return seen
}

/** The frame as it must be with agent ids as the guest knows them: itself is 1, any other is the platform, 0. */
function withOwnIds(layout: Layout, from: number, frame: Uint8Array): Uint8Array {
  const seen = frame.slice()
  for (const [name, { role }] of fieldsOf(layout)) {
    if (role !== 'agent') continue
    const word = (from + (layout.at[name] as number)) >>> 2
    setWord(seen, word, wordAt(seen, word) === agentId ? 1 : 0)
  }
  return seen
}

/** Why `mediated` is not what it should be, from the marks alone; undefined where all is well. */
function fault(
  pair: Pair,
  command: Uint8Array,
  direct: Uint8Array,
  mediated: Uint8Array,
): string | undefined {
  const header = wordAt(command, 0)
  const protocol = (header >>> 10) & 0xff
  const found = messageOf(protocol, header & 0xff)
  const version = pair.versions.get(protocol) ?? 0
  const same = Buffer.compare(direct, mediated) === 0
  if (found === undefined || !existsAt(found.message, version)) return same ? undefined : 'about no message'
  const { message } = found
  const status = statusOf(mediated)
  const local = protocol === base.id
  const form = formAt(message, version)
  if (message.privileged) {
    const expected = local ? [DENIED] : [NOT_SUPPORTED, INVALID, NOT_FOUND]
    return [...expected, PROTOCOL_ERROR].includes(status) ? undefined : 'a privileged message'
  }
  if (message.always !== undefined)
    return same || status === (message.always === 'denied' ? DENIED : NOT_SUPPORTED)
      ? undefined
      : 'a message that is always refused'
  if (message.id === PROTOCOL_MESSAGE_ATTRIBUTES && command.length === 8) {
    const about = messageOf(protocol, wordAt(command, 1))?.message
    if (wordAt(command, 1) < 256 && about?.privileged)
      return status === NOT_FOUND ? undefined : 'attributes of a privileged message'
  }
  if (mentionsAgents(form.command) || mentionsAgents(form.response)) {
    const asked = wordAt(command, 1)
    const expected = [0, 1, all].includes(asked) || status === PROTOCOL_ERROR ? statusOf(direct) : NOT_FOUND
    return status === expected ? undefined : 'about an agent'
  }
  if (statusOf(direct) !== SUCCESS) return same ? undefined : 'refused'
  return Buffer.compare(shown(form.response, 8, direct), mediated) === 0 ? undefined : 'answered'
}

/** Why what came unasked is not what it should be. */
function saidFault(
  pair: Pair,
  [direct, mediated]: readonly [Uint8Array[], Uint8Array[]],
): string | undefined {
  if (direct.length !== mediated.length) return `${mediated.length} messages came, not ${direct.length}`
  for (const [i, frame] of direct.entries()) {
    const header = wordAt(frame, 0)
    const protocol = protocols.find(({ id }) => id === ((header >>> 10) & 0xff)) as Protocol
    const version = pair.versions.get(protocol.id) ?? 0
    let expected = frame
    if (messageType(header) !== DELAYED_RESPONSE) {
      const notification = Object.values(protocol.notifications).find(({ id }) => id === (header & 0xff))
      if (notification === undefined) return 'a notification of no declaration'
      expected = withOwnIds(payloadAt(notification, version), 4, frame)
    }
    if (Buffer.compare(expected, mediated[i] as Uint8Array) !== 0) return `message ${i} differs`
  }
  return undefined
}

const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex')
function told(what: string, command: Uint8Array, direct: Uint8Array, mediated: Uint8Array): string {
  const header = wordAt(command, 0)
  const name = messageOf((header >>> 10) & 0xff, header & 0xff)?.name
  return `${what}: ${name} ${hex(command)}\n direct ${hex(direct)}\n mediated ${hex(mediated)}`
}

function compare(pair: Pair, command: Uint8Array): string | undefined {
  const { direct, mediated, said } = pair.exchange(command)
  const what = fault(pair, command, direct, mediated) ?? saidFault(pair, said)
  return what === undefined ? undefined : told(what, command, direct, mediated)
}

/** xorshift32: the same frames on every machine. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

const served = (pair: Pair): [Protocol, AnyMessage][] =>
  (protocols as readonly Protocol[])
    .filter(({ id }) => pair.versions.has(id))
    .flatMap(protocol =>
      (Object.values(protocol.messages) as AnyMessage[])
        .filter(message => existsAt(message, pair.versions.get(protocol.id) as number))
        .map(message => [protocol, message] as [Protocol, AnyMessage]),
    )

/** Numbers that mean something to some message, besides ids. */
const words = [
  0, 1, 2, 3, 4, 5, 7, 10, 100, 192, 200, 400, 600, 1000, 5000, 2_000_000, 3_300_000, 1_800_000, 25_000_000,
  125_000_000, 40_000_000, 0x4000_0000,
]

/** A well-formed command of the message, with ids that exist and some that do not. */
function commandOf(
  pair: Pair,
  [protocol, message]: [Protocol, AnyMessage],
  random: (below: number) => number,
): Uint8Array {
  const { command } = formAt(message, pair.versions.get(protocol.id) as number)
  const entries = command.tail === undefined ? 0 : random(3)
  const bytes = new Uint8Array(4 + command.size + entries * (command.tail?.entry.size ?? 0))
  const view = new DataView(bytes.buffer)
  view.setUint32(0, headerWord((protocol.id << 8) | message.id, random(1024)), true)
  const namespace = protocol.namespaces === undefined ? 0 : random(protocol.namespaces.length)
  const countIn = (each: number): number => pair.machine.counts[spaceOf(protocol.id, each)] as number
  for (const [name, field] of fieldsOf(command)) {
    const at = 4 + (command.at[name] as number)
    for (let word = 0; word < field.size; word += 4) {
      const isId = name === message.resource || name === message.other
      const isIndex = name === message.index?.field
      let value = isIndex
        ? random(3)
        : isId
          ? random(
              countIn(name === message.other && protocol.namespaces !== undefined ? FUNCTION : namespace) + 1,
            )
          : name === 'message_id'
            ? random(20)
            : (words[random(words.length)] as number)
      if (field.type === 'bits') {
        const { mask } = field as unknown as { mask: Readonly<Record<string, number>> }
        value = 0
        for (const range of Object.values(mask))
          if (random(3) === 0) value |= range & (random(2) === 0 ? range : range & -range)
      }
      if (name === message.selector?.field) {
        const { mask } = message.selector
        value = (value & ~mask) | (namespace * (mask & -mask))
      }
      if (command.tail?.count?.word === at / 4 - 1) {
        const { mask } = command.tail.count
        value = (value & ~mask) | (entries * (mask & -mask))
      }
      // A low version would be agreed upon by the platform, and never is behind a mediator.
      if (message.id === NEGOTIATE_PROTOCOL_VERSION)
        value = random(2) === 0 ? (pair.versions.get(protocol.id) as number) : 0x7fff_0000
      for (let tries = 0; field.valid?.(value) === false && tries < 8; tries++)
        value = tries < 4 ? random(8) : 0
      view.setUint32(at + word, word === 0 || field.size === 4 ? value >>> 0 : 0, true)
    }
  }
  for (let at = 4 + command.size; at < bytes.length; at += 4)
    view.setUint32(at, words[random(words.length)] as number, true)
  return bytes
}

/** Of a platform with everything: who owns all of it has ids of its own, and they are the platform's. */
async function wholeFacts(): Promise<PlatformFacts> {
  const machine = new Machine({ edit: editWhole, hostDevices: [] })
  machines.push(machine)
  return machine.facts()
}

test.each([
  ['the example', async () => new Pair()],
  [
    'every protocol, with ids of its own',
    async () => new Pair({ change: editWhole, facts: await wholeFacts() }),
  ],
])('every golden command of what is presented: %s', async (_, start) => {
  const pair = await start()
  const asked = new Set<string>()
  const faults: string[] = []
  for (const { part, bytes, protocol, message } of goldenFrames) {
    const found = protocol.messages[message]
    const presented = pair.versions.get(protocol.id)
    if (part !== 'command' || found === undefined || presented === undefined || !existsAt(found, presented))
      continue
    // What it would agree upon is another version than the one presented.
    if (found.id === NEGOTIATE_PROTOCOL_VERSION && wordAt(bytes, 1) !== presented) continue
    const what = compare(pair, bytes)
    if (what !== undefined) faults.push(what)
    asked.add(`${protocol.id}/${found.id}`)
  }
  expect(faults).toEqual([])
  const missing = served(pair).filter(
    ([protocol, { id }]) => id !== NEGOTIATE_PROTOCOL_VERSION && !asked.has(`${protocol.id}/${id}`),
  )
  expect(missing.map(([protocol, { id }]) => `${protocol.key} ${id}`)).toEqual([])
})

/** Asks so many random commands; gives the messages that were never carried out. */
function compareRandom(pair: Pair, count: number, seed: number): string[] {
  const random = generator(seed)
  const messages = served(pair)
  const answered = new Set<string>()
  for (let i = 0; i < count; i++) {
    const chosen = messages[random(messages.length)] as [Protocol, AnyMessage]
    const command = commandOf(pair, chosen, random)
    const { direct, mediated, said } = pair.exchange(command)
    const what = fault(pair, command, direct, mediated) ?? saidFault(pair, said)
    if (what !== undefined) expect.fail(`frame ${i}, ${told(what, command, direct, mediated)}`)
    if (statusOf(mediated) === SUCCESS) answered.add(`${chosen[0].key} ${chosen[1].id}`)
    if (i % 100 === 0) {
      const late = saidFault(pair, pair.pass())
      if (late !== undefined) expect.fail(`after frame ${i}: ${late}`)
    }
  }
  expect(pair.guest.faults).toEqual([])
  return messages
    .filter(
      ([{ key }, m]) => m.privileged !== true && m.always === undefined && !answered.has(`${key} ${m.id}`),
    )
    .map(([{ key }, { id }]) => `${key} ${id}`)
}

test(`${frames} random commands, each well-formed`, () => {
  // Frames that are refused would prove little: every message is carried out.
  expect(compareRandom(new Pair(), frames, 0x5c31)).toEqual([])
})

test('pins, to a guest with the platform’s ids', () => {
  const change = (file: string): string =>
    editWhole(file)
      .replace(/^powerCapping:\n(?: .*\n)+/m, '')
      .replaceAll(/powerCapping: \[\d\], /g, '')
  expect(compareRandom(new Pair({ change }), 40_000, 0x5c31)).toEqual([])
})

test('power capping, pins and lists of several messages, to a guest with ids of its own', async () => {
  const pair = new Pair({ change: editWhole, facts: await wholeFacts() })
  expect(served(pair).map(([{ id }]) => id)).toEqual(expect.arrayContaining([0x18, 0x19]))
  expect(compareRandom(pair, 50_000, 0x18)).toEqual([])
})

/** A guest that is shown older versions is answered as by a platform that has these, in the same way. */
test.each([
  [
    {
      base: 0x1_0000,
      power: 0x1_0000,
      system: 0x1_0000,
      clock: 0x1_0000,
      reset: 0x1_0000,
      voltage: 0x1_0000,
    },
  ],
  [
    {
      base: 0x2_0000,
      power: 0x2_0000,
      system: 0x2_0000,
      clock: 0x2_0000,
      reset: 0x3_0000,
      voltage: 0x2_0000,
      sensor: 0x3_0000,
    },
  ],
])('shown as %o', shown => {
  expect(compareRandom(new Pair({ shown }), 20_000, 0x77)).toEqual([])
})
