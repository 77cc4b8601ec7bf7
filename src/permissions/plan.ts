// Host tree and partial trees to the exact grants: which domain holds which SCMI devices and resources, who shares what,
// and what speaks against it. Pure, the same for the daemon and `scmictl plan`; nothing is granted here.
import { denseTree } from '../dt/dense-tree.ts'
import {
  denseHoldings,
  deviceHoldings,
  type HostDevice,
  hostDevices,
  type PassedDevice,
  passedDevices,
} from '../dt/devices.ts'
import type { DeviceNode, DeviceTree } from '../dt/fdt.ts'
import { type Holdings, holdingsOf, type Origin } from '../dt/holdings.ts'
import type { Report } from '../dt/problem.ts'
import { attempt } from '../dt/references.ts'
import { scmiCompatible } from '../dt/scmi-node.ts'
import { type KnownResources, withPinIds } from './pin-states.ts'
import { checkDevices, checkDomains, checkProviders, sharedResources } from './plan-checks.ts'
import { checkReferences } from './plan-dense.ts'
import { Problems } from './plan-problems.ts'
import {
  type Holder,
  hostName,
  type Plan,
  type PlanDevice,
  type PlanInput,
  type PlanOrigin,
} from './plan-shape.ts'

/**
 * The plan for `domains` on `host`. Never throws: what is wrong stands in `problems`, and a domain's errors leave the
 * other domains' plan as it is. Without a host tree nothing is inherited, xen,path is taken as written and Dom0 holds
 * nothing. `known`: what the firmware calls its resources, where it was asked; without it pin states stay without ids,
 * and names in trees with ids of their own are not looked up.
 */
export function plan(
  host: DeviceTree | undefined,
  domains: readonly PlanInput[],
  known?: KnownResources,
): Plan {
  const problems = new Problems()
  checkDomains(domains, problems)

  const found = domains.map(input => {
    const report = reporter(problems, input.name, known)
    const marker = attempt(input.tree.root, report, () => denseTree(input.tree))
    const { discovery = 'auto' } = input
    const dense = discovery === 'dense' || (discovery === 'auto' && marker !== undefined)
    return { input, report, marker, dense, devices: passedDevices(input.tree, host, report) }
  })
  const passed = new Set(found.flatMap(({ devices }) => devices.flatMap(device => device.hostNode ?? [])))
  const behind = (ids: readonly number[]): readonly DeviceNode[] =>
    (host === undefined ? [] : hostDevices(host, passed, () => {}))
      .filter(({ deviceIds }) => deviceIds.some(({ id }) => ids.includes(id)))
      .map(({ node }) => node)
  const holders = found.map(({ input, report, marker, dense, devices }): Holder => {
    const pins = <T extends Holdings>(holdings: T): T =>
      known === undefined
        ? holdings
        : withPinIds(holdings, known, ({ node, property }, name) =>
            problems.add(
              'pin-unknown',
              `${property} names "${name}", and the firmware has nothing of that name`,
              {
                domain: input.name,
                node: node.path,
              },
            ),
          )
    return {
      input,
      discovery: dense ? 'dense' : 'identity',
      marker,
      devices: devices.map(device => {
        if (!dense)
          return {
            passed: device,
            holdings: pins(deviceHoldings(device, input.tree, host, passed, report)),
            references: [],
          }
        const { references, ...holdings } = denseHoldings(device, input.tree, host, passed, behind, report)
        return { passed: device, holdings: pins(holdings), references }
      }),
    }
  })
  const kept = (host === undefined ? [] : keptByHost(host, holders, passed, problems)).map(device =>
    known === undefined ? device : withPinIds(device, known, () => {}),
  )
  for (const holder of holders) if (holder.discovery === 'dense') checkReferences(holder, known, problems)
  checkDevices(host, holders, problems)
  checkProviders(host, holders, kept, problems)
  const shared = sharedResources(holders, kept, problems)

  return {
    domains: holders.map(({ input, discovery, devices }) => ({
      name: input.name,
      ...(input.agentId === undefined ? {} : { agentId: input.agentId }),
      discovery,
      devices: devices.map(({ passed: device, holdings }) => ({
        node: device.node.path,
        ...hostNodeOf(device),
        ...toPlan(holdings, [device.node, device.hostNode]),
      })),
    })),
    problems: problems.list,
    shared,
    host: kept.map(({ node, ...holdings }) => ({ node: node.path, ...toPlan(holdings, [node]) })),
  }
}

