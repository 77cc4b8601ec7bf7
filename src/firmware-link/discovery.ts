// Who the platform is, what it has and which agent each channel is: asked at start, over the same links guests use.
import { errorText, MediatorError } from '../errors.ts'
import { base, PLATFORM, SELF } from '../scmi/base.ts'
import { type Decoded, decodeResponse, encodeCommand } from '../scmi/codec.ts'
import { PROTOCOL_ATTRIBUTES, PROTOCOL_VERSION, v1, v2 } from '../scmi/common.ts'
import { messageOf, newestVersion, protocolOf } from '../scmi/protocols.ts'
import type { Protocol } from '../scmi/schema.ts'
import { type Space, spaceOf } from '../scmi/space.ts'
import { COMMS_ERROR, NOT_FOUND, SUCCESS, statusName } from '../scmi/status.ts'

/** Sends a whole frame on a channel and resolves with the whole answer; rejects with FIRMWARE_SILENT. */
export type FirmwareRequest = (channel: number, frame: Uint8Array) => Promise<Uint8Array>

/** Asks again, so many times in all, when the platform is silent: for queries, which may be asked twice. */
export const patient =
  (request: FirmwareRequest, tries: number): FirmwareRequest =>
  async (channel, frame) => {
    for (let left = tries; ; left--) {
      try {
        return await request(channel, frame)
      } catch (error) {
        if (left <= 1 || !(error instanceof MediatorError) || error.code !== 'FIRMWARE_SILENT') throw error
      }
    }
  }

/** What the configuration says of a channel. */
export interface DeclaredChannel {
  readonly channel: number
  readonly agentId?: number
  /** Function id that rings it, where it is an SMC's. */
  readonly smcId?: number
  /** Guest physical address of its shared memory, where it has one. */
  readonly shmem?: number
}

/** How an agent id is known: the channel said so, the platform listed it, the configuration says so. */
export type KnownBy = 'discovered' | 'indexed' | 'declared'

export interface ChannelAgent extends DeclaredChannel {
  readonly agentId: number
  readonly name?: string
  readonly provenance: KnownBy
}

export interface DiscoveredProtocol {
  readonly id: number
  /** The version word the platform presents; 0x1xxxx for a protocol this program does not know is never asked. */
  readonly version: number
  /** How many clocks, domains, sensors … there are; of all namespaces where the protocol has several. */
  readonly resources: number
  /** How many there are in each namespace, where the protocol has several. */
  readonly namespaces?: readonly number[]
}

/** How many resources a protocol has in each of its spaces; none where it has no resources. */
export function spaceCounts({ id, resources, namespaces }: DiscoveredProtocol): readonly [Space, number][] {
  if (namespaces !== undefined) return namespaces.map((count, namespace) => [spaceOf(id, namespace), count])
  return protocolOf(id)?.resource === undefined ? [] : [[spaceOf(id), resources]]
}

export interface Discovery {
  readonly baseVersion: number
  readonly vendor: string
  readonly subVendor?: string
  readonly implementationVersion: number
  /** Agents the platform counts; 0 where it has no agent discovery. */
  readonly agents: number
  /** Protocols that both the platform and this program know, Base left out. */
  readonly protocols: readonly DiscoveredProtocol[]
  /** Listed by the platform, unknown here: nobody gets them. */
  readonly unknownProtocols: readonly number[]
  /** Whether the management channel has BASE_SET_DEVICE_PERMISSIONS and BASE_RESET_AGENT_CONFIGURATION. */
  readonly devicePermissions: boolean
  readonly resetConfiguration: boolean
  readonly management: ChannelAgent
  readonly channels: readonly ChannelAgent[]
}

/** One exchange; the firmware's error statuses come back as values, malformed answers as FIRMWARE_MALFORMED. */
export async function ask(
  request: FirmwareRequest,
  channel: number,
  protocol: number,
  message: string | number,
  version: number,
  value: Readonly<Record<string, number>> = {},
): Promise<Decoded> {
  const answer = await request(channel, encodeCommand(protocol, message, version, value))
  const decoded = decodeResponse(protocol, message, version, answer)
  if (decoded.malformed !== undefined)
    throw new MediatorError(
      'FIRMWARE_MALFORMED',
      `firmware channel ${channel}: ${textOf(protocol, message)}: ${decoded.malformed}`,
    )
  return decoded
}

/** A message for an error's text; those that every protocol has, by number, go with their protocol's name. */
const textOf = (protocol: number, message: string | number): string =>
  typeof message === 'string'
    ? message
    : `${protocolOf(protocol)?.key} ${messageOf(protocol, message)?.name ?? message}`

/** As `ask`, for what a platform must have: an error status is FIRMWARE_REFUSED. */
async function must(...args: Parameters<typeof ask>): Promise<Readonly<Record<string, unknown>>> {
  const { status, value } = await ask(...args)
  if (status !== SUCCESS || value === undefined)
    throw new MediatorError(
      'FIRMWARE_REFUSED',
      `firmware channel ${args[1]}: ${textOf(args[2], args[3])}: ${statusName(status)}`,
    )
  return value
}

