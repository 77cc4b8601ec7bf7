// The platform as the main thread knows it, and the permission commands that keep it in step. It asks through the relay.

import { MediatorError } from '../errors.ts'
import type { Discovery, FirmwareRequest } from '../firmware-link/discovery.ts'
import { type Counts, protocolIds } from '../permissions/grants.ts'
import { type Enforcement, FirmwarePermissions } from '../permissions/mirror.ts'
import { base } from '../scmi/base.ts'
import { messageOf, protocolOf } from '../scmi/protocols.ts'
import { type AnyMessage, formAt } from '../scmi/schema.ts'
import { NOT_FOUND, NOT_SUPPORTED, SUCCESS, statusName } from '../scmi/status.ts'
import type { PermissionCommand } from './views.ts'

/** Told of each permission command before it goes out, and of its status afterwards. */
export interface PermissionWitness {
  before(command: PermissionCommand): void
  after(command: PermissionCommand | { readonly agentId: number; readonly reset: true }, status: number): void
}

/** What discovery found, with the firmware's permission commands. */
export class Firmware {
  readonly discovery: Discovery
  readonly resourceNames: ReadonlyMap<number, readonly string[]>
  readonly versions: ReadonlyMap<number, number>
  readonly counts: Counts
  /** Whether the firmware was seen to refuse what was not granted. */
  enforcement: Enforcement = 'unknown'
  /** Every permission command that went out, in order. */
  readonly commands: PermissionCommand[] = []
  readonly #permissions: FirmwarePermissions
  readonly #witness: PermissionWitness

  constructor(
    discovery: Discovery,
    resourceNames: ReadonlyMap<number, readonly string[]>,
    request: FirmwareRequest,
    witness: PermissionWitness,
  ) {
    this.discovery = discovery
    this.resourceNames = resourceNames
    this.versions = new Map([
      [base.id, discovery.baseVersion],
      ...discovery.protocols.map(p => [p.id, p.version] as const),
    ])
    this.counts = new Uint32Array(protocolIds)
    for (const { id, resources } of discovery.protocols) this.counts[id] = resources
    this.#permissions = new FirmwarePermissions(request, discovery.management.channel, discovery.baseVersion)
    this.#witness = witness
  }

  /** Allows or denies a device; FIRMWARE_REFUSED unless the firmware says SUCCESS. Nothing where it has no such command. */
  async setDevice(agentId: number, deviceId: number, allow: boolean): Promise<void> {
    const status = await this.#setDevice(agentId, deviceId, allow)
    if (status !== SUCCESS)
      throw new MediatorError(
        'FIRMWARE_REFUSED',
        `the firmware answered ${statusName(status)} to BASE_SET_DEVICE_PERMISSIONS: agent ${agentId}, device ${deviceId}, ${allow ? 'allow' : 'deny'}`,
      )
  }

  /**
   * Makes an agent id fit for another tenant: resets its configuration and permissions, denies every device id there
   * is, and probes that it is refused. Gives the reason why it is not fit, or undefined.
   */
  async sweep(agentId: number, channel: number, deviceIds: Iterable<number>): Promise<string | undefined> {
    if (this.discovery.resetConfiguration) {
      const status = await this.#permissions.resetAgent(agentId)
      this.#witness.after({ agentId, reset: true }, status)
      if (status !== SUCCESS && status !== NOT_SUPPORTED)
        return `BASE_RESET_AGENT_CONFIGURATION: ${statusName(status)}`
    }
    for (const deviceId of deviceIds) {
      const status = await this.#setDevice(agentId, deviceId, false)
      if (status !== SUCCESS && status !== NOT_FOUND)
        return `denying device ${deviceId}: ${statusName(status)}`
    }
    const before = this.enforcement
    const now = await this.probe(channel)
    if (before === 'enforced' && now !== 'enforced') return `the firmware no longer refuses it (${now})`
    this.enforcement = now
    return undefined
  }

  /** Whether a channel whose agent has nothing is refused, found out with a control that cannot take effect. */
  async probe(channel: number): Promise<Enforcement> {
    if (!this.discovery.devicePermissions) return 'not-enforced'
    for (const { id, version, resources } of this.discovery.protocols) {
      const vote = Object.entries(protocolOf(id)?.messages ?? {}).find(
        ([, m]) => (m as AnyMessage).votes !== undefined,
      )
      if (vote === undefined || resources === 0) continue
      const [name, message] = vote
      const { command } = formAt(message as AnyMessage, version)
      // Every bit set in every word but the resource's: reserved ones among them, so that it can never be carried out.
      const value = Object.fromEntries(
        Object.keys(command.fields).map(field => [
          field,
          field === (message as AnyMessage).resource ? 0 : 0xffff_ffff,
        ]),
      )
      return await this.#permissions.probe(channel, id, name, version, value)
    }
    return 'unknown'
  }

  async #setDevice(agentId: number, deviceId: number, allow: boolean): Promise<number> {
    if (!this.discovery.devicePermissions) return SUCCESS
    const command = { agentId, deviceId, allow }
    this.#witness.before(command)
    this.commands.push(command)
    const status = await this.#permissions.setDevice(agentId, deviceId, allow)
    this.#witness.after(command, status)
    return status
  }

  /** Name of a resource as the firmware has it. */
  nameOf(protocol: number, id: number): string | undefined {
    return this.resourceNames.get(protocol)?.[id] || undefined
  }
}

/** Name of a message, for texts. */
export const messageName = (protocol: number, message: number): string =>
  messageOf(protocol, message)?.name ?? `0x${message.toString(16)}`
