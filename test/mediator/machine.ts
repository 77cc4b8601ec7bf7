// A relay in this thread over a real platform, with guests in memory: what the mediator's tests speak through. No test.
import { readFileSync } from 'node:fs'
import { decisions } from '../../src/audit/decision.ts'
import { createAuditRing } from '../../src/audit/ring-layout.ts'
import { AuditRingReader } from '../../src/audit/ring-reader.ts'
import { discover } from '../../src/firmware-link/discovery.ts'
import { EmbeddedLink } from '../../src/firmware-link/embedded/embedded-link.ts'
import type { FirmwareHandler, FirmwareLink } from '../../src/firmware-link/firmware-link.ts'
import { resourceLists } from '../../src/firmware-link/resource-lists.ts'
import { resourceNames } from '../../src/firmware-link/resource-names.ts'
import type { FrameHandler, GuestLink } from '../../src/guest-link/guest-link.ts'
import { ALLOWED, countersOf, createCounters, DENIED, ERRORS, MESSAGES } from '../../src/mediator/counters.ts'
import { maxGuests } from '../../src/mediator/guest.ts'
import { Relay } from '../../src/mediator/relay.ts'
import type { GuestOpening, RelayCommand } from '../../src/mediator/relay-port.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { compileDense, type PlatformFacts } from '../../src/permissions/dense.ts'
import { compileGrants, type Grants, type ResourceId } from '../../src/permissions/grants.ts'
import type { LabelOrder } from '../../src/permissions/numbering.ts'
import type { PlatformConfig } from '../../src/platform/config.ts'
import { parsePlatform } from '../../src/platform/load.ts'
import { Platform } from '../../src/platform/platform.ts'
import { newestVersion, protocolOf } from '../../src/scmi/protocols.ts'
import { spaceIds } from '../../src/scmi/space.ts'
import { type Transfer, TransferPool } from '../../src/transfer.ts'

/** Messages as `protocol << 8 | message`, so that a table reads `0x1404`. */
export const headerWord = (message: number, token = 0, type = 0): number =>
  ((message & 0xff) | (type << 8) | ((message >>> 8) << 10) | (token << 18)) >>> 0

/** A frame of little-endian words. */
export function frameOf(...words: number[]): Uint8Array {
  const frame = new Uint8Array(words.length * 4)
  const view = new DataView(frame.buffer)
  for (const [i, word] of words.entries()) view.setUint32(i * 4, word >>> 0, true)
  return frame
}

export const wordsOf = (frame: Uint8Array): number[] => {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  return Array.from({ length: frame.byteLength >>> 2 }, (_, i) => view.getUint32(i * 4, true))
}

/** The status of a response. */
export const statusOf = (frame: Uint8Array): number =>
  new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getInt32(4, true)

/** A guest in memory. It keeps every answer, and finds it a fault when a command gets two. */
export class MemoryGuest implements GuestLink {
  readonly kind = 'memory'
  readonly maxMessageBytes: number
  readonly maxInFlight: number
  /** Whether it has a way back; and how much of what comes that way it takes now. */
  hasP2A = false
  room = 0
  /** What came by the way back. */
  readonly delivered: Uint8Array[] = []
  occupied = true
  closed = false
  run: Uint32Array | undefined = undefined
  /** By ticket, the number that `send` gave. */
  readonly answers: (Uint8Array | undefined)[] = []
  readonly faults: string[] = []
  /** Told of each answer as it comes, by ticket. */
  onAnswer: (ticket: number, frame: Uint8Array) => void = () => {}
  readonly #handler: FrameHandler
  readonly #pool: TransferPool
  readonly #sent: Uint8Array[] = []
  readonly #out = new Set<Transfer>()

  constructor(slot: number, handler: FrameHandler, maxMessageBytes = 128, maxInFlight = 32) {
    this.maxMessageBytes = maxMessageBytes
    this.maxInFlight = maxInFlight
    this.#handler = handler
    this.#pool = new TransferPool(maxInFlight, maxMessageBytes, slot)
  }

  /** Commands in flight. */
  get pending(): number {
    return this.#out.size
  }

  /** Hands a whole frame to the mediator. What of the transfer the frame does not fill is poisoned. -1: none free. */
  send(frame: Uint8Array): number {
    const transfer = this.#pool.take()
    if (transfer === undefined) return -1
    const ticket = this.#sent.push(frame) - 1
    this.answers.push(undefined)
    transfer.bytes.fill(0xee)
    transfer.bytes.set(frame.subarray(0, transfer.bytes.length))
    transfer.length = frame.length
    transfer.cookie = ticket
    this.#out.add(transfer)
    this.#handler.handle(transfer, this)
    return ticket
  }