/**
 * Asks the management channel about the platform, then every agent channel who it is. `channels` are those of the
 * link; `declared` what the configuration says of them, which must agree with what is found. Throws AGENT_MISMATCH
 * naming both sides where it does not, or where one agent id stands on two channels.
 */
export async function discover(
  request: FirmwareRequest,
  management: DeclaredChannel,
  channels: readonly DeclaredChannel[],
): Promise<Discovery> {
  const on = management.channel
  const version = Number((await must(request, on, base.id, PROTOCOL_VERSION, v2))['version'])
  refuseVersion(base.name, version)
  const known = Math.min(version, newestVersion(base))
  const attributes = (await must(request, on, base.id, PROTOCOL_ATTRIBUTES, known))['attributes'] as {
    num_protocols: number
    num_agents: number
  }
  const vendor = String(
    (await must(request, on, base.id, 'BASE_DISCOVER_VENDOR', known))['vendor_identifier'],
  )
  const sub = await ask(request, on, base.id, 'BASE_DISCOVER_SUB_VENDOR', known)
  const implementation = await must(request, on, base.id, 'BASE_DISCOVER_IMPLEMENTATION_VERSION', known)
  const listed = await listProtocols(request, on, known, attributes.num_protocols)
  const protocols: DiscoveredProtocol[] = []
  for (const id of listed) {
    const protocol = protocolOf(id)
    if (protocol === undefined) continue
    const presented = Number((await must(request, on, id, PROTOCOL_VERSION, v1))['version'])
    refuseVersion(protocol.name, presented)
    const inForce = Math.min(presented, newestVersion(protocol))
    const about = await must(request, on, id, PROTOCOL_ATTRIBUTES, inForce)
    protocols.push({ id, version: inForce, ...resourcesOf(protocol, about) })
  }
  const self = await whoAmI(request, management, known, attributes.num_agents, on)
  const found: ChannelAgent[] = []
  for (const declared of channels)
    found.push(await whoAmI(request, declared, known, attributes.num_agents, on))
  refuseDuplicates([self, ...found])
  const permissionCommand = base.messages.BASE_SET_DEVICE_PERMISSIONS.id
  const devicePermissions = await exists(request, on, known, permissionCommand)
  for (const { channel, agentId } of devicePermissions ? [] : found) {
    if (await exists(request, channel, known, permissionCommand))
      throw new MediatorError(
        'AGENT_MISMATCH',
        `firmware channel ${channel} (agent ${agentId}) may set permissions, and the management channel ${on} (agent ${self.agentId}) may not: no guest may have the trusted agent`,
      )
  }
  return {
    baseVersion: known,
    vendor,
    ...(sub.status === SUCCESS && { subVendor: String(sub.value?.['sub_vendor_identifier'] ?? '') }),
    implementationVersion: Number(implementation['implementation_version']),
    agents: attributes.num_agents,
    protocols,
    unknownProtocols: listed.filter(id => protocolOf(id) === undefined),
    devicePermissions,
    resetConfiguration: await exists(request, on, known, base.messages.BASE_RESET_AGENT_CONFIGURATION.id),
    management: self,
    channels: found,
  }
}

/** How many resources PROTOCOL_ATTRIBUTES counts. */
function resourcesOf(
  protocol: Protocol,
  about: Readonly<Record<string, unknown>>,
): Pick<DiscoveredProtocol, 'resources' | 'namespaces'> {
  if (protocol.namespaces === undefined)
    return {
      resources:
        protocol.resource === undefined
          ? 0
          : Number(Object.values(about['attributes'] as Record<string, number>)[0]),
    }
  const namespaces = protocol.namespaces.map(({ count: { field, mask } }) => {
    const declared = protocol.messages['PROTOCOL_ATTRIBUTES']?.response.fields[field] as {
      mask?: Readonly<Record<string, number>>
    }
    const range = Object.entries(declared.mask ?? {}).find(([, bits]) => bits === mask)?.[0] ?? ''
    return Number((about[field] as Record<string, number>)[range])
  })
  return { resources: namespaces.reduce((sum, count) => sum + count, 0), namespaces }
}

function refuseVersion(protocol: string, version: number): void {
  if (version < v1)
    throw new MediatorError(
      'FIRMWARE_MALFORMED',
      `firmware presents ${protocol} version 0x${version.toString(16)}, expected 1.0 or later`,
    )
}

