// What the daemon tells about itself: the shapes that the control API serves and scmictl prints. Data only.
import type { Discovery } from '../config/names.ts'
import type { GuestLinkSpec, VhostUserSpec } from '../guest-link/guest-link.ts'
import type { Plan } from '../permissions/plan-shape.ts'
import type { Release } from '../scmi/protocols.ts'

export type { GuestLinkSpec }

/** What is asked when a domain is added. */
export interface DomainSpec {
  readonly name: string
  /** The hypervisor's number of the domain, where there is one. */
  readonly domid?: number
  /** Which of the domains that had that number it is, where the toolstack knows. */
  readonly uuid?: string
  /** The partial device tree, and the file it came from (for messages; the daemon does not read it). */
  readonly dtb: Uint8Array
  readonly dtbPath?: string
  /** Pinned agent id; else the first free one. */
  readonly agentId?: number
  readonly link: GuestLinkSpec
  /** Whose ids the guest sees; `auto` when absent: its own where its tree carries the marker. */
  readonly discovery?: Discovery
  /** An SCMI release to be shown, and versions of single protocols by key: none newer than the firmware's. */
  readonly release?: Release
  readonly versions?: Readonly<Record<string, string>>
}

export type AskedLink = GuestLinkSpec | (Omit<VhostUserSpec, 'path'> & { readonly path?: string })

/** A domain as it is asked for: a vhost-user socket that the daemon listens on may have no path. */
export interface AskedDomain extends Omit<DomainSpec, 'link'> {
  readonly link: AskedLink
}

/** A guest's link as it is shown: the mode of a socket that the daemon made as chmod takes it, `0600`. */
export type LinkView =
  | Exclude<GuestLinkSpec, VhostUserSpec>
  | (Omit<VhostUserSpec, 'mode'> & { readonly mode?: string })

export const domainStates = ['adding', 'running', 'removing', 'failed'] as const
export type DomainState = (typeof domainStates)[number]

export interface ResourceView {
  readonly protocol: number
  /** Null where the firmware has not been asked yet (pin states). */
  readonly id: number | null
  /** Which of the protocol's namespaces the id is from; absent for the first. */
  readonly namespace?: number
  /** What the guest calls it, where it has ids of its own. */
  readonly guestId?: number
  /** `clocks[0]`, `vmmc-supply` */
  readonly property: string
  /** The firmware's name for it, where discovered. */
  readonly name?: string
}

export interface DeviceView {
  readonly node: string
  readonly hostNode?: string
  readonly deviceIds: readonly number[]
  /** Domain that holds it; absent where it is the host's or nobody's. */
  readonly domain?: string
  readonly resources: readonly ResourceView[]
}

/** Messages of one guest since it was added: messages = allowed + denied + errors. */
export interface Counters {
  readonly messages: number
  /** Forwarded, or answered here with what the guest may know. */
  readonly allowed: number
  /** Refused, or answered with a placeholder. */
  readonly denied: number
  /** Malformed, absent, busy, or failed below. */
  readonly errors: number
}

export interface DomainView {
  readonly name: string
  readonly domid?: number
  readonly state: DomainState
  readonly agentId: number
  readonly channel: number
  readonly link: LinkView
  /** Whether its guest sees ids of its own or the firmware's. */
  readonly discovery: Exclude<Discovery, 'auto'>
  readonly connected: boolean
  readonly dtbPath?: string
  /** SHA-256 of the partial device tree, hexadecimal. */
  readonly dtbHash: string
  readonly devices: readonly DeviceView[]
  readonly protocols: readonly number[]
  readonly counters: Counters
  readonly addedAt: string
}

/** How an agent id is known: the channel said so, the platform listed it, the configuration says so, or we made it up. */
export type Provenance = 'discovered' | 'indexed' | 'declared' | 'virtual'
export type AgentState = 'management' | 'free' | 'assigned' | 'quarantined'

export interface AgentView {
  readonly agentId: number
  readonly channel: number
  readonly name?: string
  readonly state: AgentState
  readonly provenance: Provenance
  readonly domain?: string
  readonly domid?: number
  readonly protocols: readonly number[]
  readonly denials: number
  /** Why it is quarantined. */
  readonly reason?: string
}

export interface FirmwareView {
  readonly link: string
  readonly channels: number
  readonly vendor: string
  readonly subVendor?: string
  readonly implementationVersion: number
  readonly protocols: readonly {
    readonly id: number
    readonly name: string
    readonly version: number
    readonly resources?: number
  }[]
  readonly agents: number
  /** Whether BASE_SET_DEVICE_PERMISSIONS is there. */
  readonly permissionCommands: boolean
  /** Whether the firmware was seen to refuse what was not granted. */
  readonly enforcement: 'enforced' | 'not-enforced' | 'unknown'
}

