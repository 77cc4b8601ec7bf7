// Who holds which resource, over all domains and the host: what the audit log and the checks between domains ask.
import type { DeviceTree } from '../dt/fdt.ts'
import type { KnownResources } from '../permissions/pin-states.ts'
import { plan } from '../permissions/plan.ts'
import { hostName, type PlanDevice } from '../permissions/plan-shape.ts'
import { type Space, spaceOf } from '../scmi/space.ts'
import { devicePath, type Holding, isBelow, liveDevices } from './domain.ts'

/** One holder of a resource. */
export interface ResourceHolder {
  readonly domain: string
  readonly node: string
}

const key = (space: Space, id: number): number => space * 0x1_0000_0000 + id

/** A snapshot; made anew whenever a domain or a device comes or goes. */
export class Holdings {
  /** Host devices that no domain has, nor one that they are part of: Dom0's. */
  readonly host: readonly PlanDevice[]
  readonly #holders = new Map<number, ResourceHolder[]>()

  constructor(tree: DeviceTree, domains: readonly Holding[], known: KnownResources) {
    const given = domains.flatMap(domain => liveDevices(domain).map(devicePath))
    this.host = plan(
      tree,
      domains.map(({ input }) => input),
      known,
    ).host.filter(device => !given.some(path => device.node === path || isBelow(device.node, path)))
    for (const domain of domains)
      for (const device of liveDevices(domain)) this.#note(device, domain.spec.name)
    for (const device of this.host) this.#note(device, hostName)
  }

  /** Everyone that holds it, domains first. */
  holders(space: Space, id: number): readonly ResourceHolder[] {
    return this.#holders.get(key(space, id)) ?? []
  }

  #note(device: PlanDevice, domain: string): void {
    for (const { protocol, id, namespace } of device.resources) {
      if (id === null) continue
      const at = key(spaceOf(protocol, namespace), id)
      const holders = this.#holders.get(at) ?? []
      if (holders.some(holder => holder.domain === domain)) continue
      holders.push({ domain, node: devicePath(device) })
      this.#holders.set(at, holders)
    }
  }
}
