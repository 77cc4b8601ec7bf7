// The platform as the main thread knows it, and the permission commands that keep it in step. It asks through the relay.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorText, MediatorError } from '../errors.ts'
import {
  type Discovery,
  discover,
  type FirmwareRequest,
  patient,
  spaceCounts,
} from '../firmware-link/discovery.ts'
import { resourceNames } from '../firmware-link/resource-names.ts'
import type { PlatformFacts } from '../permissions/dense.ts'
import type { Counts } from '../permissions/grants.ts'
import { type Enforcement, enforcementOf, FirmwarePermissions } from '../permissions/mirror.ts'
import type { KnownResources } from '../permissions/pin-states.ts'
import { base } from '../scmi/base.ts'
import { protocolOf } from '../scmi/protocols.ts'
import type { ResourceLists } from '../scmi/resource-lists.ts'
import { type AnyMessage, formAt } from '../scmi/schema.ts'
import { protocolOfSpace, spaceIds, spaceOf } from '../scmi/space.ts'
import {
  BUSY,
  DENIED,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  SUCCESS,
  statusName,
} from '../scmi/status.ts'
import type { PermissionCommand } from './views.ts'

/** A command to the firmware about an agent's rights: about one device, or about all it has. */
export type RightsCommand = PermissionCommand | { readonly agentId: number; readonly reset: true }

/** Told of each such command before it goes out, and of its status afterwards; undefined when no answer came. */
export interface PermissionWitness {
  before(command: RightsCommand): void
  after(command: RightsCommand, status: number | undefined): void
}

/** Milliseconds before a command that was answered BUSY is sent again, one after the other. */
const patienceMs = [1, 4, 16]

/** Statuses of probes by `protocol/resource`. */
type Probed = ReadonlyMap<string, number>

/** What discovery found, with the firmware's permission commands. */
export class Firmware {
  readonly discovery: Discovery
  readonly resourceNames: ReadonlyMap<number, readonly string[]>
  /** Names and lists of its resources, for plans and for guests with ids of their own. */
  readonly known: KnownResources
  readonly versions: ReadonlyMap<number, number>
  readonly counts: Counts
  /** Whether the firmware was seen to refuse what was not granted. */
  enforcement: Enforcement = 'unknown'
  /** Every permission command that went out, in order. */
  readonly commands: PermissionCommand[] = []
  /** Devices that could not be denied to an agent, and why: `agent/device`. */
  readonly undenied = new Map<string, string>()
  readonly #permissions: FirmwarePermissions
  readonly #witness: PermissionWitness
  readonly #request: FirmwareRequest
  /** Agents whose rights the firmware may have forgotten since they were proven clean. */
  readonly #stale = new Set<number>()
  /** Agents that could not be proven clean, and that the operator vouches for, until they are swept again. */
  readonly #accepted = new Set<number>()
  /** What each agent was refused when it was last proven clean. */
  readonly #refused = new Map<number, ReadonlySet<string>>()

  constructor(
    discovery: Discovery,
    resourceNames: ReadonlyMap<number, readonly string[]>,
    request: FirmwareRequest,
    witness: PermissionWitness,
    lists: ResourceLists = new Map(),
  ) {
    this.discovery = discovery
    this.resourceNames = resourceNames
    this.known = { names: resourceNames, lists }
    this.versions = versionsOf(discovery)
    this.counts = new Uint32Array(spaceIds)
    for (const each of discovery.protocols)
      for (const [space, count] of spaceCounts(each)) this.counts[space] = count
    this.#permissions = new FirmwarePermissions(request, discovery.management.channel, discovery.baseVersion)
    this.#witness = witness
    this.#request = patient(request, 3)
    if (!discovery.devicePermissions) this.enforcement = 'not-enforced'
  }

  /** What grants with ids of a guest's own are compiled from. */
  get facts(): PlatformFacts {
    return { counts: this.counts, versions: this.versions, ...this.known }
  }

  /** Allows a device; FIRMWARE_REFUSED unless the firmware says SUCCESS. Nothing where it has no such command. */
  async allow(agentId: number, deviceId: number): Promise<void> {
    const status = await this.#setDevice(agentId, deviceId, true)
    if (status !== SUCCESS) throw refusal({ agentId, deviceId, allow: true }, status)
    this.undenied.delete(`${agentId}/${deviceId}`)
  }

  /**
   * Denies a device. FIRMWARE_REFUSED or FIRMWARE_SILENT where it may still be allowed, which `undenied` keeps until it
   * is denied after all.
   */
  async deny(agentId: number, deviceId: number): Promise<void> {
    const key = `${agentId}/${deviceId}`
    try {
      const status = await this.#setDevice(agentId, deviceId, false)
      // A device that the firmware does not know cannot be allowed: NOT_FOUND, or as SCP-firmware has it, a bad id.
      if (status !== SUCCESS && status !== NOT_FOUND && status !== INVALID_PARAMETERS)
        throw refusal({ agentId, deviceId, allow: false }, status)
      this.undenied.delete(key)
    } catch (error) {
      this.undenied.set(key, `agent ${agentId} may still be allowed device ${deviceId}: ${errorText(error)}`)
      throw error
    }
  }

