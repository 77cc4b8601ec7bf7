// What the control API asks of the daemon, over the lifecycle: reads it as views, passes changes on. It decides nothing.
import type { Roster } from '../agents/roster.ts'
import { MediatorError } from '../errors.ts'
import { ALLOWED, CONNECTED, countersOf, DENIED, ERRORS, MESSAGES } from '../mediator/counters.ts'
import { labelOf } from '../permissions/numbering.ts'
import type { PlanDevice } from '../permissions/plan-shape.ts'
import { protocolOf } from '../scmi/protocols.ts'
import { spaceOf } from '../scmi/space.ts'
import type { AuditTrail } from './audit-trail.ts'
import { type Domain, devicePath, liveDevices, resourcesOf } from './domain.ts'
import type { Firmware } from './firmware.ts'
import type { Lifecycle } from './lifecycle.ts'
import type {
  AgentRelease,
  AgentView,
  AskedDomain,
  AuditState,
  Counters,
  Daemon,
  DeviceView,
  DomainSpec,
  DomainView,
  GatedDomainView,
  InfoView,
  LinkView,
  Outcome,
  PermissionCommand,
  StatusView,
  ToolstackGate,
} from './views.ts'

export interface DaemonParts {
  readonly lifecycle: Lifecycle
  readonly roster: Roster
  readonly firmware: Firmware
  readonly audit: AuditTrail
  readonly counters: SharedArrayBuffer
  readonly facts: Pick<InfoView, 'version' | 'socket' | 'config' | 'host'> & {
    readonly link: string
    readonly channels: number
  }
  /** Where domains come from, if not from the operator alone. */
  readonly toolstack?: ToolstackGate
}

export class DaemonViews implements Daemon {
  readonly #parts: DaemonParts
  readonly #startedAt = new Date().toISOString()

  constructor(parts: DaemonParts) {
    this.#parts = parts
  }

  info(): InfoView {
    const { lifecycle, roster, firmware, audit, facts } = this.#parts
    const { link, channels, ...about } = facts
    const { discovery } = firmware
    const states = roster.list().map(({ state }) => state)
    const count = (state: string): number => states.filter(each => each === state).length
    audit.tryDrain()
    return {
      ...about,
      pid: process.pid,
      startedAt: this.#startedAt,
      firmware: {
        link,
        channels,
        vendor: discovery.vendor,
        ...(discovery.subVendor === undefined ? {} : { subVendor: discovery.subVendor }),
        implementationVersion: discovery.implementationVersion,
        protocols: discovery.protocols.map(({ id, version, resources }) => {
          const protocol = protocolOf(id)
          return {
            id,
            name: protocol?.name ?? `0x${id.toString(16)}`,
            version,
            ...(protocol?.resource === undefined ? {} : { resources }),
          }
        }),
        agents: discovery.agents,
        permissionCommands: discovery.devicePermissions,
        enforcement: firmware.enforcement,
      },
      domains: lifecycle.domains.length,
      agents: { free: count('free'), assigned: count('assigned'), quarantined: count('quarantined') },
      audit: { path: audit.path, records: audit.records, lost: audit.lost },
    }
  }

  status(): StatusView {
    const { lifecycle, roster, audit } = this.#parts
    const problems = [
      ...lifecycle.problems,
      ...(audit.fault === undefined ? [] : [`the audit log cannot be written: ${audit.fault}`]),
      ...roster
        .list()
        .flatMap(({ agentId, state, reason }) =>
          state === 'quarantined' ? [`agent ${agentId} is quarantined: ${reason}`] : [],
        ),
      ...(audit.lost > 0
        ? [`${audit.lost} messages were answered BUSY because their guest's share of the audit ring was full`]
        : []),
    ]
    return { state: problems.length === 0 ? 'ok' : 'degraded', problems }
  }

  domains(): readonly DomainView[] {
    return this.#parts.lifecycle.domains.map(domain => this.#domainView(domain))
  }

  domain(name: string): DomainView {
    return this.#domainView(this.#parts.lifecycle.domain(name))
  }

  agents(): readonly AgentView[] {
    const { lifecycle, roster } = this.#parts
    return roster.list().map(({ agentId, channel, name, state, provenance, domain: owner, reason }) => {
      const domain = lifecycle.domains.find(({ spec }) => spec.name === owner)
      return {
        agentId,
        channel,
        ...(name === undefined ? {} : { name }),
        state,
        provenance,
        ...(owner === undefined ? {} : { domain: owner }),
        ...(domain?.spec.domid === undefined ? {} : { domid: domain.spec.domid }),
        protocols: domain === undefined ? [] : protocolsOf(domain),
        denials: domain === undefined ? 0 : this.#counters(domain).denied,
        ...(reason === undefined ? {} : { reason }),
      }
    })
  }

