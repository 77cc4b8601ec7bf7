// The daemon's configuration: read, checked across properties, paths made absolute. It opens no other file.
import { dirname, resolve } from 'node:path'
import { errorText, MediatorError } from '../errors.ts'
import { socketMode, socketOwner, type WrittenAccess } from './accounts.ts'
import { type ConfiguredFirmware, firmwareProblems, identityProblems, resolvedFirmware } from './firmware.ts'
import type { Discovery } from './names.ts'
import { type DirectoryOverrides, maxSocketPathBytes } from './paths.ts'
import { ScmidSchema, type WrittenConfig } from './scmid-schema.ts'
import { type Problem, readYamlFile } from './yaml-file.ts'

/** Where a guest's frames come from. */
export type ConfiguredLink =
  | { readonly kind: 'trap-socket'; readonly path: string; readonly smcId?: number }
  | { readonly kind: 'message-socket'; readonly path: string }
  | ({
      readonly kind: 'vhost-user'
      /** Only where the daemon listens it may be absent: the socket is the domain's in the run directory then. */
      readonly path?: string
      readonly role: 'server' | 'client'
    } & WrittenAccess)
  | {
      readonly kind: 'xen-smc'
      readonly uuid?: string
      readonly conduit?: 'smc' | 'psci' | 'off'
      readonly leaveArmed?: boolean
      readonly smcId?: number
    }

/** A domain to add at start. */
export interface ConfiguredDomain {
  readonly name: string
  readonly domid?: number
  /** Absolute path of its partial device tree. */
  readonly dtb: string
  readonly agentId?: number
  /** Whose ids its guest sees; `auto` when absent. */
  readonly discovery?: Discovery
  readonly link: ConfiguredLink
  /** SCMI release that it is shown, and versions of single protocols by key. */
  readonly release?: '1.0' | '2.0' | '3.0' | '3.1' | '3.2'
  readonly versions?: Readonly<Record<string, string>>
}