  /** Denies every device; throws the first fault after having tried them all, but gives up a firmware that is silent. */
  async denyAll(agentId: number, deviceIds: Iterable<number>): Promise<void> {
    let fault: unknown
    for (const deviceId of deviceIds) {
      try {
        await this.deny(agentId, deviceId)
      } catch (error) {
        fault ??= error
        if (isSilent(error)) break
      }
    }
    if (fault !== undefined) throw fault
  }

  /**
   * Makes an agent id fit for another tenant: resets its configuration and permissions, denies every device id there
   * is, and probes that it is refused what it was refused before. Gives the reason why it is not fit, or undefined.
   */
  async sweep(agentId: number, channel: number, deviceIds: Iterable<number>): Promise<string | undefined> {
    this.#accepted.delete(agentId)
    const faults: string[] = []
    try {
      const status = await this.#reset(agentId)
      if (status !== SUCCESS && status !== NOT_SUPPORTED)
        faults.push(`BASE_RESET_AGENT_CONFIGURATION: ${statusName(status)}`)
    } catch (error) {
      faults.push(errorText(error))
    }
    try {
      await this.denyAll(agentId, deviceIds)
      const probed = await this.#probe(channel)
      const open = this.#nowOpen(agentId, probed)
      if (open.length > 0) faults.push(`the firmware no longer refuses it resource ${open.join(', ')}`)
      else this.#prove(agentId, probed)
    } catch (error) {
      faults.push(errorText(error))
    }
    if (faults.length > 0) return faults.join('; ')
    for (const key of [...this.undenied.keys()]) if (key.startsWith(`${agentId}/`)) this.undenied.delete(key)
    return undefined
  }

