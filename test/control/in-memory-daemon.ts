// A Daemon that holds what it is told in memory: it carries requests and answers over the wire, and decides nothing.
import { createHash } from 'node:crypto'
import { MediatorError } from '../../src/errors.ts'
import type {
  AgentRelease,
  AgentView,
  AskedDomain,
  AuditState,
  Daemon,
  DeviceView,
  DomainView,
  GatedDomainView,
  InfoView,
  Outcome,
  PermissionCommand,
  StatusView,
} from '../../src/lifecycle/views.ts'

/** avb and usb0 of the example machine. */
export const hostDevices: DeviceView[] = [
  {
    node: '/soc/ethernet@e6800000',
    deviceIds: [0],
    resources: [
      { protocol: 0x14, id: 0, property: 'clocks[0]', name: 'avb' },
      { protocol: 0x11, id: 0, property: 'power-domains[0]', name: 'avb' },
      { protocol: 0x16, id: 0, property: 'resets[0]', name: 'avb' },
    ],
  },
  {
    node: '/soc/usb@ee080000',
    deviceIds: [1],
    resources: [
      { protocol: 0x14, id: 1, property: 'clocks[0]', name: 'usb0' },
      { protocol: 0x19, id: null, property: 'pinctrl-0[0]' },
    ],
  },
]

export class InMemoryDaemon implements Daemon {
  problems: string[] = []
  auditHead = { sequence: 3, hash: 'f'.repeat(64) }
  auditPath = '/nowhere/audit.jsonl'
  socket = ''
  readonly specs: AskedDomain[] = []
  /** Domains of a hypervisor. */
  gates: GatedDomainView[] = []
  readonly #domains = new Map<string, DomainView>()
  readonly #commands: PermissionCommand[] = []