  complete(transfer: Transfer): void {
    const ticket = transfer.cookie
    const command = this.#sent[ticket] as Uint8Array
    if (!this.#out.delete(transfer)) this.faults.push(`command ${ticket} is answered twice`)
    const answer = transfer.bytes.slice(0, transfer.length)
    if (transfer.length < 8 || transfer.length > this.maxMessageBytes || transfer.length % 4 !== 0)
      this.faults.push(`command ${ticket} is answered with ${transfer.length} bytes`)
    if (Buffer.compare(answer.subarray(0, 4), command.subarray(0, 4)) !== 0)
      this.faults.push(`command ${ticket} is answered under another header`)
    if (statusOf(answer) !== 0 && transfer.length !== 8)
      this.faults.push(`command ${ticket}: ${transfer.length} bytes with status ${statusOf(answer)}`)
    this.answers[ticket] = answer
    this.#pool.give(transfer)
    this.onAnswer(ticket, answer)
  }

  deliver(frame: Uint8Array, length: number): boolean {
    if (!this.hasP2A) this.faults.push('something is delivered that was never promised')
    if (this.room === 0) return false
    this.room--
    this.delivered.push(frame.slice(0, length))
    return true
  }

  close(): void {
    this.closed = true
    this.occupied = false
  }

  /** The answer to a command, which must come at once. */
  ask(frame: Uint8Array): Uint8Array {
    const ticket = this.send(frame)
    const answer = this.answers[ticket]
    if (answer === undefined) throw new Error('no answer at once')
    return answer
  }

  /** Asks with a message (`protocol << 8 | message`) and payload words; gives status and the words after it. */
  words(message: number, ...payload: number[]): number[] {
    const [, status, ...rest] = wordsOf(this.ask(frameOf(headerWord(message, 0x155), ...payload)))
    return [(status as number) | 0, ...rest]
  }

  /** The status alone. */
  status(message: number, ...payload: number[]): number {
    return this.words(message, ...payload)[0] as number
  }
}

/** A command as the platform received it. */
export interface Tapped {
  readonly channel: number
  readonly words: readonly number[]
}

/** One audit record. */
export interface Recorded {
  readonly slot: number
  readonly message: number
  readonly resource: number
  readonly decision: string
  readonly status: number
  readonly arguments: readonly [number, number]
  readonly rule: number
  readonly repeated: number
}

export interface MachineOptions {
  /** Changes the example platform's file. */
  readonly edit?: (text: string) => string
  /** The firmware lets every agent use everything, so that the mediator alone stands between. True by default. */
  readonly permissive?: boolean
  readonly firmware?: (platform: Platform) => FirmwareLink & { open(handler: FirmwareHandler): void }
  /** A guest's link of another kind than a guest in memory. */
  readonly link?: (opening: GuestOpening, handler: FrameHandler, reactor: Reactor) => GuestLink
  readonly recordsPerGuest?: number
  readonly auditQueries?: boolean
  /** Devices of the host. 4 (i2c2) and what is in no device by default. */
  readonly hostDevices?: readonly number[]
  /** Protocol id to version word in place of the newest. */
  readonly versions?: readonly (readonly [number, number])[]
  /** Where guests' sessions are kept for a successor, by the guest's name. */
  readonly sessionFile?: (name: string) => string
  /** Where votes are kept for a successor. */
  readonly votesFile?: string
  readonly log?: string[]
}

export const exampleText = readFileSync(
  new URL('../../fixtures/example/platform.yaml', import.meta.url).pathname,
  'utf8',
)

const keys = [
  ['power', 0x11],
  ['performance', 0x13],
  ['clock', 0x14],
  ['sensor', 0x15],
  ['reset', 0x16],
  ['voltage', 0x17],
  ['powerCapping', 0x18],
] as const
/** Namespaces of pin control, in the order of its selector. */
const pinKeys = ['pins', 'groups', 'functions'] as const

/** Resources of the host alone in the example: they are in no device. */
const hostOnly: readonly ResourceId[] = [
  { protocol: 0x11, id: 7 },
  { protocol: 0x13, id: 1 },
  { protocol: 0x14, id: 13 },
  { protocol: 0x15, id: 2 },
  { protocol: 0x17, id: 3 },
]

const parsed = new Map<string, PlatformConfig>()
function configOf(text: string): PlatformConfig {
  const config = parsed.get(text) ?? parsePlatform(text, 'platform.yaml')
  parsed.set(text, config)
  return config
}

/** Relay, platform and guests. Guest slots are 0 and up; slot n speaks on channel n + 1, as agent n + 2. */
export class Machine {
  readonly platform: Platform
  readonly relay: Relay
  readonly firmware: FirmwareLink
  readonly counts = new Uint32Array(spaceIds)
  readonly versions = new Map<number, number>()
  /** What the platform received since the last `takeTapped`. */
  tapped: Tapped[] = []
  readonly guests: MemoryGuest[] = []
  readonly audit: AuditRingReader
  readonly #config: PlatformConfig
  readonly #counters = createCounters(maxGuests)
  readonly #reactor: Reactor

