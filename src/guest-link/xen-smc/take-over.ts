// Takes a Xen domain over, or a former run's place at it: its page, its conduit, its monitor. What it then calls for is
// the link's matter.
import { MediatorError } from '../../errors.ts'
import type { ForeignPage } from '../../native/foreign-page.ts'
import { pageBytes } from '../../native/libxen.ts'
import { ringPlaces } from '../../native/monitor-ring.ts'
import { checkedXen, type DomainInfo, readDomainInfo } from '../../native/xen-domains.ts'
import { SharedMemoryArea } from '../../scmi/shmem.ts'
import { setSmcConduit } from './conduit.ts'
import { readGuestTree, refuse32Bit } from './guest-tree.ts'
import { MonitorJournal } from './journal.ts'
import { DomainMonitor } from './monitor.ts'
import type { XenSmcOptions } from './options.ts'
import { openSharedPage } from './shared-page.ts'

/** What a link has of its domain. */
export interface TakenDomain {
  readonly uuid: string
  readonly vcpus: number
  readonly page: ForeignPage
  readonly area: SharedMemoryArea
  readonly monitor: DomainMonitor
}

/**
 * Puts the domain's page there, sets its conduit and enables its monitor; the domain is paused meanwhile. Throws
 * XEN_REFUSED, DOMAIN_UNKNOWN, DTB_REFUSED, DTB_MALFORMED, NOT_SUPPORTED; the domain is then as it was, but for the
 * page.
 */
export function takeOver(options: XenSmcOptions, maxMessageBytes: number): TakenDomain {
  const { xen, domid, conduit } = options
  const info = checkedInfo(options)
  checkedXen('xc_domain_pause', domid, xen.pause(domid))
  try {
    const journal = new MonitorJournal(options.journal, domid, info.uuid)
    if (conduit === 'psci' && info.cpuTimeNs === 0) refuse32Bit(xen, domid)
    return arm(options, info, journal, maxMessageBytes)
  } finally {
    xen.unpause(domid)
  }
}

function checkedInfo({ xen, domid, uuid }: XenSmcOptions): DomainInfo {
  const found = checkedXen('xc_domain_getinfolist', domid, xen.domainInfo(domid))
  const info = readDomainInfo(xen)
  if (found === 0 || info.domid !== domid || info.dying)
    throw new MediatorError('DOMAIN_UNKNOWN', `Xen has no domain ${domid}, or it is being destroyed`)
  if (uuid !== undefined && uuid !== info.uuid) throw another(domid)
  if (info.vcpus > ringPlaces)
    throw new MediatorError(
      'NOT_SUPPORTED',
      `domain ${domid} has ${info.vcpus} vCPUs; by SMC a guest of at most ${ringPlaces} can be served`,
    )
  return info
}

function arm(
  { xen, domid, conduit, shmem, devices = [], returning = false }: XenSmcOptions,
  { uuid, vcpus }: DomainInfo,
  journal: MonitorJournal,
  maxMessageBytes: number,
): TakenDomain {
  const before = journal.load()
  if (before === undefined && returning) throw another(domid)
  const { page, put } = openSharedPage(xen, { domid, shmem, devices }, before?.page ?? -1, journal)
  try {
    let conduitSet = before?.conduitSet ?? false
    if (conduit === 'smc' && !conduitSet) {
      setSmcConduit(xen, domid, readGuestTree(xen, domid))
      conduitSet = true
    }
    const monitor = DomainMonitor.open(xen, domid, vcpus, journal, { page: put, conduitSet })
    const area = new SharedMemoryArea(page.buffer, shmem.start % pageBytes, shmem.size, maxMessageBytes)
    if (!monitor.recovered) area.open()
    page.flush()
    return { uuid, vcpus, page, area, monitor }
  } catch (error) {
    page.close()
    throw error
  }
}

const another = (domid: number): MediatorError =>
  new MediatorError('DOMAIN_UNKNOWN', `domain ${domid} of now is another one than was to be served`)