  info(): InfoView {
    return {
      version: '9.8.7',
      pid: 4711,
      startedAt: '2026-01-02T03:04:05.000Z',
      socket: this.socket,
      config: '/etc/scmid.yaml',
      firmware: {
        link: 'embedded',
        channels: 5,
        vendor: 'scmi-med',
        implementationVersion: 1,
        protocols: [
          { id: 0x10, name: 'base', version: 0x20001 },
          { id: 0x14, name: 'clock', version: 0x30000, resources: 14 },
        ],
        agents: 5,
        permissionCommands: true,
        enforcement: 'unknown',
      },
      domains: this.#domains.size,
      agents: { free: 4 - this.#domains.size, assigned: this.#domains.size, quarantined: 0 },
      audit: { path: this.auditPath, records: 3, lost: 0 },
    }
  }

  status(): StatusView {
    return { state: this.problems.length === 0 ? 'ok' : 'degraded', problems: this.problems }
  }

  domains(): readonly DomainView[] {
    return [...this.#domains.values()]
  }

  domain(name: string): DomainView {
    const found = this.domains().find(each => each.name === name || String(each.domid) === name)
    if (found === undefined)
      throw new MediatorError('DOMAIN_UNKNOWN', `${name} is no domain here`, { path: name })
    return found
  }

  agents(): readonly AgentView[] {
    const assigned = this.domains().map<AgentView>(each => ({
      agentId: each.agentId,
      channel: each.channel,
      name: `guest${each.channel - 1}`,
      state: 'assigned',
      provenance: 'discovered',
      domain: each.name,
      ...(each.domid === undefined ? {} : { domid: each.domid }),
      protocols: each.protocols,
      denials: each.counters.denied,
    }))
    return [
      {
        agentId: 1,
        channel: 0,
        name: 'mediator',
        state: 'management',
        provenance: 'discovered',
        protocols: [],
        denials: 0,
      },
      ...assigned,
      {
        agentId: 5,
        channel: 4,
        state: 'quarantined',
        provenance: 'indexed',
        protocols: [],
        denials: 0,
        reason: 'BASE_RESET_AGENT_CONFIGURATION answered GENERIC_ERROR',
      },
    ]
  }

  devices(domain?: string): readonly DeviceView[] {
    if (domain !== undefined) return this.domain(domain).devices
    return hostDevices.map(device => {
      const holder = this.domains().find(each => each.devices.some(held => held.hostNode === device.node))
      return holder === undefined ? device : { ...device, domain: holder.name }
    })
  }

  permissionCommands(): readonly PermissionCommand[] {
    return this.#commands
  }

  async addDomain(spec: AskedDomain, { dryRun }: { dryRun: boolean }): Promise<Outcome> {
    if (this.#domains.has(spec.name))
      throw new MediatorError('DOMAIN_EXISTS', `${spec.name} is there already`, { path: spec.name })
    this.specs.push(spec)
    const agentId = spec.agentId ?? 2 + this.#domains.size
    if (!dryRun) this.#domains.set(spec.name, domainView(spec, agentId))
    return outcome(dryRun, spec.name, agentId)
  }

  async removeDomain(name: string, { dryRun }: { dryRun: boolean }): Promise<Outcome> {
    const domain = this.domain(name)
    if (!dryRun) this.#domains.delete(domain.name)
    return outcome(dryRun, domain.name, domain.agentId)
  }

  async releaseAgent(
    agentId: number,
    { dryRun, unproven }: { dryRun: boolean; unproven: boolean },
  ): Promise<AgentRelease> {
    const { state, reason = '' } = this.agents().find(each => each.agentId === agentId) ?? {}
    if (state !== 'quarantined') throw new MediatorError('AGENT_BUSY', `agent ${agentId} is ${state}`)
    return { dryRun, agentId, reason, ...(unproven ? { unproven: 'for the test' } : {}) }
  }

  async attachDevice(name: string, device: string, { dryRun }: { dryRun: boolean }): Promise<Outcome> {
    const domain = this.domain(name)
    const found = this.#find(device)
    const command = { agentId: domain.agentId, deviceId: found.deviceIds[0] ?? 0, allow: true }
    const granted = found.resources.flatMap(({ id, protocol, property }) =>
      id === null ? [] : [{ node: found.node, protocol, id, property }],
    )
    if (!dryRun) {
      const held = { ...found, hostNode: found.node, domain: domain.name }
      this.#domains.set(domain.name, {
        ...domain,
        devices: [...domain.devices, held],
        protocols: [0x11, 0x14, 0x16],
      })
      this.#commands.push(command)
    }
    return { ...outcome(dryRun, domain.name, domain.agentId), permissionCommands: [command], granted }
  }

  async detachDevice(name: string, device: string, { dryRun }: { dryRun: boolean }): Promise<Outcome> {
    const domain = this.domain(name)
    const found = this.#find(device)
    if (!domain.devices.some(held => held.node === found.node))
      throw new MediatorError('DEVICE_UNKNOWN', `${domain.name} does not hold ${found.node}`, {
        path: found.node,
      })
    const command = { agentId: domain.agentId, deviceId: found.deviceIds[0] ?? 0, allow: false }
    if (!dryRun) {
      this.#domains.set(domain.name, {
        ...domain,
        devices: domain.devices.filter(held => held.node !== found.node),
      })
      this.#commands.push(command)
    }
    return { ...outcome(dryRun, domain.name, domain.agentId), permissionCommands: [command] }
  }

  gatedDomains(): readonly GatedDomainView[] {
    return this.gates
  }
  async holdDomain(name: string): Promise<GatedDomainView> {
    return this.#setHeld(name, true)
  }
  async releaseDomain(name: string): Promise<GatedDomainView> {
    return this.#setHeld(name, false)
  }
  async preflight(configuration: string): Promise<Outcome> {
    if (!configuration.includes('device_tree'))
      throw new MediatorError('REQUEST_INVALID', 'its configuration has no device_tree=', {
        path: 'device_tree',
      })
    return outcome(true, JSON.parse(configuration).c_info.name, 2)
  }

  #setHeld(name: string, held: boolean): GatedDomainView {
    const at = this.gates.findIndex(each => each.name === name || String(each.domid) === name)
    const found = this.gates[at]
    if (found === undefined)
      throw new MediatorError('DOMAIN_UNKNOWN', `${name} is not a domain of this hypervisor`)
    const now = { ...found, held }
    this.gates[at] = now
    return now
  }

  async flushAudit(): Promise<AuditState> {
    return { records: 3, path: this.auditPath, head: this.auditHead }
  }

  #find(device: string): DeviceView {
    const found = hostDevices.find(
      each =>
        each.node === device || each.node.endsWith(`/${device}`) || String(each.deviceIds[0]) === device,
    )
    if (found === undefined)
      throw new MediatorError('DEVICE_UNKNOWN', `${device} is no device of the host`, { path: device })
    return found
  }
}

/** As a daemon with the run directory /run/x shows it. */
const linkView = (link: AskedDomain['link']): DomainView['link'] => {
  if (link.kind !== 'vhost-user') return link
  const { mode = 0o600, path = '/run/x/own.sock', ...rest } = link
  return { ...rest, path, mode: `0${mode.toString(8)}` }
}

const domainView = (spec: AskedDomain, agentId: number): DomainView => ({
  name: spec.name,
  ...(spec.domid === undefined ? {} : { domid: spec.domid }),
  state: 'running',
  agentId,
  channel: agentId - 1,
  link: linkView(spec.link),
  discovery: spec.discovery === 'dense' ? 'dense' : 'identity',
  connected: false,
  ...(spec.dtbPath === undefined ? {} : { dtbPath: spec.dtbPath }),
  dtbHash: createHash('sha256').update(spec.dtb).digest('hex'),
  devices: [],
  protocols: [],
  counters: { messages: 12, allowed: 9, denied: 2, errors: 1 },
  addedAt: '2026-01-02T03:04:06.000Z',
})

const outcome = (dryRun: boolean, domain: string, agentId: number): Outcome => ({
  dryRun,
  domain,
  agentId,
  permissionCommands: [],
  granted: [],
  revoked: [],
  problems: [],
})
