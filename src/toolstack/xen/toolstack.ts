// Xen's domains as they come and go: each is held, planned, granted, armed, published and let go; each that goes gives all
// back. It learns of them from xenstore and the hypervisor and acts through the lifecycle, which alone grants.
import { errorText, MediatorError } from '../../errors.ts'
import type { GatedDomainView, Outcome, ToolstackGate } from '../../lifecycle/views.ts'
import { Gate } from './gate.ts'
import { GatedDomain } from './gated-domain.ts'
import type { DomainInfo } from './hypervisor.ts'
import { isThere, lostAs, servedAs } from './known.ts'
import type { XenToolstackOptions, XenToolstackParts } from './options.ts'
import { publishDaemon } from './publication.ts'
import { Standing } from './standing.ts'
import { partialTree } from './trees.ts'
import { parseConfiguration } from './userdata.ts'

const controlDomain = 0
/** Stands for the number that a domain will have: the last one that Xen would give. */
const noDomid = 0x7fef

export class XenToolstack implements ToolstackGate {
  readonly #options: XenToolstackOptions
  readonly #parts: XenToolstackParts
  readonly #standing: Standing
  readonly #gate: Gate
  /** By domid: what was seen there last. */
  readonly #domains = new Map<number, GatedDomain>()
  readonly #departures = new Set<Promise<void>>()
  #scanning: Promise<void> | undefined
  #again = false
  #open = false
  #starting = true
  #look: NodeJS.Timeout | undefined