  /**
   * Looks at an agent that nobody has, before it is first given out: swept unless the firmware refuses it everything
   * that can be asked without effect. Gives the reason why it is not fit, or undefined. FIRMWARE_SILENT when it does not
   * answer: then nothing is known of the agent, and nothing was changed.
   */
  async prepare(agentId: number, channel: number, deviceIds: Iterable<number>): Promise<string | undefined> {
    if (this.#accepted.has(agentId)) return undefined
    if (!this.discovery.devicePermissions || (this.#refused.has(agentId) && !this.#stale.has(agentId)))
      return undefined
    if ((await this.look(agentId, channel)) === 'enforced') return undefined
    return this.sweep(agentId, channel, deviceIds)
  }

  /** Probes an agent that nobody has. */
  async look(agentId: number, channel: number): Promise<Enforcement> {
    if (!this.discovery.devicePermissions) return 'not-enforced'
    const probed = await this.#probe(channel)
    const found = enforcementOf([...probed.values()])
    if (found === 'enforced') this.#prove(agentId, probed)
    return found
  }

  /** The operator vouches for an agent that could not be proven clean. */
  accept(agentId: number): void {
    this.#accepted.add(agentId)
  }

  /** The platform may have forgotten what it was told of the agent: it is looked at before anybody gets it. */
  doubt(agentId: number): void {
    this.#stale.add(agentId)
  }

  /**
   * What the agent of a channel may do beside `own` (`protocol/resource`), where that can be told: an agent that may use
   * some of a protocol is answered INVALID_PARAMETERS about the rest, and that proves nothing.
   */
  async opened(channel: number, own: ReadonlySet<string>): Promise<readonly string[]> {
    const probed = await this.#probe(channel, own)
    return [...probed].flatMap(([key, status]) => (status === SUCCESS ? [key] : []))
  }

  /**
   * Asks the platform again who it is and what it has, and who the agent behind `channel` is. Gives how that differs
   * from what it said at the start, or undefined. FIRMWARE_SILENT.
   */
  async difference(channel: number): Promise<string | undefined> {
    const { management, channels } = this.discovery
    const asked = channels.filter(each => each.channel === channel)
    let found: Discovery
    try {
      found = await discover(this.#request, management, asked)
    } catch (error) {
      if (isSilent(error)) throw error
      return errorText(error)
    }
    for (const key of [
      'vendor',
      'subVendor',
      'implementationVersion',
      'baseVersion',
      'devicePermissions',
    ] as const)
      if (found[key] !== this.discovery[key]) return `${key} was ${this.discovery[key]}, is ${found[key]}`
    const had = protocolTexts(this.discovery)
    const has = protocolTexts(found)
    const lacks = had.find(text => !has.includes(text)) ?? has.find(text => !had.includes(text))
    if (lacks !== undefined) return `it had ${had.join(', ')}, has ${has.join(', ')}`
    for (const [space, names] of await resourceNames(this.#request, management.channel, found.protocols)) {
      const was = this.resourceNames.get(space)
      const id = names.findIndex((name, at) => name !== was?.[at])
      if (id >= 0)
        return `${protocolOf(protocolOfSpace(space))?.key} ${id} was "${was?.[id]}", is "${names[id]}"`
    }
    return undefined
  }

  /** Name of a resource as the firmware has it. */
  nameOf(protocol: number, id: number, namespace = 0): string | undefined {
    return this.resourceNames.get(spaceOf(protocol, namespace))?.[id] || undefined
  }

  #prove(agentId: number, probed: Probed): void {
    this.#stale.delete(agentId)
    this.#refused.set(
      agentId,
      new Set([...probed].filter(([, status]) => isRefusal(status)).map(([key]) => key)),
    )
    if (this.discovery.devicePermissions) this.enforcement = enforcementOf([...probed.values()])
  }

  /** What an agent, or where it was never looked at any other, was refused before and is not now. */
  #nowOpen(agentId: number, probed: Probed): readonly string[] {
    const [any] = this.#refused.values()
    return [...(this.#refused.get(agentId) ?? any ?? [])].filter(key => {
      const status = probed.get(key)
      return status !== undefined && !isRefusal(status)
    })
  }

  /** Asks, on the channel of an agent that should have nothing but `own`, for all that can be asked without effect. */
  async #probe(channel: number, own: ReadonlySet<string> = new Set()): Promise<Probed> {
    const probed = new Map<string, number>()
    if (!this.discovery.devicePermissions) return probed
    for (const { id, version, resources } of this.discovery.protocols) {
      const vote = Object.entries(protocolOf(id)?.messages ?? {}).find(
        ([, m]) => (m as AnyMessage).votes !== undefined,
      )
      if (vote === undefined) continue
      const [name, message] = vote as [string, AnyMessage]
      const { command } = formAt(message, version)
      for (let resource = 0; resource < resources; resource++) {
        if (own.has(`${id}/${resource}`)) continue
        // Every bit set in every word but the resource's: reserved ones among them, so that it can never be carried out.
        const value = Object.fromEntries(
          Object.keys(command.fields).map(field => [
            field,
            field === message.resource ? resource : 0xffff_ffff,
          ]),
        )
        probed.set(`${id}/${resource}`, await this.#permissions.probe(channel, id, name, version, value))
      }
    }
    return probed
  }

  async #setDevice(agentId: number, deviceId: number, allow: boolean): Promise<number> {
    if (!this.discovery.devicePermissions) return SUCCESS
    const command = { agentId, deviceId, allow }
    return this.#command(command, () => {
      this.commands.push(command)
      return this.#permissions.setDevice(agentId, deviceId, allow)
    })
  }

  async #reset(agentId: number): Promise<number> {
    if (!this.discovery.resetConfiguration) return SUCCESS
    return this.#command({ agentId, reset: true }, () => this.#permissions.resetAgent(agentId))
  }

  /** Sends a command that the witness hears of before and after; again, a little later, when the firmware is busy. */
  async #command(command: RightsCommand, send: () => Promise<number>): Promise<number> {
    for (let attempt = 0; ; attempt++) {
      this.#witness.before(command)
      let status: number
      try {
        status = await send()
      } catch (error) {
        this.#witness.after(command, undefined)
        if (!(error instanceof MediatorError)) throw error
        throw new MediatorError(error.code, `${textOf(command)}: ${error.message}`, { cause: error })
      }
      this.#witness.after(command, status)
      const pause = patienceMs[attempt]
      if (status !== BUSY || pause === undefined) return status
      await sleep(pause)
    }
  }
}

/** Protocol id to the version word in force, Base included. */
export const versionsOf = ({ baseVersion, protocols }: Discovery): ReadonlyMap<number, number> =>
  new Map([[base.id, baseVersion], ...protocols.map(p => [p.id, p.version] as const)])

/** Whether an error says that the platform did not answer. */
export const isSilent = (error: unknown): boolean =>
  error instanceof MediatorError && error.code === 'FIRMWARE_SILENT'

const protocolTexts = ({ protocols }: Discovery): readonly string[] =>
  protocols.map(({ id, version, resources }) => {
    const name = protocolOf(id)?.key ?? `0x${id.toString(16)}`
    return `${name} ${version >>> 16}.${version & 0xffff} with ${resources}`
  })

/** NOT_FOUND too: some platforms hide what an agent may not use. */
const isRefusal = (status: number): boolean => status === DENIED || status === NOT_FOUND

const textOf = (command: RightsCommand): string =>
  'deviceId' in command
    ? `BASE_SET_DEVICE_PERMISSIONS: agent ${command.agentId}, device ${command.deviceId}, ${command.allow ? 'allow' : 'deny'}`
    : `BASE_RESET_AGENT_CONFIGURATION: agent ${command.agentId}`

const refusal = (command: PermissionCommand, status: number): MediatorError =>
  new MediatorError('FIRMWARE_REFUSED', `the firmware answered ${statusName(status)} to ${textOf(command)}`)
