// Xen's domains as they come and go: each is held, planned, granted, armed, published and let go; each that goes gives all
// back. It learns of them from xenstore and the hypervisor and acts through the lifecycle, which alone grants.
import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { readDeviceTree } from '../../dt/fdt.ts'
import { maxBlobBytes } from '../../dt/fdt-header.ts'
import type { Region } from '../../dt/node.ts'
import { scmiNodes } from '../../dt/scmi-node.ts'
import { errorText, MediatorError } from '../../errors.ts'
import type { AddressRange } from '../../guest-link/guest-link.ts'
import type { Lifecycle } from '../../lifecycle/lifecycle.ts'
import type {
  DomainSpec,
  GatedDomainView,
  GuestLinkSpec,
  Outcome,
  ToolstackGate,
} from '../../lifecycle/views.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import { GatedDomain } from './gated-domain.ts'
import type { Holds } from './holds.ts'
import type { DomainInfo, Hypervisor } from './hypervisor.ts'
import { publishDaemon, publishDomain } from './publication.ts'
import { readTrusted } from './trusted-file.ts'
import {
  awaitConfiguration,
  type DomainConfiguration,
  parseConfiguration,
  readConfiguration,
} from './userdata.ts'

/** How often a domain that is being built is looked at, in milliseconds. */
const lookMs = 250

/** What becomes of a domain: it runs without rights, or it is destroyed. */
export type Sanction = 'deny' | 'destroy'

export interface XenToolstackOptions {
  /** Where libxl keeps what it knows of domains. */
  readonly userdata: string
  /** For a domain that had run before it could be held. */
  readonly late: Sanction
  /** For a domain whose tree contradicts the host's, or that cannot be granted what it asks for. */
  readonly refused: Sanction
  /** Milliseconds that a domain is held for its configuration to appear. */
  readonly configurationMs: number
  /** Milliseconds between looks at the hypervisor that nothing asked for. */
  readonly lookMs?: number
  readonly version: string
}

export interface XenToolstackParts {
  readonly store: XenstoreClient
  readonly hypervisor: Hypervisor
  readonly lifecycle: Pick<
    Lifecycle,
    'addDomain' | 'removeDomain' | 'renameDomain' | 'domains' | 'lost' | 'tell'
  >
  readonly holds: Holds
  /** The link that a domain is served by, and the agent id that it shall have. */
  readonly serving: (domain: { name: string; uuid: string; devices: readonly AddressRange[] }) => {
    readonly link: GuestLinkSpec
    readonly agentId?: number
  }
  readonly log: (level: 'info' | 'warn' | 'error', text: string) => void
}

const controlDomain = 0
/** Stands for the number that a domain will have: the last one that Xen would give. */
const noDomid = 0x7fef

export class XenToolstack implements ToolstackGate {
  readonly #options: XenToolstackOptions
  readonly #parts: XenToolstackParts
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
    const tree = this.#partialTree(configuration)
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

  // ---- who is there ----

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
    for (const domain of this.#domains.values()) void this.#publish(domain)
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
    const known = this.#served(domain)
    if (domain.state === 'served' && known === undefined) this.#deny(domain, 'removed by the operator')
    else if (domain.state === 'denied' && known !== undefined) this.#granted(domain, known)
  }

