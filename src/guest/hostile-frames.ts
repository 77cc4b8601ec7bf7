// Frames that a hostile guest sends: each kind a generator from random numbers and the schema. It sends nothing.
import { base } from '../scmi/base.ts'
import { encodeCommand } from '../scmi/codec.ts'
import { header } from '../scmi/header.ts'
import { newestVersion, protocols } from '../scmi/protocols.ts'
import { type AnyMessage, formAt, type Protocol } from '../scmi/schema.ts'
import { attempts } from './attempt.ts'
import type { Random } from './random.ts'

/** Longest frame made here, in bytes: what guests' links carry by default. */
const longest = 104

/** Makes one frame. */
export type FrameMaker = (random: Random) => Uint8Array

const resourceProtocols: readonly Protocol[] = protocols.filter(
  (p: Protocol) => p.resource !== undefined || p.namespaces !== undefined,
)

/** Ids at which tables begin, end and wrap, and plausible ones more often. */
const someId = (random: Random): number =>
  random.pick([
    random.below(16),
    random.below(16),
    random.below(16),
    31,
    32,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    random.word(),
  ])

const someToken = (random: Random): number => random.below(1024)

/** A message of the schema with every word of its command random, or a small number. */
function anyMessage(random: Random, p: Protocol): Uint8Array {
  const [, m] = random.pick(Object.entries(p.messages)) as [string, AnyMessage]
  const words = formAt(m, newestVersion(p)).command.size / 4
  return frameOf(
    header(p.id, m.id, 0, someToken(random)),
    Array.from({ length: words }, () => (random.below(2) === 0 ? random.below(4) : random.word())),
  )
}

function frameOf(headerWord: number, words: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 + 4 * words.length))
  view.setUint32(0, headerWord, true)
  for (const [i, word] of words.entries()) view.setUint32(4 + 4 * i, word, true)
  return new Uint8Array(view.buffer)
}

const withHeader = (frame: Uint8Array, change: (word: number) => number): Uint8Array => {
  const view = new DataView(frame.buffer, frame.byteOffset)
  view.setUint32(0, change(view.getUint32(0, true)) >>> 0, true)
  return frame
}

/** The question that any platform answers. */
export const honestFrame = (random: Random): Uint8Array =>
  encodeCommand(base.id, 'PROTOCOL_VERSION', 0x1_0000, {}, someToken(random))

/** Well-formed commands about whatever resource, all there are. */
function foreignResource(random: Random): Uint8Array {
  const p = random.pick(resourceProtocols)
  const { message, value } = random.pick(attempts(p.id, someId(random), newestVersion(p)))
  return encodeCommand(p.id, message, newestVersion(p), value, someToken(random))
}

function permissionCommand(random: Random): Uint8Array {
  const agent_id = random.pick([0, 1, 2, 3, 4, 0xffff_ffff])
  const device_id = random.below(10)
  const version = newestVersion(base)
  const [message, value] = random.pick([
    ['BASE_SET_DEVICE_PERMISSIONS', { agent_id, device_id, flags: { allow: 1 } }],
    [
      'BASE_SET_PROTOCOL_PERMISSIONS',
      { agent_id, device_id, command_id: random.pick(resourceProtocols).id, flags: { allow: 1 } },
    ],
    ['BASE_RESET_AGENT_CONFIGURATION', { agent_id, flags: { permissions: 1 } }],
  ] as const)
  return encodeCommand(base.id, message, version, value, someToken(random))
}

/** A sound command cut short, or with more behind it. */
function wrongSize(random: Random): Uint8Array {
  const frame = anyMessage(random, random.pick(protocols))
  if (random.below(2) === 0) return frame.slice(0, 4 + random.below(Math.max(1, frame.length - 4)))
  const longer = new Uint8Array(Math.min(longest, frame.length + 1 + random.below(40)))
  longer.set(frame.subarray(0, longer.length))
  return longer
}

/** The same token again and again, from command to command. */
let reused = 0

/** Every kind by name. */
export const frameMakers: Readonly<Record<string, FrameMaker>> = {
  honest: honestFrame,
  'random bytes': random => random.bytes(4 + random.below(longest - 3)),
  'random words of a message': random => anyMessage(random, random.pick(protocols)),
  'types 1, 2 and 3': random =>
    withHeader(
      anyMessage(random, random.pick(protocols)),
      word => (word & ~0x300) | ((1 + random.below(3)) << 8),
    ),
  'reserved header bits': random =>
    withHeader(anyMessage(random, random.pick(protocols)), word => word | ((1 + random.below(15)) << 28)),
  'reused tokens': random => {
    if (random.below(8) === 0) reused = someToken(random)
    return withHeader(foreignResource(random), word => (word & ~0x0ffc_0000) | (reused << 18))
  },
  'resources of others': foreignResource,
  'permission commands': permissionCommand,
  'agents of others': random =>
    encodeCommand(
      base.id,
      'BASE_DISCOVER_AGENT',
      newestVersion(base),
      { agent_id: someId(random) },
      someToken(random),
    ),
  'wrong sizes': wrongSize,
  'unknown protocols': random =>
    frameOf(header(random.below(256), random.below(256), 0, someToken(random)), [random.word()]),
}
