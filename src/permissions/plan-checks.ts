// What speaks against a plan between its holders: names, agents and devices that two of them claim, resources that two
// of them reach. It decides nothing, it tells.
import { type HostDevice, hostDevices, type PassedDevice } from '../dt/devices.ts'
import type { DeviceNode, DeviceTree } from '../dt/fdt.ts'
import type { Resource } from '../dt/holdings.ts'
import { FUNCTION, pinControl } from '../scmi/pin-control.ts'
import { protocolOf } from '../scmi/protocols.ts'
import type { AnyMessage } from '../scmi/schema.ts'
import type { Problems } from './plan-problems.ts'
import { type Holder, hostName, type PlanInput, type SharedResource } from './plan-shape.ts'

/** BASE PROTOCOL_ATTRIBUTES counts agents in 8 bits, and agent 0 is the platform. */
const agentIds = { first: 1, last: 255 } as const

/** Names and pinned agent ids. */
export function checkDomains(domains: readonly PlanInput[], problems: Problems): void {
  const names = new Set<string>()
  const agents = new Map<number, string>()
  for (const { name, agentId } of domains) {
    if (name === hostName)
      problems.add('domain-name', `"${name}" means the host, no domain`, { domain: name })
    else if (names.has(name)) problems.add('domain-name', `two domains are named "${name}"`, { domain: name })
    names.add(name)
    if (agentId === undefined) continue
    if (!Number.isInteger(agentId) || agentId < agentIds.first || agentId > agentIds.last) {
      const why =
        agentId === 0 ? 'is the platform itself' : `is not from ${agentIds.first} to ${agentIds.last}`
      problems.add('agent-reserved', `agent id ${agentId} of ${name} ${why}`, { domain: name })
      continue
    }
    const other = agents.get(agentId)
    if (other === undefined) agents.set(agentId, name)
    else
      problems.add('agent-repeated', `agent id ${agentId} is pinned for ${other} and for ${name}`, {
        domain: name,
      })
  }
}

/** Everything about devices and their ids, within a domain and between holders. */
export function checkDevices(
  host: DeviceTree | undefined,
  holders: readonly Holder[],
  problems: Problems,
): void {
  const hosts = host === undefined ? [] : hostDevices(host, new Set(), () => {})
  checkOwners(holders, problems)
  checkEachDevice(holders, hosts, problems)
  checkDeviceIds(holders, hosts, problems)
}

/** One host device, one owner; what lies below it belongs to the same, or it is said. */
function checkOwners(holders: readonly Holder[], problems: Problems): void {
  const owners = new Map<string, { holder: Holder; path: string }>()
  for (const holder of holders) {
    const domain = holder.input.name
    for (const { passed } of holder.devices) {
      const path = passed.hostNode?.path ?? passed.xenPath
      if (path === undefined) continue
      const where = { domain, node: passed.node.path }
      const other = owners.get(path)
      if (other === undefined) owners.set(path, { holder, path: passed.node.path })
      else if (other.holder === holder)
        problems.add('device-repeated', `${path} is passed to ${domain} twice, first at ${other.path}`, where)
      else
        problems.add(
          'device-passed-twice',
          `${path} is passed to ${other.holder.input.name} (${other.path}) and to ${domain} (${passed.node.path})`,
          where,
        )
    }
  }
  for (const holder of holders)
    for (const { passed } of holder.devices)
      for (let above = passed.hostNode?.parent; above !== undefined; above = above.parent) {
        const outer = owners.get(above.path)
        if (outer === undefined || outer.holder === holder) continue
        const domain = holder.input.name
        const text = `${passed.hostNode?.path} is passed to ${domain}, but lies below ${above.path} of ${outer.holder.input.name}`
        problems.add('device-nested', text, { domain, node: passed.node.path })
      }
}

/** With this property the operator gives a node what it names, although no device goes with it. */
const unboundGrant = 'scmi-mediator,grant-without-device'

/** Whether nothing but the ids that a device's node names says what it may have. */
const isUnbound = ({ xenPath, node }: PassedDevice): boolean =>
  xenPath === undefined && !node.properties.has(unboundGrant)

function checkEachDevice(holders: readonly Holder[], hosts: readonly HostDevice[], problems: Problems): void {
  const hostIds = new Map(hosts.map(({ node, deviceIds }) => [node, deviceIds.map(({ id }) => id)]))
  for (const { input, devices } of holders) {
    for (const { passed, holdings } of devices) {
      const { node, hostNode } = passed
      const where = { domain: input.name, node: node.path }
      const ids = holdings.deviceIds
      const [first] = holdings.resources
      if (ids.length === 0 && first !== undefined && isUnbound(passed))
        problems.add(
          'device-unbound',
          `${input.tree.file}: ${first.node.path}: property "${first.property}": names an SCMI resource, but the node has ` +
            'neither xen,path nor an SCMI device id (scmi_devid or access-controllers), so no device is passed through: ' +
            `add one, or ${unboundGrant} to have it granted all the same`,
          where,
        )
      else if (ids.length === 0 && first !== undefined)
        problems.add(
          'device-id-missing',
          `${node.path} names SCMI resources but no SCMI device id (scmi_devid or access-controllers): ` +
            'the firmware is told nothing, enforcement is local only',
          where,
        )
      if (ids.length > 0 && holdings.resources.length === 0)
        problems.add(
          'resources-missing',
          `${node.path} has an SCMI device id but names no SCMI resources`,
          where,
        )
      const expected = (hostNode === undefined ? undefined : hostIds.get(hostNode)) ?? []
      for (const { id, node: origin } of ids)
        if (origin === node && expected.length > 0 && !expected.includes(id))
          problems.add(
            'device-id-differs',
            `${node.path} has SCMI device id ${id}, the host's ${hostNode?.path} has ${expected.join(', ')}`,
            where,
          )
    }
  }
}

