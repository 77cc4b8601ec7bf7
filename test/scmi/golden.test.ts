// Every golden frame decodes to its value, encodes to its bytes and reads as its text; and none that is needed is missing.
import { describe, expect, test } from 'vitest'
import {
  type Decoded,
  decodeCommand,
  decodeDelayedResponse,
  decodeNotification,
  decodeResponse,
  encodeCommand,
  encodeDelayedResponse,
  encodeNotification,
  encodeResponse,
} from '../../src/scmi/codec.ts'
import { describe as text } from '../../src/scmi/describe.ts'
import { token } from '../../src/scmi/header.ts'
import { protocols } from '../../src/scmi/protocols.ts'
import { type AnyMessage, formAt, type Notification, type Protocol } from '../../src/scmi/schema.ts'
import { type GoldenFrame, type GoldenPart, goldenFrames, titleOf } from './golden-frames.ts'

function decode({ protocol, message, part, version, bytes }: GoldenFrame): Decoded {
  const decoder = {
    command: decodeCommand,
    response: decodeResponse,
    delayed: decodeDelayedResponse,
    notification: decodeNotification,
  }[part]
  return decoder(protocol.id, message, version, bytes)
}

function encode(frame: GoldenFrame): Uint8Array {
  const { protocol, message, part, version, bytes, status = 0, value = {}, entries = [] } = frame
  const sent = token(Buffer.from(bytes).readUInt32LE(0))
  if (part === 'command') return encodeCommand(protocol.id, message, version, value, sent, entries)
  if (part === 'notification') return encodeNotification(protocol.id, message, version, value, entries)
  const encoder = part === 'response' ? encodeResponse : encodeDelayedResponse
  return encoder(protocol.id, message, version, status, value, entries, sent)
}

/** As the fixtures write it: 64-bit numbers as strings. */
const written = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value ?? null, (_, v) => (typeof v === 'bigint' ? `${v}` : v)))

/** A SUCCESS that only accepts an asynchronous command: status and nothing else, which `encodeResponse` never makes. */
const bare = ({ part, status, value, entries }: GoldenFrame): boolean =>
  part === 'response' && status === 0 && value === undefined && entries === undefined

describe('golden frames', () => {
  test.each(goldenFrames.map(frame => [titleOf(frame), frame] as const))('%s', (_, frame) => {
    const decoded = decode(frame)
    expect(decoded.malformed).toBeUndefined()
    expect(decoded.status).toBe(frame.status ?? 0)
    expect(written(decoded.value)).toEqual(frame.value ?? null)
    expect(written(decoded.entries)).toEqual(frame.entries ?? (decoded.entries && []) ?? null)
    if (!bare(frame)) expect(encode(frame)).toEqual(frame.bytes)
  })

  test.each(protocols.map(p => [p.key, p] as const))('%s reads as text', async (key, p) => {
    const lines = goldenFrames
      .filter(frame => frame.protocol === p)
      .map(({ bytes, part, version }) =>
        text(bytes, {
          version: () => version,
          ...((part === 'command' || part === 'response') && { direction: part }),
        }),
      )
    await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot(`text/${key}.txt`)
  })

  test('each names a source that is not our encoder', () => {
    for (const { source } of goldenFrames) expect(source).toMatch(/^(recorded: |laid out by hand after )\S/)
  })
})

/** A stretch of versions in which a part of a message keeps its layout. */
interface Needed {
  readonly protocol: Protocol
  readonly message: string
  readonly part: GoldenPart
  readonly from: number
  readonly below: number
  /** The response has more than a status. */
  readonly filled: boolean
}

function stretches(starts: readonly number[]): { from: number; below: number }[] {
  const sorted = [...new Set(starts)].sort((a, b) => a - b)
  return sorted.map((from, i) => ({ from, below: sorted[i + 1] ?? Number.POSITIVE_INFINITY }))
}

function neededOfMessage(protocol: Protocol, name: string, m: AnyMessage): Needed[] {
  const since = m.since ?? 0x1_0000
  return (['command', 'response', 'delayed'] as const).flatMap(part => {
    const changes = (m.changes ?? []).filter(change => change[part] !== undefined).map(change => change.since)
    return stretches([since, ...changes]).flatMap(({ from, below }) => {
      const layout = formAt(m, from)[part]
      if (layout === undefined) return []
      const filled = part === 'response' && (layout.size > 0 || layout.tail !== undefined)
      return [{ protocol, message: name, part, from, below, filled }]
    })
  })
}

function neededOfNotification(protocol: Protocol, name: string, n: Notification): Needed[] {
  const starts = [n.since ?? 0x1_0000, ...(n.changes ?? []).map(change => change.since)]
  return stretches(starts).map(stretch => ({
    ...stretch,
    protocol,
    message: name,
    part: 'notification',
    filled: false,
  }))
}

const needed = (protocols as readonly Protocol[]).flatMap(p => [
  ...Object.entries(p.messages).flatMap(([name, m]) => neededOfMessage(p, name, m)),
  ...Object.entries(p.notifications).flatMap(([name, n]) => neededOfNotification(p, name, n)),
])

const covers = (frame: GoldenFrame, { protocol, message, part, from, below, filled }: Needed): boolean =>
  frame.protocol === protocol &&
  frame.message === message &&
  frame.part === part &&
  frame.version >= from &&
  frame.version < below &&
  (frame.status ?? 0) === 0 &&
  !(filled && bare(frame))

const missing = (frames: readonly GoldenFrame[]): string[] =>
  needed
    .filter(need => !frames.some(frame => covers(frame, need)))
    .map(n => `${n.protocol.key} ${n.message} ${n.part} from 0x${n.from.toString(16)}`)

describe('coverage', () => {
  test('every part of every message, in every form, and every notification has a golden frame', () => {
    expect(missing(goldenFrames)).toEqual([])
  })

  test('a message without its frames is found missing', () => {
    const without = goldenFrames.filter(
      ({ message, part, version }) =>
        message !== 'CLOCK_CONFIG_SET' || part !== 'command' || version < 0x3_0000,
    )
    expect(missing(without)).toEqual(['clock CLOCK_CONFIG_SET command from 0x30000'])
  })
})
