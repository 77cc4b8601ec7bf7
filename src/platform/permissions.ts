// Who may use what: per agent and device, per agent, device and protocol, and the resources that follow. No message.
import type { PlatformConfig } from './config.ts'
import { resourceLists } from './cross-checks.ts'
import { agentIndex, kindCount, protocolCount, protocolOfKind } from './numbering.ts'
import type { Deviations } from './profiles.ts'

/**
 * The permissions of all agents.
 *
 * A resource belongs to the devices that list it. An agent may use it while at least one of these devices is allowed
 * to the agent and the resource's protocol is not denied on that device. A resource that no device lists can be
 * neither allowed nor denied by message: agents whose permissions in the file are `allow` may use it, others never.
 * Agents, devices, protocols and kinds of resources are indices here; a kind is a protocol's index, or one of those that
 * pin control has beside it.
 */
export class Permissions {
  readonly #devices: number
  /** Device ids, ascending; the device with the id at a place has that place for its index. */
  readonly #deviceIds: Uint32Array
  readonly #agents: number
  /** 1 where the file lets the agent use the device until told otherwise. */
  readonly #initial: Uint8Array
  /** 1 where the agent may use what is in no device. */
  readonly #loose: Uint8Array
  readonly #device: Uint8Array
  readonly #protocol: Uint8Array
  /** Resources of a device: index device * kindCount + kind. */
  readonly #members: readonly Uint16Array[]
  /** Resources of a kind that are in no device. */
  readonly #orphans: readonly Uint16Array[]
  /** Bitmaps of what may be used: index agent * kindCount + kind. */
  readonly #allowed: readonly Uint32Array[]
  /** 1 where any of a protocol's resources may be used, or the protocol has none. */
  readonly #open: Uint8Array
  readonly #readsAllowed: boolean

  constructor(config: PlatformConfig, { allowedByDefault, readsAllowed }: Deviations) {
    this.#readsAllowed = readsAllowed
    this.#agents = config.agents.length
    this.#devices = config.devices.length
    this.#deviceIds = Uint32Array.from(config.devices, device => device.id).sort()
    this.#initial = new Uint8Array(this.#agents * this.#devices)
    this.#loose = new Uint8Array(this.#agents)
    this.#device = new Uint8Array(this.#agents * this.#devices)
    this.#protocol = new Uint8Array(this.#agents * this.#devices * protocolCount)
    this.#open = new Uint8Array(this.#agents * protocolCount)
    const counts = new Uint16Array(kindCount)
    const members = Array.from({ length: this.#devices * kindCount }, () => new Uint16Array(0))
    const orphans = Array.from({ length: kindCount }, () => new Uint16Array(0))
    for (const { key, kind, list } of resourceLists(config)) {
      counts[kind] = list.length
      const owned = new Set<number>()
      for (const device of config.devices) {
        members[this.device(device.id) * kindCount + kind] = Uint16Array.from(device[key])
        for (const id of device[key]) owned.add(id)
      }
      orphans[kind] = Uint16Array.from(list.map(r => r.id).filter(id => !owned.has(id)))
    }
    this.#members = members
    this.#orphans = orphans
    this.#allowed = Array.from(
      { length: this.#agents * kindCount },
      (_, i) => new Uint32Array(((counts[i % kindCount] ?? 0) + 31) >>> 5),
    )
    for (const agent of config.agents) {
      const index = agentIndex(agent.id)
      const all = allowedByDefault || agent.permissions === 'allow' ? 1 : 0
      this.#loose[index] = all
      this.#initial.fill(all, index * this.#devices, (index + 1) * this.#devices)
      for (const id of agent.devices) this.#initial[index * this.#devices + this.device(id)] = 1
      this.restore(index)
    }
  }

  /** The index of the device with that id; -1 when there is none. */
  device(id: number): number {
    let low = 0
    let high = this.#devices
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#deviceIds[middle] as number) < id) low = middle + 1
      else high = middle
    }
    return low < this.#devices && this.#deviceIds[low] === id ? low : -1
  }

  /** Whether the agent may use the resource. */
  allows(agent: number, kind: number, resource: number): boolean {
    const bitmap = this.#allowed[agent * kindCount + kind] as Uint32Array
    return (((bitmap[resource >>> 5] as number) >>> (resource & 31)) & 1) !== 0
  }

  /** Whether the agent may use any resource of the protocol; protocols without resources are open to all. */
  open(agent: number, protocol: number): boolean {
    return this.#open[agent * protocolCount + protocol] !== 0
  }

  /** Whether the device is allowed to the agent as a whole. */
  deviceAllowed(agent: number, device: number): boolean {
    return this.#device[agent * this.#devices + device] !== 0
  }

  /** Allows or denies a device: what BASE_SET_DEVICE_PERMISSIONS does. */
  setDevice(agent: number, device: number, allow: number): void {
    this.#device[agent * this.#devices + device] = allow
    this.#compile(agent)
  }

  /** Allows or denies a protocol on a device: what BASE_SET_PROTOCOL_PERMISSIONS does. */
  setProtocol(agent: number, device: number, protocol: number, allow: number): void {
    this.#protocol[(agent * this.#devices + device) * protocolCount + protocol] = allow
    this.#compile(agent)
  }

  /** Gives the agent the permissions of the file back. */
  restore(agent: number): void {
    const first = agent * this.#devices
    for (let i = first; i < first + this.#devices; i++) this.#device[i] = this.#initial[i] as number
    this.#protocol.fill(1, first * protocolCount, (first + this.#devices) * protocolCount)
    this.#compile(agent)
  }

  #compile(agent: number): void {
    for (let kind = 0; kind < kindCount; kind++) {
      const protocol = protocolOfKind(kind)
      const bitmap = this.#allowed[agent * kindCount + kind] as Uint32Array
      bitmap.fill(0)
      if (this.#loose[agent] !== 0) set(bitmap, this.#orphans[kind] as Uint16Array)
      for (let device = 0; device < this.#devices; device++) {
        const at = agent * this.#devices + device
        if (this.#device[at] === 0 || this.#protocol[at * protocolCount + protocol] === 0) continue
        set(bitmap, this.#members[device * kindCount + kind] as Uint16Array)
      }
      let any = bitmap.length === 0 || this.#readsAllowed ? 1 : 0
      for (let i = 0; i < bitmap.length; i++) if (bitmap[i] !== 0) any = 1
      // Who may use a function alone can do nothing with it: pins decide, groups have pins.
      if (kind < protocolCount) this.#open[agent * protocolCount + protocol] = any
    }
  }
}

function set(bitmap: Uint32Array, ids: Uint16Array): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number
    bitmap[id >>> 5] = (bitmap[id >>> 5] as number) | (1 << (id & 31))
  }
}