  constructor(options: XenToolstackOptions, parts: XenToolstackParts) {
    this.#options = options
    this.#parts = parts
    const isOpen = (): boolean => this.#open
    this.#standing = new Standing(parts, { isOpen, scan: () => this.scan() })
    const departed = (): Promise<unknown> => Promise.all(this.#departures)
    this.#gate = new Gate(options, parts, this.#standing, { isOpen, departed })
  }

  /**
   * Begins with the domains there are: those that the lifecycle has recovered are served on, others go through the gate.
   * XENSTORE_UNREACHABLE, STATE_CORRUPT.
   */
  async start(): Promise<void> {
    const { store, holds, lifecycle } = this.#parts
    for (const doubt of holds.load()) lifecycle.tell(doubt)
    await store.start()
    this.#open = true
    store.onRescan = () => this.#rescan()
    await publishDaemon(store, 'running', this.#options.version)
    for (const special of ['@introduceDomain', '@releaseDomain'])
      await store.watch(special, () => this.scan())
    // Told long before the introduction: what is held sooner has run less.
    await store.watch('/local/domain', path => this.#stirred(path))
    this.#look = setInterval(() => this.scan(), this.#options.lookMs ?? 30_000)
    this.#look.unref()
    await this.settled()
    this.#starting = false
  }

  /** Domains are served on; none is let through the gate from now on: those in it stay held, for the next daemon. */
  async stop(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    clearInterval(this.#look)
    for (const domain of this.#domains.values()) if (domain.isPassing) domain.interrupt()
    await Promise.all([...this.#domains.values()].map(({ passage }) => passage))
    await this.#scanning
    await publishDaemon(this.#parts.store, 'stopped', this.#options.version).catch(() => {})
    await this.#parts.store.stop()
  }

  /** Looks at the hypervisor's domains, soon. */
  scan(): void {
    this.#again = true
    this.#scanning ??= this.#scanAll().finally(() => {
      this.#scanning = undefined
    })
  }

  /** Resolves when every domain there is has been seen. */
  async settled(): Promise<void> {
    this.scan()
    await this.#scanning
  }

  /** In order of domid. */
  gated(): readonly GatedDomainView[] {
    return [...this.#domains.values()].sort((a, b) => a.domid - b.domid).map(domain => this.#view(domain))
  }

  /** Holds a domain: one in the gate is held anyhow, until the gate is done with it; another until `release`. */
  async hold(name: string): Promise<GatedDomainView> {
    await this.settled()
    const domain = this.#find(name)
    if (!domain.isPassing) {
      this.#parts.holds.take(domain.domid, domain.uuid)
      domain.held = true
    }
    return this.#view(domain)
  }

  /** Lets a held domain run. One in the gate is waited for no longer: it is let go without rights. */
  async release(name: string): Promise<GatedDomainView> {
    const domain = this.#find(name)
    domain.held = false
    if (domain.isPassing) {
      domain.interrupt()
      await domain.passage
    } else this.#parts.holds.release(domain.domid, domain.uuid)
    return this.#view(domain)
  }

  /** What a domain would be granted whose configuration libxl prints as this: `xl -N create`. */
  async preflight(text: string): Promise<Outcome> {
    const configuration = parseConfiguration(text, 'configuration')
    const { name = '', uuid = '00000000-0000-0000-0000-000000000000' } = configuration
    const tree = partialTree(configuration)
    if (tree === undefined)
      throw new MediatorError('REQUEST_INVALID', `${name}: its configuration has no device_tree=`, {
        path: 'device_tree',
      })
    const { lifecycle, serving } = this.#parts
    const spec = {
      name,
      domid: noDomid,
      uuid,
      ...tree,
      ...serving({ name, uuid, devices: configuration.registers }),
    }
    return lifecycle.addDomain(spec, { dryRun: true })
  }

  #find(name: string): GatedDomain {
    const found = [...this.#domains.values()].find(
      each => String(each.domid) === name || (each.name !== undefined && each.name === name),
    )
    if (found === undefined || found.state === 'leaving')
      throw new MediatorError('DOMAIN_UNKNOWN', `${name} is not a domain of this hypervisor`)
    return found
  }

  #view(domain: GatedDomain): GatedDomainView {
    const { domid, uuid, name, state, reason, agentId, dtbPath, dtbHash, dtdevs } = domain
    return {
      domid,
      uuid,
      state,
      held: this.#parts.holds.has(domid, uuid),
      dtdevs,
      ...(name === undefined ? {} : { name }),
      ...(reason === undefined ? {} : { reason }),
      ...(agentId === undefined ? {} : { agentId }),
      ...(dtbPath === undefined ? {} : { dtbPath }),
      ...(dtbHash === undefined ? {} : { dtbHash }),
    }
  }

  #stirred(path: string): void {
    const [, domid, leaf] = /^\/local\/domain\/(\d+)(?:\/(.*))?$/.exec(path) ?? []
    if (domid === undefined) return
    const domain = this.#domains.get(Number(domid))
    if (domain === undefined) this.scan()
    else if (leaf === 'name' && domain.state === 'served') void this.#renamed(domain)
  }

  /** The store may be a new one, and empty. */
  #rescan(): void {
    void publishDaemon(this.#parts.store, 'running', this.#options.version).catch(() => {})
    for (const domain of this.#domains.values()) void this.#standing.publish(domain)
    this.scan()
  }

  async #scanAll(): Promise<void> {
    while (this.#again && this.#open) {
      this.#again = false
      try {
        this.#compare(this.#parts.hypervisor.list())
      } catch (error) {
        this.#parts.log('error', `domains cannot be listed: ${errorText(error)}`)
        return
      }
      await Promise.all(this.#departures)
    }
  }

  #compare(living: readonly DomainInfo[]): void {
    const there = new Map(living.filter(isThere).map(info => [info.domid, info]))
    for (const domain of this.#domains.values())
      if (there.get(domain.domid)?.uuid !== domain.uuid) this.#depart(domain)
    for (const info of there.values())
      if (info.domid !== controlDomain && !this.#domains.has(info.domid)) this.#arrive(info)
    for (const domain of this.#domains.values()) this.#reconcile(domain)
  }

  /** An operator may have removed it from the daemon, or added it, meanwhile. */
  #reconcile(domain: GatedDomain): void {
    if (domain.state !== 'served' && domain.state !== 'denied') return
    const known = servedAs(this.#parts.lifecycle, domain)
    if (domain.state === 'served' && known === undefined)
      this.#standing.deny(domain, 'removed by the operator')
    else if (domain.state === 'denied' && known !== undefined) this.#standing.grant(domain, known)
  }

  /** One that an earlier run served goes on; any other goes through the gate. */
  #arrive({ domid, uuid, cpuTimeNs }: DomainInfo): void {
    const domain = new GatedDomain(domid, uuid)
    this.#domains.set(domid, domain)
    const recovered = servedAs(this.#parts.lifecycle, domain)
    if (recovered !== undefined) {
      domain.name = recovered.name
      this.#standing.grant(domain, recovered)
      this.#standing.letGo(domain)
      return
    }
    const ran = cpuTimeNs > 0
    domain.wasRunning = ran && this.#starting
    this.#gate.enter(domain, ran)
  }

  #depart(domain: GatedDomain): void {
    this.#domains.delete(domain.domid)
    this.#parts.holds.forget(domain.domid, domain.uuid)
    domain.interrupt()
    const departure = this.#takeBack(domain).finally(() => this.#departures.delete(departure))
    this.#departures.add(departure)
  }

  async #takeBack(domain: GatedDomain): Promise<void> {
    await domain.passage
    const { lifecycle, log } = this.#parts
    domain.state = 'leaving'
    const served = servedAs(lifecycle, domain) ?? lostAs(lifecycle, domain)
    if (served === undefined) return
    try {
      await lifecycle.removeDomain(served.name, { dryRun: false })
      log('info', `domain ${domain.domid} (${served.name}) is gone`)
    } catch (error) {
      lifecycle.tell(`domain ${served.name} is gone, and was not taken back whole: ${errorText(error)}`)
    }
  }

  async #renamed(domain: GatedDomain): Promise<void> {
    const { store, lifecycle, log } = this.#parts
    try {
      const to = await store.nodes.readTextIfThere(`/local/domain/${domain.domid}/name`)
      const from = domain.name
      // The number may be another domain's by now, and the name that one's.
      if (this.#parts.hypervisor.get(domain.domid)?.uuid !== domain.uuid) return this.scan()
      if (to === undefined || from === undefined || to === from || domain.state !== 'served') return
      await lifecycle.renameDomain(from, to)
      domain.name = to
      log('info', `domain ${domain.domid} is called ${to} now; it was ${from}`)
    } catch (error) {
      lifecycle.tell(`domain ${domain.domid} was renamed, and keeps its name here: ${errorText(error)}`)
    }
  }
}