/** The daemon's configuration: defaults applied, every path absolute. */
export interface ScmidConfig {
  /** The file it came from. */
  readonly file: string
  /** The host's device tree blob. */
  readonly host: string
  readonly firmware: ConfiguredFirmware
  readonly guests: {
    /** Largest frame of a guest, header and payload, in bytes. */
    readonly maxMessageBytes: number
    /** Function id that trap-socket guests call, unless their domain says otherwise. */
    readonly smcId: number
    /** What becomes of a vhost-user guest's memory that is not sealed against shrinking. */
    readonly unsealedMemory: 'copy' | 'refuse'
    /** How long events are looked for before the relay sleeps, while they come that densely; 0 for never. */
    readonly spinMicros: number
  }
  readonly xen: {
    /** Xen's tool libraries, where not those of the hypervisor that runs. */
    readonly libraries?: {
      readonly xenctrl: string
      readonly xenevtchn: string
      readonly xenforeignmemory: string
    }
    /** Trapped calls of one domain that may follow one another at once, and how many a second from then on. */
    readonly callsAtOnce: number
    readonly callsPerSecond: number
  }
  readonly audit: {
    /** Whether queries that were allowed are recorded too. */
    readonly queries: boolean
    /** Records in flight that each guest may have before it is answered BUSY. */
    readonly recordsPerGuest: number
    readonly maxFileBytes: number
    /** Rotated files to keep. */
    readonly files: number
  }
  readonly log: { readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent' }
  readonly directories: DirectoryOverrides
  readonly domains: readonly ConfiguredDomain[]
  /** Where domains come from, if not from the operator alone. */
  readonly toolstack: ConfiguredToolstack
}

/** Xen's domains, followed through xenstore and libxl's files. */
export interface ConfiguredToolstack {
  readonly kind: 'none' | 'xen'
  /** xenstored's socket or the kernel's device; the usual one where it is left out. */
  readonly xenstore?: string
  /** Where libxl keeps its userdata. */
  readonly userdata: string
  /** What becomes of a domain that ran before it could be held, and of one that is refused what it asks for. */
  readonly late: 'deny' | 'destroy'
  readonly refused: 'deny' | 'destroy'
  /** Milliseconds that a domain is held for its configuration. */
  readonly configurationMs: number
  /** Who sees to guests' PSCI calls, and whether their calls outlive the daemon; a domain of the list may differ. */
  readonly conduit: 'smc' | 'psci' | 'off'
  readonly leaveArmed: boolean
  readonly domains: readonly {
    readonly name: string
    readonly agentId?: number
    readonly conduit?: 'smc' | 'psci' | 'off'
    readonly leaveArmed?: boolean
    readonly smcId?: number
  }[]
}

/**
 * Reads the configuration at `path`. Throws CONFIG_INVALID with a line for each fault (file:line:column, property,
 * what was expected), AGENT_MISMATCH when all that is wrong is an identity that stands twice.
 */
export function parseConfig(path: string): ScmidConfig {
  const file = readYamlFile(path, ScmidSchema)
  const folder = dirname(resolve(path))
  const absolute = (name: string): string => resolve(folder, name)
  const others = [...firmwareProblems(file.value.firmware, absolute), ...domainProblems(file.value, absolute)]
  const identities = identityProblems(file)
  if (others.length > 0) throw file.refusal([...others, ...identities])
  if (identities.length > 0) {
    const { message } = file.refusal(identities)
    throw new MediatorError('AGENT_MISMATCH', message, { path })
  }
  const { host, firmware, guests, xen, audit, log, directories, toolstack } = file.value
  return {
    file: resolve(path),
    host: absolute(host),
    firmware: resolvedFirmware(firmware, absolute),
    guests,
    xen,
    audit,
    log,
    directories: Object.fromEntries(Object.entries(directories).map(([key, name]) => [key, absolute(name)])),
    domains: file.value.domains.map(domain => resolved(domain, absolute)),
    toolstack: resolvedToolstack(toolstack, absolute),
  }
}

function resolvedToolstack(
  { xenstore, userdata, ...rest }: WrittenConfig['toolstack'],
  absolute: (name: string) => string,
): ConfiguredToolstack {
  return {
    ...rest,
    userdata: absolute(userdata),
    ...(xenstore === undefined ? {} : { xenstore: absolute(xenstore) }),
  }
}

function resolved(
  domain: WrittenConfig['domains'][number],
  absolute: (name: string) => string,
): ConfiguredDomain {
  const { trapSocket, messageSocket, vhostUser, xen, smcId, dtb, ...rest } = domain
  return { ...rest, dtb: absolute(dtb), link: linkOf(domain, absolute) }
}

function linkOf(
  { trapSocket, messageSocket, vhostUser, xen, smcId }: WrittenConfig['domains'][number],
  absolute: (name: string) => string,
): ConfiguredLink {
  if (trapSocket !== undefined)
    return { kind: 'trap-socket', path: absolute(trapSocket), ...(smcId === undefined ? {} : { smcId }) }
  if (xen !== undefined) return { kind: 'xen-smc', ...xen, ...(smcId === undefined ? {} : { smcId }) }
  if (vhostUser === undefined) return { kind: 'message-socket', path: absolute(messageSocket ?? '') }
  const { path, role, mode, owner } = vhostUser
  return {
    kind: 'vhost-user',
    ...(path === undefined ? {} : { path: absolute(path) }),
    role,
    ...(mode === undefined ? {} : { mode: socketMode(mode) }),
    ...(owner === undefined ? {} : socketOwner(owner)),
  }
}

/** The keys of which a domain has one. */
const linkKeys = ['trapSocket', 'messageSocket', 'vhostUser', 'xen'] as const

function ownerProblems(owner: string, path: (string | number)[]): Problem[] {
  try {
    socketOwner(owner)
    return []
  } catch (error) {
    return [{ path, text: errorText(error) }]
  }
}

function domainProblems({ domains, firmware }: WrittenConfig, absolute: (name: string) => string): Problem[] {
  const problems: Problem[] = []
  const once = { name: new Set(), domid: new Set(), agentId: new Set(), socket: new Set() }
  for (const [i, domain] of domains.entries()) {
    const at = ['domains', i]
    const { name, domid, agentId, trapSocket, xen, smcId } = domain
    const [linkKey = 'messageSocket', second] = linkKeys.filter(key => domain[key] !== undefined)
    if (second !== undefined)
      problems.push({ path: [...at, second], text: `a domain has one link, and ${linkKey} is there too` })
    const { vhostUser } = domain
    const socket = vhostUser?.path ?? trapSocket ?? domain.messageSocket
    if (socket === undefined && vhostUser === undefined && xen === undefined)
      problems.push({ path: at, text: 'has no link; expected trapSocket, messageSocket, vhostUser or xen' })
    if (xen !== undefined && domid === undefined)
      problems.push({ path: [...at, 'xen'], text: 'goes with domid: that is how Xen knows the domain' })
    if (vhostUser?.role === 'client' && vhostUser.path === undefined)
      problems.push({
        path: [...at, 'vhostUser'],
        text: 'role: client goes with path: where the front end listens',
      })
    if (vhostUser?.role === 'client' && (vhostUser.mode ?? vhostUser.owner) !== undefined)
      problems.push({
        path: [...at, 'vhostUser', vhostUser.mode === undefined ? 'owner' : 'mode'],
        text: "goes with role: server; the socket is the front end's",
      })
    if (vhostUser?.owner !== undefined)
      problems.push(...ownerProblems(vhostUser.owner, [...at, 'vhostUser', 'owner']))
    if (trapSocket === undefined && xen === undefined && smcId !== undefined)
      problems.push({ path: [...at, 'smcId'], text: 'goes with trapSocket or xen; no other link has one' })
    const bytes = socket === undefined ? 0 : Buffer.byteLength(absolute(socket))
    if (bytes > maxSocketPathBytes)
      problems.push({
        path: [...at, linkKey],
        text: `a Unix socket's path may have ${maxSocketPathBytes} bytes, this has ${bytes}`,
      })
    const own: [string, keyof typeof once, string | number | undefined][] = [
      ['name', 'name', name],
      ['domid', 'domid', domid],
      ['agentId', 'agentId', agentId],
      [linkKey, 'socket', socket],
    ]
    for (const [property, kind, value] of own) {
      if (value === undefined) continue
      if (once[kind].has(value))
        problems.push({ path: [...at, property], text: `another domain has ${value}` })
      once[kind].add(value)
    }
    if (agentId !== undefined && agentId === firmware.management?.agentId)
      problems.push({ path: [...at, 'agentId'], text: `${agentId} is the management agent's` })
  }
  return problems
}