/**
 * Dom0's nodes. A guest's device without xen,path (xl's dtdev) takes the host nodes of its SCMI device ids with it.
 * What is wrong in a node that nobody is given is only a warning: it cannot be the reason to refuse a guest.
 */
function keptByHost(
  host: DeviceTree,
  holders: readonly Holder[],
  passed: ReadonlySet<DeviceNode>,
  problems: Problems,
): readonly HostDevice[] {
  const unnamed = new Set(
    holders.flatMap(({ devices }) =>
      devices.flatMap(({ passed: device, holdings }) =>
        device.xenPath === undefined ? holdings.deviceIds.map(({ id }) => id) : [],
      ),
    ),
  )
  const silent: Report = () => {}
  const taken = hostDevices(host, passed, silent).filter(({ deviceIds }) =>
    deviceIds.some(({ id }) => unnamed.has(id)),
  )
  const away = new Set([...passed, ...taken.map(({ node }) => node)])
  return hostDevices(host, away, (code, node, text) => {
    if (code !== 'pin-states')
      problems.add(code, text, { domain: hostName, node: node.path, severity: 'warning' })
  })
}

/**
 * The devices of the host tree that `wanted` picks, each with what it and its descendants name: for giving a domain one
 * that its partial tree does not have. A device is a node that names SCMI and is not part of one that does.
 */
export function planHostDevice(
  host: DeviceTree,
  wanted: (device: PlanDevice) => boolean,
  known?: KnownResources,
): readonly PlanDevice[] {
  const silent: Report = () => {}
  const found: PlanDevice[] = []
  const scan = (node: DeviceNode): void => {
    for (const child of node.children.values()) {
      const device = {
        node: child,
        xenPath: undefined,
        hostNode: undefined,
        mappings: [],
        forceAssignWithoutIommu: false,
      }
      const own = holdingsOf([{ node: child, scope: { own: host }, inherited: false }], silent)
      const names = own.deviceIds.length + own.resources.length > 0
      const named = deviceHoldings(device, host, undefined, new Set(), silent)
      const holdings = known === undefined ? named : withPinIds(named, known, () => {})
      const planned = { node: child.path, ...toPlan(holdings, [child]) }
      if (names && scmiCompatible(child) === undefined && wanted(planned)) found.push(planned)
      if (scmiCompatible(child) === undefined) scan(child)
    }
  }
  scan(host.root)
  return found
}

/** Of pin states it is told what the firmware does not have, where that is known; else that their ids are not. */
const reporter =
  (problems: Problems, domain: string, known: KnownResources | undefined): Report =>
  (code, node, text) => {
    if (code !== 'pin-states' || known === undefined) problems.add(code, text, { domain, node: node.path })
  }

function hostNodeOf({ hostNode, xenPath }: PassedDevice): { hostNode?: string } {
  const path = hostNode?.path ?? xenPath
  return path === undefined ? {} : { hostNode: path }
}

function toPlan(
  { deviceIds, resources }: Holdings,
  owners: readonly (DeviceNode | undefined)[],
): Omit<PlanDevice, 'node' | 'hostNode'> {
  const origin = ({ property, node, inherited }: Origin): PlanOrigin => ({
    property,
    ...(owners.includes(node) ? {} : { node: node.path }),
    ...(inherited ? { from: 'host' } : {}),
  })
  // An id that the partial tree and the host both name is the partial tree's.
  const ids = new Map<number, Origin>()
  for (const each of deviceIds) if (ids.get(each.id)?.inherited !== false) ids.set(each.id, each)
  return {
    deviceIds: [...ids.keys()],
    deviceIdOrigins: Array.from(ids, ([id, each]) => ({ id, ...origin(each) })),
    resources: resources.map(each => ({
      protocol: each.protocol,
      id: each.id,
      ...(each.namespace === undefined ? {} : { namespace: each.namespace }),
      ...origin(each),
      ...(each.names === undefined ? {} : { names: each.names }),
    })),
  }
}