  devices(name?: string): readonly DeviceView[] {
    const { lifecycle } = this.#parts
    const of = name === undefined ? lifecycle.domains : [lifecycle.domain(name)]
    const given = of.flatMap(domain => liveDevices(domain).map(device => this.#deviceView(device, domain)))
    return name === undefined
      ? [...given, ...lifecycle.holdings.host.map(device => this.#deviceView(device))]
      : given
  }

  permissionCommands(): readonly PermissionCommand[] {
    return this.#parts.firmware.commands
  }

  addDomain(asked: AskedDomain, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#parts.lifecycle.addDomain(asked, options)
  }
  removeDomain(name: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#parts.lifecycle.removeDomain(name, options)
  }
  attachDevice(domain: string, device: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#parts.lifecycle.attachDevice(domain, device, options)
  }
  detachDevice(domain: string, device: string, options: { dryRun: boolean }): Promise<Outcome> {
    return this.#parts.lifecycle.detachDevice(domain, device, options)
  }

  gatedDomains(): readonly GatedDomainView[] {
    return this.#toolstack.gated()
  }
  holdDomain(name: string): Promise<GatedDomainView> {
    return this.#toolstack.hold(name)
  }
  releaseDomain(name: string): Promise<GatedDomainView> {
    return this.#toolstack.release(name)
  }
  preflight(configuration: string): Promise<Outcome> {
    return this.#toolstack.preflight(configuration)
  }

  get #toolstack(): ToolstackGate {
    const { toolstack, facts } = this.#parts
    if (toolstack === undefined)
      throw new MediatorError(
        'NOT_SUPPORTED',
        `${facts.config ?? 'the configuration'} names no toolstack: domains are added by scmictl domain-add`,
      )
    return toolstack
  }

  releaseAgent(agentId: number, options: { dryRun: boolean; unproven: boolean }): Promise<AgentRelease> {
    return this.#parts.lifecycle.releaseAgent(agentId, options)
  }

  async flushAudit(): Promise<AuditState> {
    const { audit } = this.#parts
    audit.drain()
    return { records: audit.records, path: audit.path, head: audit.head }
  }

  #counters({ slot }: Domain): Counters {
    const counters = countersOf(this.#parts.counters, slot)
    return {
      messages: counters[MESSAGES] ?? 0,
      allowed: counters[ALLOWED] ?? 0,
      denied: counters[DENIED] ?? 0,
      errors: counters[ERRORS] ?? 0,
    }
  }

  #domainView(domain: Domain): DomainView {
    const { spec, agent, state, dtbHash, addedAt, slot } = domain
    return {
      name: spec.name,
      ...(spec.domid === undefined ? {} : { domid: spec.domid }),
      state,
      agentId: agent.agentId,
      channel: agent.channel,
      link: linkView(spec.link),
      discovery: domain.discovery,
      connected: countersOf(this.#parts.counters, slot)[CONNECTED] === 1,
      ...(spec.dtbPath === undefined ? {} : { dtbPath: spec.dtbPath }),
      dtbHash,
      devices: liveDevices(domain).map(device => this.#deviceView(device, domain)),
      protocols: protocolsOf(domain),
      counters: this.#counters(domain),
      addedAt,
    }
  }

  #deviceView(device: PlanDevice, domain?: Domain): DeviceView {
    const { names } = this.#parts.firmware.known
    return {
      node: device.node,
      ...(device.hostNode === undefined ? {} : { hostNode: devicePath(device) }),
      deviceIds: device.deviceIds,
      ...(domain === undefined ? {} : { domain: domain.spec.name }),
      resources: device.resources.map(({ protocol, id, namespace, property }) => {
        const name = id === null ? undefined : this.#parts.firmware.nameOf(protocol, id, namespace)
        const space = spaceOf(protocol, namespace)
        const guestId =
          domain?.discovery !== 'dense' || id === null
            ? -1
            : (domain.labels.get(space) ?? []).indexOf(labelOf(names, space, id))
        return {
          protocol,
          id,
          ...(namespace === undefined ? {} : { namespace }),
          ...(guestId < 0 ? {} : { guestId }),
          property,
          ...(name === undefined ? {} : { name }),
        }
      }),
    }
  }
}

/** Ids of the protocols that a domain holds something of, ascending. */
const protocolsOf = (domain: Domain): readonly number[] =>
  [...new Set(resourcesOf(liveDevices(domain)).map(({ protocol }) => protocol))].sort((a, b) => a - b)

/** A socket that the daemon listens on always has a mode. */
function linkView(link: DomainSpec['link']): LinkView {
  if (link.kind !== 'vhost-user') return link
  const { mode = 0o600, ...rest } = link
  return link.role === 'client' ? rest : { ...rest, mode: mode.toString(8).padStart(4, '0') }
}
