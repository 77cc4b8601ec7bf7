// One domain on the main thread: what it was added with, what it holds now. Data; giving.ts and taking.ts change it.
import type { AgentEntry } from '../agents/roster.ts'
import { MediatorError } from '../errors.ts'
import type { ResourceId } from '../permissions/grants.ts'
import type { LabelOrder } from '../permissions/numbering.ts'
import type { PlanDevice, PlanDomain, PlanInput, PlanResource } from '../permissions/plan-shape.ts'
import type { DomainSpec, DomainState } from './views.ts'

/** A device that a domain was given, and whether it still has it. */
export interface HeldDevice {
  readonly plan: PlanDevice
  /** It came with the domain's partial tree; else an operator attached it from the host's. */
  readonly own: boolean
  attached: boolean
}

export interface Domain {
  /** Another one when the domain is renamed. */
  spec: DomainSpec
  input: PlanInput
  readonly agent: AgentEntry
  /** Where the relay keeps it, and which tenant of that place it is. */
  readonly slot: number
  readonly generation: number
  readonly dtbHash: string
  readonly addedAt: string
  /** Whether its guest sees ids of its own or the platform's. */
  readonly discovery: PlanDomain['discovery']
  /** What its ids stand for, in their order, by space: kept for as long as the domain is. */
  labels: LabelOrder
  state: DomainState
  devices: HeldDevice[]
}

/** What a domain has, served or not. */
export type Holding = Pick<Domain, 'spec' | 'input' | 'devices'>

/** Path that people and other domains know the device by: the host's where there is one. */
export const devicePath = (device: PlanDevice): string => device.hostNode ?? device.node

/** Whether one path lies below another. */
export const isBelow = (path: string, above: string): boolean => path.startsWith(`${above}/`)

/** Devices the domain has now. */
export const liveDevices = (domain: Holding): readonly PlanDevice[] =>
  domain.devices.filter(({ attached }) => attached).map(({ plan }) => plan)

/** What devices name that has an id and that `but` do not name, each once. */
export function resourcesOf(
  devices: readonly PlanDevice[],
  but: readonly PlanDevice[] = [],
): readonly (ResourceId & { node: string; property: string })[] {
  const keyOf = ({ protocol, id, namespace = 0 }: PlanResource): string => `${protocol}/${namespace}/${id}`
  const seen = new Set(but.flatMap(({ resources }) => resources.map(keyOf)))
  return devices.flatMap(device =>
    device.resources.flatMap(each => {
      const { protocol, id, namespace, property } = each
      const key = keyOf(each)
      if (id === null || seen.has(key)) return []
      seen.add(key)
      const node = devicePath(device)
      return [{ protocol, id, ...(namespace === undefined ? {} : { namespace }), node, property }]
    }),
  )
}

/** SCMI device ids of devices, each once. */
export const deviceIdsOf = (devices: readonly PlanDevice[]): readonly number[] => [
  ...new Set(devices.flatMap(({ deviceIds }) => deviceIds)),
]

/** Whether `text` names the device: its path in either tree, the last part of one, or an SCMI device id. */
export function names(device: PlanDevice, text: string): boolean {
  const paths = [device.node, ...(device.hostNode === undefined ? [] : [device.hostNode])]
  if (paths.some(path => path === text || path.slice(path.lastIndexOf('/') + 1) === text)) return true
  return /^(0x[0-9a-f]+|\d+)$/i.test(text) && device.deviceIds.includes(Number(text))
}

/** A domain whose removal did not get through has nothing that could be changed. */
export function refuseIdle({ spec, state }: Domain): void {
  if (state !== 'running')
    throw new MediatorError('DOMAIN_UNKNOWN', `${spec.name} is ${state}; remove it again`)
}