  /** What the lifecycle has under its domid and UUID: a number alone may be another domain's by now. */
  #served({ domid, uuid }: GatedDomain): { readonly name: string; readonly agentId: number } | undefined {
    const found = this.#parts.lifecycle.domains.find(({ spec }) => spec.domid === domid && spec.uuid === uuid)
    return found === undefined ? undefined : { name: found.spec.name, agentId: found.agent.agentId }
  }

  /** An earlier run served it, and it could not come back. */
  #lost({ domid, uuid }: GatedDomain): { readonly name: string } | undefined {
    return this.#parts.lifecycle.lost.find(each => each.domid === domid && each.uuid === uuid)
  }

  // ---- the gate ----

  #arrive({ domid, uuid, cpuTimeNs }: DomainInfo): void {
    const { holds, log } = this.#parts
    const domain = new GatedDomain(domid, uuid)
    this.#domains.set(domid, domain)
    const recovered = this.#served(domain)
    if (recovered !== undefined) {
      domain.name = recovered.name
      this.#granted(domain, recovered)
      this.#letGo(domain)
      return
    }
    const ran = cpuTimeNs > 0
    domain.wasRunning = ran && this.#starting
    try {
      if (!ran) holds.take(domid, uuid)
    } catch (error) {
      log('error', `domain ${domid} cannot be held: ${errorText(error)}`)
    }
    domain.passage = this.#pass(domain).catch(error => this.#fail(domain, error))
  }

  async #pass(domain: GatedDomain): Promise<void> {
    const { domid, uuid, signal } = domain
    const { lifecycle, serving, log } = this.#parts
    const { userdata, configurationMs } = this.#options
    let configuration = readConfiguration(userdata, domid, uuid)
    // While libxl is still building it there is nothing else to read, and nothing to be late for.
    for (let wait = !this.#hasRun(domain); wait && configuration === undefined && !signal.aborted; ) {
      configuration = await awaitConfiguration(userdata, domid, uuid, { timeoutMs: configurationMs, signal })
      wait = this.#parts.hypervisor.isBeingBuilt(domid)
    }
    if (signal.aborted && configuration === undefined) return this.#abandoned(domain)
    const { name = `domain-${domid}`, dtdevs = [], registers = [], armSci } = configuration ?? {}
    domain.name = name
    domain.dtdevs = dtdevs
    if (configuration?.deviceTree === undefined) await this.#built(domain)
    const tree = this.#treeOf(domain, configuration)
    const nodes = tree === undefined ? [] : scmiNodes(readDeviceTree(tree.dtb, tree.dtbPath ?? 'device tree'))
    if (tree === undefined || nodes.length === 0) return this.#unmanaged(domain)
    domain.shmem = nodes.flatMap(({ shmem }) => shmem.map(rangeOf))
    domain.registers = registers
    domain.dtbPath = tree.dtbPath
    domain.dtbHash = createHash('sha256').update(tree.dtb).digest('hex')
    if (armSci !== undefined)
      throw new MediatorError(
        'PLAN_REFUSED',
        `its configuration has arm_sci="${armSci}": Xen itself would serve it`,
      )
    if (this.#hasRun(domain)) return this.#late(domain)
    if (this.#isCopy(domain))
      return this.#sanction(
        domain,
        this.#options.refused,
        `another domain with UUID ${uuid} runs; copies are not served`,
      )
    domain.state = 'granting'
    if (!signal.aborted) await Promise.all(this.#departures) // on a reboot its former self has to give back first
    if (signal.aborted) return this.#abandoned(domain)
    const spec: DomainSpec = { name, domid, uuid, ...tree, ...serving({ name, uuid, devices: registers }) }
    const outcome = await lifecycle.addDomain(spec, { dryRun: false })
    domain.devices = [...new Set(outcome.granted.map(({ node }) => node))]
    const missing = dtdevs.filter(path => !domain.devices.includes(path))
    if (missing.length > 0)
      log('warn', `${name}: passed through without SCMI, as its tree does not name it: ${missing.join(', ')}`)
    this.#granted(domain, outcome)
    await domain.publishing
    this.#letGo(domain)
    log('info', `domain ${domid} (${name}) has agent ${outcome.agentId}`)
  }

  /** Its tree is in its memory when its builder is done. */
  async #built({ domid, signal }: GatedDomain): Promise<void> {
    while (!signal.aborted && this.#parts.hypervisor.isBeingBuilt(domid)) await setTimeout(lookMs)
  }

  /** It is gone, or nobody waits for it any more, or the daemon stops. */
  #abandoned(domain: GatedDomain): void {
    if (!this.#open) return // it stays held: the next daemon finds it so
    this.#deny(domain, 'let go before it was granted anything')
    this.#letGo(domain)
  }

  #unmanaged(domain: GatedDomain): void {
    domain.state = 'unmanaged'
    this.#letGo(domain)
  }

  /** The grant was refused, or something broke on the way. */
  #fail(domain: GatedDomain, error: unknown): void {
    if (!this.#open && !(error instanceof MediatorError)) return
    this.#sanction(domain, this.#options.refused, errorText(error))
  }

  /** A domain is not destroyed because the daemon was: what ran before it came is only denied. */
  #late(domain: GatedDomain): void {
    const { late } = this.#options
    if (this.#lost(domain) !== undefined)
      return this.#sanction(
        domain,
        'deny',
        'it was served, and could not be taken up again; see scmictl status',
      )
    if (domain.wasRunning) return this.#sanction(domain, 'deny', 'it ran when the daemon was started')
    this.#sanction(domain, late, 'it had run before it could be held')
  }

  #sanction(domain: GatedDomain, sanction: Sanction, reason: string): void {
    const { hypervisor, lifecycle, holds, log } = this.#parts
    const { domid, uuid, name = '?' } = domain
    const told = `domain ${domid} (${name}) has no SCMI: ${reason}`
    this.#deny(domain, reason)
    if (sanction === 'destroy') {
      try {
        const info = hypervisor.get(domid)
        if (info?.uuid === uuid) hypervisor.destroy(domid)
        holds.forget(domid, uuid)
        log('error', `${told}; destroyed`)
        this.scan()
        return
      } catch (error) {
        lifecycle.tell(`domain ${domid} was not destroyed: ${errorText(error)}`)
      }
    }
    log('error', told)
    this.#spare(domain)
    this.#letGo(domain)
  }

  /** Without rights, a guest is told so; it shall not die of memory that is not there. */
  #spare({ domid, uuid, name = '?', shmem, registers }: GatedDomain): void {
    const { hypervisor, log } = this.#parts
    try {
      if (hypervisor.get(domid)?.uuid !== uuid) return
      for (const area of shmem) hypervisor.provideSharedPage({ domid, uuid }, area, registers)
    } catch (error) {
      log('warn', `domain ${domid} (${name}) has no shared page: ${errorText(error)}`)
    }
  }

  #granted(domain: GatedDomain, { agentId }: { readonly agentId: number }): void {
    domain.state = 'served'
    domain.agentId = agentId
    domain.reason = undefined
    void this.#publish(domain)
  }

  #deny(domain: GatedDomain, reason: string): void {
    domain.state = 'denied'
    domain.reason = reason
    domain.agentId = undefined
    void this.#publish(domain)
  }

  /** The gate's hold, unless an operator wants it longer. */
  #letGo(domain: GatedDomain): void {
    const { holds, lifecycle } = this.#parts
    if (domain.held) return
    try {
      holds.release(domain.domid, domain.uuid)
    } catch (error) {
      lifecycle.tell(`domain ${domain.domid} is held and cannot be let go: ${errorText(error)}`)
    }
  }

  // ---- leaving ----

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
    const served = this.#served(domain) ?? this.#lost(domain)
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

  // ---- what it asks for ----

  #hasRun({ domid, uuid }: GatedDomain): boolean {
    const info = this.#parts.hypervisor.get(domid)
    return info?.uuid === uuid && info.cpuTimeNs > 0
  }

  #isCopy({ domid, uuid }: GatedDomain): boolean {
    return this.#parts.hypervisor
      .list()
      .some(info => info.uuid === uuid && info.domid !== domid && isThere(info))
  }

  /** The partial tree that its configuration names; without one, what it finds in its own memory. */
  #treeOf(domain: GatedDomain, configuration: DomainConfiguration | undefined): Tree | undefined {
    const partial = configuration === undefined ? undefined : this.#partialTree(configuration)
    if (partial !== undefined || this.#hasRun(domain)) return partial
    try {
      return { dtb: this.#parts.hypervisor.guestTree(domain.domid) }
    } catch (error) {
      // A guest that boots without a tree asks for nothing.
      if (error instanceof MediatorError && error.code === 'DTB_REFUSED') return undefined
      throw error
    }
  }

  #partialTree({ deviceTree }: DomainConfiguration): Tree | undefined {
    return deviceTree === undefined
      ? undefined
      : { dtb: readTrusted(deviceTree, maxBlobBytes), dtbPath: deviceTree }
  }

  // ---- telling ----

  /** One after the other, each as the domain stands by then: a late attempt must not bring back a former state. */
  #publish(domain: GatedDomain): Promise<void> {
    domain.publishing = domain.publishing.then(() => this.#publishNow(domain))
    return domain.publishing
  }

  async #publishNow({ domid, uuid, state, agentId, reason, devices }: GatedDomain): Promise<void> {
    if (state === 'unmanaged' || state === 'leaving') return
    const { store, log } = this.#parts
    try {
      await publishDomain(store, {
        domid,
        uuid,
        state: state === 'served' ? 'ready' : state === 'denied' ? 'denied' : 'waiting',
        devices,
        ...(agentId === undefined ? {} : { agentId }),
        ...(reason === undefined ? {} : { error: reason }),
      })
    } catch (error) {
      if (this.#open && store.isConnected) log('warn', `domain ${domid}: not published: ${errorText(error)}`)
    }
  }
}

interface Tree {
  readonly dtb: Uint8Array
  readonly dtbPath?: string
}

/** A domain that is being destroyed, or has come to its end, will not run again; one that is suspended may. */
export const isThere = ({ dying, shutdown }: DomainInfo): boolean =>
  !dying && (shutdown === undefined || shutdown === 'suspend')

const rangeOf = ({ address, size }: Region): AddressRange => ({ start: Number(address), size: Number(size) })