/** Ids of several firmwares cannot be told apart: a tree should name the resources of one. */
export function checkProviders(
  host: DeviceTree | undefined,
  holders: readonly Holder[],
  kept: readonly HostDevice[],
  problems: Problems,
): void {
  const ofHost = new Set<DeviceNode>()
  const told = (file: string, nodes: ReadonlySet<DeviceNode>, where: { domain?: string }) => {
    if (nodes.size < 2) return
    const paths = [...nodes].map(({ path }) => path).join(' and ')
    problems.add(
      'providers-several',
      `${file} names resources of ${paths}: their ids are taken as one firmware's`,
      where,
    )
  }
  for (const { input, devices } of holders) {
    const own = new Set<DeviceNode>()
    for (const { holdings } of devices)
      for (const { scmi } of holdings.resources) (rootOf(scmi) === host?.root ? ofHost : own).add(scmi)
    told(input.tree.file, own, { domain: input.name })
  }
  for (const { resources } of kept) for (const { scmi } of resources) ofHost.add(scmi)
  if (host !== undefined) told(host.file, ofHost, {})
}

const rootOf = (node: DeviceNode): DeviceNode => (node.parent === undefined ? node : rootOf(node.parent))

/** One SCMI device id, one domain and one host node. */
function checkDeviceIds(holders: readonly Holder[], hosts: readonly HostDevice[], problems: Problems): void {
  const owners = new Map<number, Holder>()
  const disputed = new Set<number>()
  const claims = new Map<number, Set<string>>()
  const claim = (id: number, path: string) => {
    const paths = claims.get(id)
    if (paths === undefined) claims.set(id, new Set([path]))
    else paths.add(path)
  }
  for (const holder of holders)
    for (const { passed, holdings } of holder.devices)
      for (const { id, node, inherited } of holdings.deviceIds) {
        if (inherited) claim(id, node.path)
        else if (passed.hostNode !== undefined)
          claim(id, passed.hostNode.path + node.path.slice(passed.node.path.length))
        const other = owners.get(id)
        if (other === undefined) owners.set(id, holder)
        else if (other !== holder) {
          disputed.add(id)
          const domain = holder.input.name
          const text = `SCMI device ${id} is in ${other.input.name} and in ${domain} (${passed.node.path})`
          problems.add('device-id-twice', text, { domain, node: passed.node.path })
        }
      }
  for (const { node, deviceIds } of hosts) for (const { id } of deviceIds) claim(id, node.path)
  for (const [id, paths] of claims) {
    if (paths.size < 2 || disputed.has(id)) continue
    const [node = ''] = paths
    problems.add(
      'device-id-repeated',
      `SCMI device ${id} stands on several host nodes: ${[...paths].join(', ')}`,
      {
        node,
      },
    )
  }
}

/** The resources that two or more holders reach, by protocol and id; each is also told as a problem. */
export function sharedResources(
  holders: readonly Holder[],
  kept: readonly HostDevice[],
  problems: Problems,
): readonly SharedResource[] {
  const reached = new Map<string, { protocol: number; id: number; namespace: number; holders: Set<string> }>()
  const reach = ({ protocol, id, namespace = 0 }: Resource, holder: string) => {
    if (id === null || isNobodys(protocol, namespace)) return
    const key = `${protocol}:${namespace}:${id}`
    const entry = reached.get(key) ?? { protocol, id, namespace, holders: new Set() }
    entry.holders.add(holder)
    reached.set(key, entry)
  }
  for (const { input, devices } of holders)
    for (const { holdings } of devices) for (const each of holdings.resources) reach(each, input.name)
  for (const { resources } of kept) for (const each of resources) reach(each, hostName)

  const shared = [...reached.values()]
    .filter(entry => entry.holders.size > 1)
    .sort((a, b) => a.protocol - b.protocol || a.namespace - b.namespace || a.id - b.id)
    .map(({ protocol, id, namespace, holders: names }) => ({
      protocol,
      id,
      ...(namespace === 0 ? {} : { namespace }),
      holders: [...names],
    }))
  for (const each of shared) problems.add('resource-shared', sharedText(each))
  return shared
}

/** A function of pins is given, and never itself set or taken: many use one, and nobody cuts another. */
export const isNobodys = (protocol: number, namespace: number): boolean =>
  protocol === pinControl.id && namespace === FUNCTION

/** What a shared resource means, in a sentence. */
export function sharedText({ protocol, id, namespace = 0, holders }: SharedResource): string {
  const known = protocolOf(protocol)
  const what =
    known === undefined
      ? `resource ${id} of protocol 0x${protocol.toString(16)}`
      : `${known.namespaces?.[namespace]?.name ?? known.key} ${id}`
  const messages = Object.values<AnyMessage>(known?.messages ?? {})
  const owner = holders.includes(hostName) ? `${hostName}'s` : "the first one's"
  const rule = messages.some(({ votes }) => votes !== undefined)
    ? 'their votes decide'
    : `it is ${owner} to set, DENIED to the others`
  return `${what} is reached by ${holders.join(' and ')}: ${rule}`
}
