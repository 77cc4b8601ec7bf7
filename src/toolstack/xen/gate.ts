// The gate: a domain that arrives is held, planned and granted before it runs, or is denied, or asks for nothing.
import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { readDeviceTree } from '../../dt/fdt.ts'
import type { Region } from '../../dt/node.ts'
import { scmiNodes } from '../../dt/scmi-node.ts'
import { errorText, MediatorError } from '../../errors.ts'
import type { AddressRange } from '../../guest-link/guest-link.ts'
import type { DomainSpec } from '../../lifecycle/views.ts'
import type { GatedDomain } from './gated-domain.ts'
import { hasRun, isCopy, lostAs } from './known.ts'
import type { XenToolstackOptions, XenToolstackParts } from './options.ts'
import type { Standing } from './standing.ts'
import { treeOf } from './trees.ts'
import { awaitConfiguration, type DomainConfiguration, readConfiguration } from './userdata.ts'

/** How often a domain that is being built is looked at, in milliseconds. */
const lookMs = 250

/** What it asks of the toolstack it stands in. */
export interface GateOwner {
  readonly isOpen: () => boolean
  /** Resolves when all that have gone have given back what they had. */
  readonly departed: () => Promise<unknown>
}

export class Gate {
  readonly #options: XenToolstackOptions
  readonly #parts: XenToolstackParts
  readonly #standing: Standing
  readonly #owner: GateOwner

  constructor(options: XenToolstackOptions, parts: XenToolstackParts, standing: Standing, owner: GateOwner) {
    this.#options = options
    this.#parts = parts
    this.#standing = standing
    this.#owner = owner
  }

  /** Holds a domain, unless it has run already, and begins its way; `domain.passage` ends with it. */
  enter(domain: GatedDomain, ran: boolean): void {
    const { holds, log } = this.#parts
    try {
      if (!ran) holds.take(domain.domid, domain.uuid)
    } catch (error) {
      log('error', `domain ${domain.domid} cannot be held: ${errorText(error)}`)
    }
    domain.passage = this.#pass(domain).catch(error => this.#fail(domain, error))
  }

  async #pass(domain: GatedDomain): Promise<void> {
    const { domid, uuid, signal } = domain
    const { hypervisor } = this.#parts
    const configuration = await this.#configurationOf(domain)
    if (signal.aborted && configuration === undefined) return this.#abandoned(domain)
    const { name = `domain-${domid}`, dtdevs = [], registers = [], armSci } = configuration ?? {}
    domain.name = name
    domain.dtdevs = dtdevs
    if (configuration?.deviceTree === undefined) await this.#built(domain)
    const tree = treeOf(hypervisor, domain, configuration)
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
    if (hasRun(hypervisor, domain)) return this.#late(domain)
    if (isCopy(hypervisor, domain))
      return this.#standing.sanction(
        domain,
        this.#options.refused,
        `another domain with UUID ${uuid} runs; copies are not served`,
      )
    domain.state = 'granting'
    if (!signal.aborted) await this.#owner.departed() // on a reboot its former self has to give back first
    if (signal.aborted) return this.#abandoned(domain)
    const serving = this.#parts.serving({ name, uuid, devices: registers })
    await this.#grant(domain, { name, domid, uuid, ...tree, ...serving })
  }

  /** What libxl says of it. While libxl is still building it there is nothing else to read, and nothing to be late for. */
  async #configurationOf(domain: GatedDomain): Promise<DomainConfiguration | undefined> {
    const { domid, uuid, signal } = domain
    const { userdata, configurationMs: timeoutMs } = this.#options
    const { hypervisor } = this.#parts
    let configuration = readConfiguration(userdata, domid, uuid)
    for (let wait = !hasRun(hypervisor, domain); wait && configuration === undefined && !signal.aborted; ) {
      configuration = await awaitConfiguration(userdata, domid, uuid, { timeoutMs, signal })
      wait = hypervisor.isBeingBuilt(domid)
    }
    return configuration
  }

  /** Its tree is in its memory when its builder is done. */
  async #built({ domid, signal }: GatedDomain): Promise<void> {
    while (!signal.aborted && this.#parts.hypervisor.isBeingBuilt(domid)) await setTimeout(lookMs)
  }

  async #grant(domain: GatedDomain, spec: DomainSpec): Promise<void> {
    const { lifecycle, log } = this.#parts
    const outcome = await lifecycle.addDomain(spec, { dryRun: false })
    domain.devices = [...new Set(outcome.granted.map(({ node }) => node))]
    const missing = domain.dtdevs.filter(path => !domain.devices.includes(path))
    if (missing.length > 0)
      log(
        'warn',
        `${spec.name}: passed through without SCMI, as its tree does not name it: ${missing.join(', ')}`,
      )
    this.#standing.grant(domain, outcome)
    await domain.publishing
    this.#standing.letGo(domain)
    log('info', `domain ${domain.domid} (${spec.name}) has agent ${outcome.agentId}`)
  }

  /** It is gone, or nobody waits for it any more, or the daemon stops. */
  #abandoned(domain: GatedDomain): void {
    if (!this.#owner.isOpen()) return // it stays held: the next daemon finds it so
    this.#standing.deny(domain, 'let go before it was granted anything')
    this.#standing.letGo(domain)
  }

  #unmanaged(domain: GatedDomain): void {
    domain.state = 'unmanaged'
    this.#standing.letGo(domain)
  }

  /** The grant was refused, or something broke on the way. */
  #fail(domain: GatedDomain, error: unknown): void {
    if (!this.#owner.isOpen() && !(error instanceof MediatorError)) return
    this.#standing.sanction(domain, this.#options.refused, errorText(error))
  }

  /** A domain is not destroyed because the daemon was: what ran before it came is only denied. */
  #late(domain: GatedDomain): void {
    const standing = this.#standing
    if (lostAs(this.#parts.lifecycle, domain) !== undefined)
      return standing.sanction(
        domain,
        'deny',
        'it was served, and could not be taken up again; see scmictl status',
      )
    if (domain.wasRunning) return standing.sanction(domain, 'deny', 'it ran when the daemon was started')
    standing.sanction(domain, this.#options.late, 'it had run before it could be held')
  }
}

const rangeOf = ({ address, size }: Region): AddressRange => ({ start: Number(address), size: Number(size) })