  constructor(options: MachineOptions = {}) {
    const edited = options.edit?.(exampleText) ?? exampleText
    const text =
      options.permissive === false ? edited : edited.replaceAll('permissions: deny', 'permissions: allow')
    const config = configOf(text)
    this.#config = config
    this.platform = new Platform(config)
    this.platform.tap = (channel, words, length) =>
      this.tapped.push({ channel, words: Array.from(words.subarray(0, length >>> 2)) })
    const link = options.firmware?.(this.platform) ?? new EmbeddedLink(this.platform)
    this.firmware = link
    this.#reactor = new Reactor((_source, error) => {
      throw error
    })
    const ring = createAuditRing(maxGuests, options.recordsPerGuest ?? 1024)
    this.audit = new AuditRingReader(ring)
    this.relay = new Relay({
      reactor: this.#reactor,
      makeFirmware: handler => {
        link.open(handler)
        return link
      },
      makeLink: (opening, handler) => {
        const link = options.link?.(opening, handler, this.#reactor)
        if (link !== undefined) return link
        const guest = new MemoryGuest(opening.slot, handler, opening.maxMessageBytes)
        this.guests[opening.slot] = guest
        handler.restarted?.(guest)
        return guest
      },
      audit: ring,
      counters: this.#counters,
      expireMs: 10,
      ...(options.votesFile === undefined ? {} : { votesFile: options.votesFile }),
      ...(options.sessionFile === undefined ? {} : { sessionFile: options.sessionFile }),
      log: (level, text) => options.log?.push(`${level} ${text}`),
    })
    const versions = new Map(options.versions)
    this.versions.set(0x10, versions.get(0x10) ?? 0x2_0001)
    for (const [key, protocol] of keys) {
      const section = config[key] as
        | { domains?: unknown[]; clocks?: unknown[]; sensors?: unknown[] }
        | undefined
      if (section === undefined) continue
      this.counts[protocol] = (section.domains ?? section.clocks ?? section.sensors ?? []).length
      this.versions.set(protocol, versions.get(protocol) ?? newestVersion(protocolOf(protocol) as never))
    }
    if (config.pinControl !== undefined) {
      this.versions.set(0x19, 0x1_0000)
      for (const [namespace, key] of pinKeys.entries())
        this.counts[0x19 | (namespace << 8)] = config.pinControl[key].length
    }
    if (config.system !== undefined) this.versions.set(0x12, versions.get(0x12) ?? 0x2_0001)
    this.execute({
      type: 'configure',
      setup: {
        versions: this.versions,
        counts: this.counts,
        identity: { vendor: config.vendor, subVendor: 'r-car-h3', implementationVersion: 0x1_0000 },
        host: compileGrants(
          [
            ...this.resources(options.hostDevices ?? [4]),
            ...(options.hostDevices === undefined ? hostOnly : []),
          ],
          this.counts,
        ),
        auditQueries: options.auditQueries ?? false,
      },
    })
  }

  /** Resources of devices, as the platform's file lists them. */
  resources(devices: readonly number[]): ResourceId[] {
    return devices.flatMap(id => {
      const device = this.#config.devices.find(each => each.id === id)
      return [
        ...keys.flatMap(([key, protocol]) => (device?.[key] ?? []).map(each => ({ protocol, id: each }))),
        ...pinKeys.flatMap((key, namespace) =>
          (device?.[key] ?? []).map(each => ({
            protocol: 0x19,
            id: each,
            ...(namespace > 0 && { namespace }),
          })),
        ),
      ]
    })
  }