/** Each once, Base left out though some firmware lists it; at most as many as the platform counts. */
async function listProtocols(
  request: FirmwareRequest,
  channel: number,
  version: number,
  expected: number,
): Promise<readonly number[]> {
  const ids: number[] = []
  while (ids.length < expected) {
    const { status, value, entries } = await ask(
      request,
      channel,
      base.id,
      'BASE_DISCOVER_LIST_PROTOCOLS',
      version,
      {
        skip: ids.length,
      },
    )
    if (status !== SUCCESS)
      throw new MediatorError(
        'FIRMWARE_REFUSED',
        `firmware: BASE_DISCOVER_LIST_PROTOCOLS: ${statusName(status)}`,
      )
    const count = Number(value?.['num_protocols'] ?? 0)
    if (count === 0) break
    for (const entry of (entries ?? []).slice(0, count)) ids.push(Number(entry['protocol_id']))
  }
  return [...new Set(ids.slice(0, expected))].filter(id => id !== base.id)
}

async function exists(
  request: FirmwareRequest,
  channel: number,
  version: number,
  message_id: number,
): Promise<boolean> {
  if (version < v2) return false
  const { status } = await ask(request, channel, base.id, 'PROTOCOL_MESSAGE_ATTRIBUTES', version, {
    message_id,
  })
  return status === SUCCESS
}

/**
 * The agent id of a channel: what the channel says of itself, else what the platform's list has under the declared
 * id (or, where none is declared, under the channel's place, since agents count from 1), else the declaration. A
 * version 1 reply has no id in it.
 */
async function whoAmI(
  request: FirmwareRequest,
  declared: DeclaredChannel,
  version: number,
  agents: number,
  management: number,
): Promise<ChannelAgent> {
  const { channel } = declared
  const self = await who(request, channel, channel, version, SELF)
  const name = self.value?.['name'] === undefined ? {} : { name: String(self.value['name']) }
  if (self.value?.['agent_id'] !== undefined) {
    const agentId = Number(self.value['agent_id'])
    if (declared.agentId !== undefined && declared.agentId !== agentId)
      throw new MediatorError(
        'AGENT_MISMATCH',
        `firmware channel ${channel} is declared as agent ${declared.agentId}, and says it is agent ${agentId}`,
      )
    if (agentId === PLATFORM && channel !== management)
      throw new MediatorError(
        'AGENT_MISMATCH',
        `firmware channel ${channel} says it is agent ${PLATFORM}, which is the platform itself`,
      )
    return { ...declared, ...name, agentId, provenance: 'discovered' }
  }
  if (version >= v2 && agents > 0) {
    const index = declared.agentId ?? channel + 1
    const listed = await who(request, management, channel, version, index)
    if (listed.status === SUCCESS && Number(listed.value?.['agent_id']) === index)
      return {
        ...declared,
        name: String(listed.value?.['name'] ?? ''),
        agentId: index,
        provenance: 'indexed',
      }
    if (listed.status === NOT_FOUND && declared.agentId !== undefined)
      throw new MediatorError(
        'AGENT_MISMATCH',
        `firmware channel ${channel} is declared as agent ${declared.agentId}, and the platform, which counts ${agents} agents, lists no such agent`,
      )
  }
  if (declared.agentId !== undefined)
    return { ...declared, ...name, agentId: declared.agentId, provenance: 'declared' }
  throw new MediatorError(
    'AGENT_MISMATCH',
    `firmware channel ${channel} does not say which agent it is (${statusName(self.status)}), and no agentId is declared for it`,
  )
}

/** DISCOVER_AGENT asked on `on` about `channel`; an answer that makes no sense is COMMS_ERROR, silence FIRMWARE_SILENT. */
async function who(
  request: FirmwareRequest,
  on: number,
  channel: number,
  version: number,
  agent_id: number,
): Promise<Decoded> {
  try {
    return await ask(request, on, base.id, 'BASE_DISCOVER_AGENT', version, { agent_id })
  } catch (error) {
    if (error instanceof MediatorError && error.code === 'FIRMWARE_MALFORMED') return { status: COMMS_ERROR }
    throw new MediatorError('FIRMWARE_SILENT', `firmware channel ${channel}: ${errorText(error)}`, {
      cause: error,
    })
  }
}

/** One agent, one channel; one doorbell, one shared memory area each. */
function refuseDuplicates(channels: readonly ChannelAgent[]): void {
  const numbers = new Set<number>()
  for (const { channel, agentId } of channels) {
    if (numbers.has(channel))
      throw new MediatorError('AGENT_MISMATCH', `firmware channel ${channel} (agent ${agentId}) stands twice`)
    numbers.add(channel)
  }
  for (const key of ['agentId', 'smcId', 'shmem'] as const) {
    const seen = new Map<number, ChannelAgent>()
    for (const each of channels) {
      const value = each[key]
      if (value === undefined) continue
      const other = seen.get(value)
      if (other !== undefined)
        throw new MediatorError(
          'AGENT_MISMATCH',
          `firmware channels ${other.channel} (${other.provenance}) and ${each.channel} (${each.provenance}) have the same ${key} ${key === 'agentId' ? value : `0x${value.toString(16)}`}`,
        )
      seen.set(value, each)
    }
  }
}