export interface InfoView {
  readonly version: string
  readonly pid: number
  readonly startedAt: string
  readonly socket: string
  readonly config?: string
  readonly host?: string
  readonly firmware: FirmwareView
  readonly domains: number
  readonly agents: { readonly free: number; readonly assigned: number; readonly quarantined: number }
  readonly audit: { readonly path: string; readonly records: number; readonly lost: number }
}

/** `ok`: all is well. `degraded`: it serves, but something wants a look, told in `problems`. */
export interface StatusView {
  readonly state: 'ok' | 'degraded'
  readonly problems: readonly string[]
}

export interface AuditState {
  readonly records: number
  readonly path: string
  /** Number and hash of the last record: a log that does not reach it was cut off. */
  readonly head: { readonly sequence: number; readonly hash: string }
}

export interface PermissionCommand {
  readonly agentId: number
  readonly deviceId: number
  readonly allow: boolean
}

/** What a modifying command did, or with `dryRun` would do. */
export interface Outcome {
  readonly dryRun: boolean
  readonly domain: string
  readonly agentId: number
  /** What was or would be asked of the firmware. */
  readonly permissionCommands: readonly PermissionCommand[]
  readonly granted: readonly {
    readonly node: string
    readonly protocol: number
    readonly id: number
    readonly namespace?: number
    readonly property: string
  }[]
  readonly revoked: readonly {
    readonly node: string
    readonly protocol: number
    readonly id: number
    readonly namespace?: number
    readonly property: string
  }[]
  readonly problems: Plan['problems']
}

/** A domain of the hypervisor as the toolstack sees it: on its way through the gate, or what became of it. */
export interface GatedDomainView {
  readonly domid: number
  readonly uuid: string
  readonly name?: string
  readonly state: 'arriving' | 'granting' | 'served' | 'denied' | 'unmanaged' | 'leaving'
  /** Paused by this daemon. */
  readonly held: boolean
  /** Why it is denied. */
  readonly reason?: string
  readonly agentId?: number
  /** The partial device tree: where it came from, and the SHA-256 of what was read there. */
  readonly dtbPath?: string
  readonly dtbHash?: string
  /** Host nodes that its configuration passes through by `dtdev=`. */
  readonly dtdevs: readonly string[]
}

/** What the control API asks of a toolstack. Domains are named by name or domid. */
export interface ToolstackGate {
  gated(): readonly GatedDomainView[]
  hold(domain: string): Promise<GatedDomainView>
  release(domain: string): Promise<GatedDomainView>
  /** `configuration`: libxl's JSON, as `xl -N create` prints it. */
  preflight(configuration: string): Promise<Outcome>
}

/** What releasing a quarantined agent did, or with `dryRun` would do. */
export interface AgentRelease {
  readonly dryRun: boolean
  readonly agentId: number
  /** Why it was quarantined. */
  readonly reason: string
  /** Why it could not be proven clean, where it was released on the operator's word. */
  readonly unproven?: string
}

/** Everything the control API can ask of the daemon. Refusals are MediatorErrors. */
export interface Daemon {
  info(): InfoView
  status(): StatusView
  domains(): readonly DomainView[]
  /** By name or domid; DOMAIN_UNKNOWN. */
  domain(name: string): DomainView
  agents(): readonly AgentView[]
  devices(domain?: string): readonly DeviceView[]
  /** All permission commands that went out since start, in order. */
  permissionCommands(): readonly PermissionCommand[]
  addDomain(asked: AskedDomain, options: { dryRun: boolean }): Promise<Outcome>
  removeDomain(name: string, options: { dryRun: boolean }): Promise<Outcome>
  /** `device`: a node path of the host tree, its last component, or an SCMI device id. */
  attachDevice(domain: string, device: string, options: { dryRun: boolean }): Promise<Outcome>
  detachDevice(domain: string, device: string, options: { dryRun: boolean }): Promise<Outcome>
  /** Frees a quarantined agent: swept and proven clean, or with `unproven` on the operator's word. AGENT_BUSY, FIRMWARE_REFUSED. */
  releaseAgent(agentId: number, options: { dryRun: boolean; unproven: boolean }): Promise<AgentRelease>
  /** The audit log after all that is in the ring has been written, and the head its chain has then. */
  flushAudit(): Promise<AuditState>
  /** NOT_SUPPORTED, as the three below it, where the daemon follows no toolstack. */
  gatedDomains(): readonly GatedDomainView[]
  holdDomain(name: string): Promise<GatedDomainView>
  releaseDomain(name: string): Promise<GatedDomainView>
  preflight(configuration: string): Promise<Outcome>
}