  /** What the main thread would find out about the platform, over the management channel. Awaits nothing but promises. */
  async facts(): Promise<PlatformFacts> {
    const request = async (channel: number, frame: Uint8Array): Promise<Uint8Array> =>
      this.execute({ type: 'request', channel, frame }) as Uint8Array
    const { protocols } = await discover(request, { channel: 0 }, [])
    const { counts, versions } = this
    const known = protocols.map(each => ({ ...each, version: versions.get(each.id) ?? each.version }))
    const names = await resourceNames(request, 0, known)
    const lists = await resourceLists(request, 0, known)
    this.takeTapped()
    return { counts, versions, names, lists }
  }

  /** Grants with ids of the guest's own. */
  dense(facts: PlatformFacts, devices: readonly number[], order?: LabelOrder): Grants {
    return compileDense(this.resources(devices), facts, order).grants
  }

  grants(...devices: number[]): Grants {
    return compileGrants(this.resources(devices), this.counts)
  }

  /** Opens a guest in the next free slot that holds these devices. */
  guest(
    devices: readonly number[],
    options: {
      channel?: number
      grants?: Grants
      name?: string
      versions?: ReadonlyMap<number, number>
      returning?: boolean
      since?: number
    } = {},
  ): MemoryGuest {
    const slot = this.guests.length
    this.open(slot, devices, options)
    return this.guests[slot] as MemoryGuest
  }

  open(
    slot: number,
    devices: readonly number[],
    options: {
      channel?: number
      grants?: Grants
      name?: string
      maxMessageBytes?: number
      versions?: ReadonlyMap<number, number>
      returning?: boolean
      since?: number
    } = {},
  ): unknown {
    const channel = options.channel ?? slot + 1
    return this.execute({
      type: 'open',
      guest: {
        slot,
        generation: slot + 1,
        name: options.name ?? `guest${slot}`,
        agentId: channel + 1,
        channel,
        grants: options.grants ?? this.grants(...devices),
        ...(options.versions === undefined ? {} : { versions: options.versions }),
        link: { kind: 'message-socket', path: 'none' },
        smcId: 0,
        returning: options.returning ?? false,
        ...(options.since === undefined ? {} : { since: options.since }),
        maxMessageBytes: options.maxMessageBytes ?? 128,
      },
    })
  }

  /** Executes a command of the main thread that is done at once; throws what it fails with. */
  execute(command: RelayCommand): unknown {
    const { done, result } = this.begin(command)
    if (!done()) throw new Error(`${command.type} is not done at once`)
    return result()
  }

  /** Begins a command that may take time. `result` throws what it failed with. */
  begin(command: RelayCommand): { done: () => boolean; result: () => unknown } {
    let calls = 0
    let outcome: unknown
    let fault: unknown
    this.relay.execute(command, (error, value) => {
      calls++
      fault = error
      outcome = value
    })
    return {
      done: () => {
        if (calls > 1) throw new Error(`${command.type} is done ${calls} times`)
        return calls === 1
      },
      result: () => {
        if (fault !== undefined) throw fault
        return outcome
      },
    }
  }

  regrant(slot: number, ...devices: number[]): void {
    this.execute({ type: 'grants', slot, grants: this.grants(...devices) })
  }

  close(slot: number): void {
    this.execute({ type: 'close', slot })
  }

  takeTapped(): Tapped[] {
    const { tapped } = this
    this.tapped = []
    return tapped
  }

  /** messages, allowed, denied, errors. */
  counters(slot: number): readonly [number, number, number, number] {
    const counters = countersOf(this.#counters, slot)
    return [MESSAGES, ALLOWED, DENIED, ERRORS].map(at => counters[at]) as never
  }

  /** Audit records since the last call. */
  records(): Recorded[] {
    const found: Recorded[] = []
    this.audit.drain({
      message: ({
        slot,
        protocol,
        message,
        resource,
        decision,
        status,
        argument0,
        argument1,
        rule,
        repeated,
      }) => {
        found.push({
          slot,
          message: (protocol << 8) | message,
          resource: resource | 0,
          decision: decisions[decision] as string,
          status,
          arguments: [argument0, argument1],
          rule: rule | 0,
          repeated,
        })
      },
      lost: () => {},
    })
    return found
  }

  /** One round of the reactor. */
  step(timeoutMs = 0): void {
    this.relay.step(timeoutMs)
  }

  stop(): void {
    this.relay.close()
    this.#reactor.close()
  }
}
