// The golden frames of fixtures/frames: bytes that others than our encoder made, and what they mean. Not a test.
import { readdirSync, readFileSync } from 'node:fs'
import type { Values } from '../../src/scmi/body.ts'
import { protocols } from '../../src/scmi/protocols.ts'
import type { Protocol, Version } from '../../src/scmi/schema.ts'

export type GoldenPart = 'command' | 'response' | 'delayed' | 'notification'

export interface GoldenFrame {
  readonly protocol: Protocol
  readonly message: string
  readonly part: GoldenPart
  readonly version: Version
  readonly bytes: Uint8Array
  /** Of responses and delayed responses. */
  readonly status?: number
  /** 64-bit numbers as strings. */
  readonly value?: Values
  readonly entries?: readonly Values[]
  /** Where the bytes come from, other than our encoder. */
  readonly source: string
}

interface Written extends Omit<GoldenFrame, 'protocol' | 'version' | 'bytes'> {
  readonly version: string
  readonly bytes: string
}

const folder = new URL('../../fixtures/frames/', import.meta.url)

const versionOf = (written: string): Version => {
  const [major, minor] = written.split('.').map(Number)
  return ((major as number) << 16) | (minor as number)
}

function load(protocol: Protocol): GoldenFrame[] {
  const frames = JSON.parse(readFileSync(new URL(`${protocol.key}.json`, folder), 'utf8')) as Written[]
  return frames.map(frame => ({
    ...frame,
    protocol,
    version: versionOf(frame.version),
    bytes: Uint8Array.from(Buffer.from(frame.bytes.replaceAll(' ', ''), 'hex')),
  }))
}

/** Every golden frame. A file that no protocol is called after is an error. */
export const goldenFrames: readonly GoldenFrame[] = protocols.flatMap(load)

for (const file of readdirSync(folder)) {
  if (!protocols.some(p => `${p.key}.json` === file))
    throw new Error(`fixtures/frames/${file} is no protocol's`)
}

export const titleOf = (frame: GoldenFrame): string =>
  `${frame.protocol.key} ${frame.message} ${frame.part} ${frame.version >>> 16}.${frame.version & 0xffff} ${Buffer.from(frame.bytes).toString('hex')}`
