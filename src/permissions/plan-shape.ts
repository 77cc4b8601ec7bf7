// What goes into a plan and what comes out: the shapes that `scmictl plan --json`, the daemon and the checks share.

import type { Discovery } from '../config/names.ts'
import type { DenseTree } from '../dt/dense-tree.ts'
import type { PassedDevice } from '../dt/devices.ts'
import type { DeviceTree } from '../dt/fdt.ts'
import type { Holdings, Resource } from '../dt/holdings.ts'
import type { PlanProblem } from './plan-problems.ts'

/** A domain to plan for. */
export interface PlanInput {
  readonly name: string
  /** Its partial device tree. */
  readonly tree: DeviceTree
  /** Where the operator pins it. */
  readonly agentId?: number | undefined
  /** Whose ids the tree and its guest have; `auto` when absent. */
  readonly discovery?: Discovery | undefined
}

export interface PlanOrigin {
  /** `name[index]` of the property that names it, `index` counting entries; a supply has no index. */
  readonly property: string
  /** The naming node where that is not the device's own: a descendant. */
  readonly node?: string
  /** Present when the partial tree is silent and the host's node behind it speaks. */
  readonly from?: 'host'
}

export interface PlanResource extends PlanOrigin {
  /** Protocol number in decimal: 20 is the clock protocol. */
  readonly protocol: number
  /** Null for pin control states, whose ids only the firmware can tell. */
  readonly id: number | null
  /** Which of the protocol's namespaces the id is from; absent for the first. */
  readonly namespace?: number
  /** What a pin control state names. */
  readonly names?: readonly string[]
}

export interface PlanDevice {
  /** Path in the partial tree; in `host`, path in the host tree. */
  readonly node: string
  /** Path in the host tree, behind xen,path. */
  readonly hostNode?: string
  /** SCMI device ids, each once, in order of appearance. */
  readonly deviceIds: readonly number[]
  /** Where each of `deviceIds` was read first. */
  readonly deviceIdOrigins: readonly (PlanOrigin & { readonly id: number })[]
  /** Every naming counts: one resource named by two properties stands twice. */
  readonly resources: readonly PlanResource[]
}

export interface PlanDomain {
  readonly name: string
  readonly agentId?: number
  readonly discovery: Exclude<Discovery, 'auto'>
  readonly devices: readonly PlanDevice[]
}

/** A resource that two or more holders reach. */
export interface SharedResource {
  readonly protocol: number
  readonly id: number
  /** Which of the protocol's namespaces the id is from; absent for the first. */
  readonly namespace?: number
  /** Domain names in the order given; "Dom0" last, for what stays with the host. */
  readonly holders: readonly string[]
}

export interface Plan {
  readonly domains: readonly PlanDomain[]
  readonly problems: readonly PlanProblem[]
  readonly shared: readonly SharedResource[]
  /** What host nodes that are not passed through name: Dom0's. Empty without a host tree. */
  readonly host: readonly PlanDevice[]
}

/** How the holder of what is not passed through is called. */
export const hostName = 'Dom0'

/** A domain's devices with the nodes they come from, for the checks between holders. */
export interface Holder {
  readonly input: PlanInput
  readonly discovery: PlanDomain['discovery']
  /** The tree's marker, where it has one. */
  readonly marker: DenseTree | undefined
  readonly devices: readonly {
    readonly passed: PassedDevice
    readonly holdings: Holdings
    /** What the partial tree names in the guest's own ids; empty where it has the firmware's. */
    readonly references: readonly Resource[]
  }[]
}
