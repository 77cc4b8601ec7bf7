// Asks a Platform in hex. A helper of the platform's tests; its own arithmetic, so that no codec is its own judge.
import { readFileSync } from 'node:fs'
import type { Frame } from '../../src/platform/call.ts'
import type { PlatformConfig } from '../../src/platform/config.ts'
import { loadPlatform, parsePlatform } from '../../src/platform/load.ts'
import { Platform, type PlatformParts } from '../../src/platform/platform.ts'

export const examplePath = new URL('../../fixtures/example/platform.yaml', import.meta.url).pathname
const exampleText = readFileSync(examplePath, 'utf8')

export const newFrame = (bytes = 128): Frame => {
  const memory = new ArrayBuffer(bytes)
  return { bytes: new Uint8Array(memory), words: new Uint32Array(memory), ints: new Int32Array(memory) }
}

/** A header word: message in 7:0, type in 9:8, protocol in 17:10, token in 27:18. */
export const word = (protocol: number, message: number, token = 0, type = 0): number =>
  message + type * 0x100 + protocol * 0x400 + token * 0x4_0000

/** Little-endian hex of 32-bit words. */
export const hex = (...words: number[]): string => {
  const bytes = Buffer.alloc(words.length * 4)
  for (const [i, w] of words.entries()) bytes.writeUInt32LE(w >>> 0, i * 4)
  return bytes.toString('hex')
}

/** The bytes of a name in a field of 16. */
export const name16 = (name: string): string => Buffer.from(name.slice(0, 15)).toString('hex').padEnd(32, '0')
export const name64 = (name: string): string => Buffer.from(name).toString('hex').padEnd(128, '0')

export interface Sent {
  readonly channel: number
  readonly frame: string
}

/** A platform and a way to ask it. `events` collects what it sent of its own accord. */
export class Asked {
  readonly platform: Platform
  readonly events: Sent[] = []
  readonly #frame = newFrame(4096)

  constructor(platform: Platform) {
    this.platform = platform
  }

  /** The whole response to a whole command, both in hex. What the response does not fill is poisoned first. */
  raw(channel: number, command: string): string {
    const bytes = Buffer.from(command, 'hex')
    this.#frame.bytes.fill(0xee)
    this.#frame.bytes.set(bytes)
    const length = this.platform.handle(channel, this.#frame, bytes.length)
    const response = Buffer.from(this.#frame.bytes.subarray(0, length)).toString('hex')
    this.platform.flush((to, frame, n) => {
      this.events.push({ channel: to, frame: Buffer.from(frame.subarray(0, n)).toString('hex') })
    })
    return response
  }

  /** Asks with a payload of words; the response's header is checked and left out: status and what follows. */
  ask(channel: number, protocol: number, message: number, ...payload: number[]): string {
    const response = this.raw(channel, hex(word(protocol, message, 0x155), ...payload))
    if (!response.startsWith(hex(word(protocol, message, 0x155))))
      throw new Error(`the response's header is not the command's: ${response}`)
    return response.slice(8)
  }

  /** The status alone. */
  status(channel: number, protocol: number, message: number, ...payload: number[]): number {
    return Buffer.from(this.ask(channel, protocol, message, ...payload), 'hex').readInt32LE(0)
  }

  /** The words after the status; throws unless it is SUCCESS. */
  words(channel: number, protocol: number, message: number, ...payload: number[]): number[] {
    const response = Buffer.from(this.ask(channel, protocol, message, ...payload), 'hex')
    if (response.readInt32LE(0) !== 0) throw new Error(`status ${response.readInt32LE(0)}`)
    return Array.from({ length: response.length / 4 - 1 }, (_, i) => response.readUInt32LE(4 + 4 * i))
  }

  /** The events since the last call. */
  takeEvents(): Sent[] {
    return this.events.splice(0)
  }
}

const parsed = new Map<string, PlatformConfig>()
/** A platform never changes its configuration: one parse serves all platforms from the same text. */
function configOf(text: string): PlatformConfig {
  const config = parsed.get(text) ?? parsePlatform(text, 'platform.yaml')
  parsed.set(text, config)
  return config
}

/** The example machine, with the file's text changed where a test wants it otherwise. */
export function example(edit: (text: string) => string = text => text, parts: PlatformParts = {}): Asked {
  return new Asked(new Platform(configOf(edit(exampleText)), parts))
}

/** The example machine with power capping and pin control beside the rest: avb and usb0 have some, the host the last. */
export const extended = (text: string): string =>
  `${text
    .replace(
      'name: avb, clock: [0]',
      'name: avb, powerCapping: [0], pins: [0, 1, 2], groups: [0], functions: [0, 1], clock: [0]',
    )
    .replace(
      'name: usb0, clock: [1, 2]',
      'name: usb0, powerCapping: [1], pins: [2, 3], groups: [1], functions: [0], clock: [1, 2]',
    )}
powerCapping:
  domains:
    - id: 0
      name: avb
      unit: milliwatt
      cap: { min: 1000, max: 9000, step: 250 }
      pai: { min: 10, max: 1000, step: 10 }
      parent: 2
      measured: 1500
    - id: 1
      name: usb0
      cap: { min: 5000, max: 5000 }
      pai: { min: 100, max: 100 }
      monitoring: false
      capNotify: false
    - id: 2
      name: the-whole-system-on-chip
      unit: microwatt
      cap: { min: 1000000, max: 4294967295, step: 1 }
      ownCap: 4000000000
      pai: { min: 10, max: 1000, step: 10 }
      initialPai: 500
      fastChannels:
        - { message: 5, address: 0x123456789000, rateLimitUs: 7, doorbell: { address: 0x1000, width: 32, set: 1, preserve: 0xfffffffe } }
pinControl:
  configs: [{ type: 4, value: 0 }, { type: 10, value: 8 }, { type: 192, value: 3000000000 }]
  pins:
    - { id: 0, name: PA0 }
    - { id: 1, name: PA1, function: 1 }
    - { id: 2, name: PA2 }
    - { id: 3, name: PA3, configs: [{ type: 10, value: 4 }] }
    - { id: 4, name: a-pin-of-the-host-alone }
  groups:
    - { id: 0, name: avb_mdio, pins: [0, 1, 2] }
    - { id: 1, name: usb0, pins: [2, 3] }
    - { id: 2, name: host, pins: [4] }
  functions:
    - { id: 0, name: bus, groups: [0, 1] }
    - { id: 1, name: gpio, pins: [0, 1, 2, 3], gpio: true }
    - { id: 2, name: host, groups: [2] }
`

/** A platform from a YAML text. */
export const platformOf = (yaml: string, parts: PlatformParts = {}): Asked =>
  new Asked(new Platform(configOf(yaml), parts))

/** A platform from a file beside the tests. */
export const platformFrom = (file: string): Asked =>
  new Asked(new Platform(loadPlatform(new URL(file, import.meta.url).pathname)))

export { exampleText }
