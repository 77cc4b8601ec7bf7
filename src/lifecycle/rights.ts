// A domain's rights where they are enforced: the audit log, the firmware's permissions, the relay's grants. What a domain
// is to have is its callers' decision.
import type { DeviceTree } from '../dt/fdt.ts'
import { scmiNodes } from '../dt/scmi-node.ts'
import { compileDense } from '../permissions/dense.ts'
import { bitmapsOf, compileGrants, type Grants, ownsEverything } from '../permissions/grants.ts'
import { refuseInexact, shownVersions } from '../permissions/older.ts'
import type { PlanDevice } from '../permissions/plan-shape.ts'
import { system } from '../scmi/system.ts'
import { idsOnlyOf } from './claims.ts'
import { type Domain, deviceIdsOf, liveDevices, resourcesOf } from './domain.ts'
import { Holdings } from './holdings.ts'
import type { Ledger } from './ledger.ts'
import type { LifecycleParts } from './parts.ts'
import type { Records } from './records.ts'
import type { Tenancies } from './tenancies.ts'
import type { Undo } from './transaction.ts'

export class Rights {
  readonly #parts: Pick<LifecycleParts, 'firmware' | 'relay' | 'host'>
  readonly #ledger: Ledger
  readonly #records: Records
  readonly #tenancies: Tenancies
  #holdings: Holdings

  constructor(parts: LifecycleParts, ledger: Ledger, records: Records, tenancies: Tenancies) {
    this.#parts = parts
    this.#ledger = ledger
    this.#records = records
    this.#tenancies = tenancies
    this.#holdings = new Holdings(parts.host, [], parts.firmware.known)
  }

  /** Who holds what now. */
  get holdings(): Holdings {
    return this.#holdings
  }

  /**
   * What a domain holds now, for the relay. System power, which is only shown to guests, goes to one whose tree names it
   * and to one that owns everything else. Ids of its guest's own, where it has such, are kept in its labels.
   */
  grantsOf(domain: Domain): Grants {
    const { firmware } = this.#parts
    const { counts } = firmware
    const resources = resourcesOf(liveDevices(domain))
    const everything = ownsEverything(compileGrants(resources, counts), counts)
    const whole = everything || namesProtocol(domain.input.tree, system.id) ? [system.id] : []
    if (domain.discovery === 'identity') return compileGrants(resources, counts, whole)
    const { grants, numbering } = compileDense(resources, firmware.facts, domain.labels, whole)
    domain.labels = new Map(Array.from(numbering, ([space, { labels }]) => [space, labels]))
    return grants
  }

  /**
   * The version words that the domain is shown, by protocol id; undefined where these are the platform's. NOT_SUPPORTED
   * names the message that stands against showing what it would hold with `more` exactly.
   */
  shownTo(
    { spec, devices }: Domain,
    more: readonly PlanDevice[] = [],
  ): ReadonlyMap<number, number> | undefined {
    if (spec.release === undefined && spec.versions === undefined) return undefined
    const { versions } = this.#parts.firmware
    const shown = shownVersions(versions, spec)
    if (shown === undefined) return undefined
    const held = resourcesOf([...devices.flatMap(each => (each.attached ? [each.plan] : [])), ...more])
    refuseInexact(versions, shown, id => id === system.id || held.some(({ protocol }) => protocol === id))
    return shown
  }

  /** What the host holds now, for the relay. */
  hostGrants(): Grants {
    return bitmapsOf(resourcesOf(this.#holdings.host), this.#parts.firmware.counts)
  }

  /** Writes the grants down, then tells the firmware, device by device; what the domain is allowed already stays out of it. */
  async grant(domain: Domain, devices: readonly PlanDevice[], undo: (step: Undo) => void): Promise<void> {
    const { firmware } = this.#parts
    const { agentId } = domain.agent
    const others = liveDevices(domain).filter(device => !devices.includes(device))
    undo(() => this.#records.revoked(domain, devices, others))
    this.#records.granted(domain, devices)
    if (!this.#tenancies.isTold(domain.agent)) return
    for (const id of idsOnlyOf(devices, others)) {
      // A refusal may come after the effect: it is undone all the same. What stays allowed is told by `undenied`.
      undo(() => firmware.deny(agentId, id))
      await firmware.allow(agentId, id)
    }
  }

  /** Tells the firmware to refuse what `devices` name and `kept` do not. */
  async deny(domain: Domain, devices: readonly PlanDevice[], kept: readonly PlanDevice[]): Promise<void> {
    if (!this.#tenancies.isTold(domain.agent)) return
    await this.#parts.firmware.denyAll(domain.agent.agentId, idsOnlyOf(devices, kept))
  }

  /** Denies what an earlier run may have left allowed. What cannot be denied is told by `undenied`; here it is refused. */
  async reconcile(agentId: number, live: readonly PlanDevice[]): Promise<void> {
    const own = new Set(deviceIdsOf(live))
    const others = [...this.#ledger.deviceIds].filter(id => !own.has(id))
    await this.#parts.firmware.denyAll(agentId, others).catch(() => {})
  }

  /** Puts what the domain holds now in force at the relay. */
  regrant(domain: Domain): Promise<void> {
    return this.#parts.relay.grants(domain.slot, this.grantsOf(domain))
  }

  /** Who holds what has changed: for the audit log's names, and for the relay, which counts holders. */
  async holdersChanged(): Promise<void> {
    this.#records.settle()
    const { list, awaited } = this.#ledger
    const domains = [...list, ...awaited.values()]
    this.#holdings = new Holdings(this.#parts.host, domains, this.#parts.firmware.known)
    await this.#parts.relay.host(this.hostGrants())
  }
}

/** Whether a tree has a node for the protocol. SCMI nodes that cannot be read are nobody's: devices decide what is granted. */
function namesProtocol(tree: DeviceTree, protocol: number): boolean {
  try {
    return scmiNodes(tree).some(({ protocols }) => protocols.has(protocol))
  } catch {
    return false
  }
}
