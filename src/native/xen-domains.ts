// The hypervisor's domains: which there are, how they stand, and the operator's verbs on them. Nothing of what they run.
import { MediatorError } from '../errors.ts'
import { Xen } from './libxen.ts'
import { EACCES, EPERM, ESRCH, errnoName } from './linux.ts'
import type { XenLibraries } from './xen-libraries.ts'

/** SHUTDOWN_ codes of xen/include/public/sched.h, in their order. */
const shutdownReasons = ['poweroff', 'reboot', 'suspend', 'crash', 'watchdog', 'soft-reset'] as const
export type ShutdownReason = (typeof shutdownReasons)[number]

/** A domain as `XEN_DOMCTL_getdomaininfo` tells it. */
export interface DomainInfo {
  readonly domid: number
  /** As libxl writes it: 8-4-4-4-12 hexadecimal digits, lower case. */
  readonly uuid: string
  /** Paused by the toolstack or by us, once or more often. */
  readonly paused: boolean
  /** It is being destroyed: nothing can be done to it any more. */
  readonly dying: boolean
  /** Why it shut down; undefined while it has not. A code this product does not know counts as a crash. */
  readonly shutdown: ShutdownReason | undefined
  /** vCPUs it may have, and those that are up. */
  readonly vcpus: number
  readonly onlineVcpus: number
  /** Time that its vCPUs have run, in nanoseconds: 0 for a domain that was never let go. */
  readonly cpuTimeNs: number
}

const DYING = 1
const SHUTDOWN = 1 << 2
const PAUSED = 1 << 3
/** Where fields of `xc_domaininfo_t` lie, in words; the same from Xen 4.17 on. */
const flagsWord = 1
const cpuTimeWord = 14
const onlineWord = 16
const maxVcpuIdWord = 17
const handleByte = 76
/** Reserved ids begin here; no domain has one of them. */
const firstReservedDomid = 0x7ff0

/** Verbs on domains for the main thread. Each throws XEN_REFUSED with the call, the domain and errno. */
export class XenDomains {
  readonly xen: Xen

  constructor(xen: Xen) {
    this.xen = xen
  }

  /** Opens Xen's libraries, those of the running hypervisor unless told. XEN_UNAVAILABLE. */
  static open(libraries?: XenLibraries): XenDomains {
    return new XenDomains(Xen.open(libraries))
  }

  /** Every domain, the control domain included, by id. */
  list(): readonly DomainInfo[] {
    const found: DomainInfo[] = []
    for (let first = 0; first < firstReservedDomid; ) {
      const info = this.#from(first)
      if (info === undefined) break
      found.push(info)
      first = info.domid + 1
    }
    return found
  }

  /** One domain; undefined when there is none of that id. */
  get(domid: number): DomainInfo | undefined {
    const info = this.#from(domid)
    return info?.domid === domid ? info : undefined
  }

  /** Pauses are counted: a domain runs when each has had its unpause. */
  pause(domid: number): void {
    checkedXen('xc_domain_pause', domid, this.xen.pause(domid))
  }
  unpause(domid: number): void {
    checkedXen('xc_domain_unpause', domid, this.xen.unpause(domid))
  }
  /** Destroys a domain at once. Its toolstack learns of it from xenstore. */
  destroy(domid: number): void {
    checkedXen('xc_domain_destroy', domid, this.xen.destroy(domid))
  }
  /** Marks a domain as shut down for that reason; its toolstack does what the domain's configuration says. */
  shutdown(domid: number, reason: ShutdownReason): void {
    checkedXen('xc_domain_shutdown', domid, this.xen.shutdown(domid, shutdownReasons.indexOf(reason)))
  }

  close(): void {
    this.xen.close()
  }

  #from(first: number): DomainInfo | undefined {
    const { xen } = this
    if (checkedXen('xc_domain_getinfolist', first, xen.domainInfo(first)) === 0) return undefined
    return readDomainInfo(xen)
  }
}

/** The `xc_domaininfo_t` that `Xen.domainInfo` has just written. */
export function readDomainInfo({ scratch }: Xen): DomainInfo {
  const { words, bytes } = scratch
  const word = (at: number): number => words[at] as number
  const flags = word(flagsWord)
  const hex = Array.from(bytes.subarray(handleByte, handleByte + 16), byte =>
    byte.toString(16).padStart(2, '0'),
  ).join('')
  const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  return {
    domid: word(0) & 0xffff,
    uuid,
    paused: (flags & PAUSED) !== 0,
    dying: (flags & DYING) !== 0,
    shutdown: (flags & SHUTDOWN) === 0 ? undefined : (shutdownReasons[(flags >>> 16) & 0xff] ?? 'crash'),
    vcpus: (word(maxVcpuIdWord) + 1) >>> 0,
    onlineVcpus: word(onlineWord),
    cpuTimeNs: word(cpuTimeWord) + word(cpuTimeWord + 1) * 2 ** 32,
  }
}

/** `result` when it is none of an error; else XEN_REFUSED, or DOMAIN_UNKNOWN for a domain that is not there. */
export function checkedXen(call: string, domid: number, result: number): number {
  if (result >= 0) return result
  if (result === -ESRCH) throw new MediatorError('DOMAIN_UNKNOWN', `${call}: Xen has no domain ${domid}`)
  const why =
    result === -EACCES
      ? ': the libraries are of another release than the hypervisor'
      : result === -EPERM
        ? ": the hypervisor's security policy does not allow it"
        : ''
  throw new MediatorError('XEN_REFUSED', `${call} of domain ${domid}: ${errnoName(result)}${why}`)
}
