// The page that a guest shares with us: mapped, and put there first where the guest has none. What is said in it is the
// link's matter.

import { MediatorError } from '../../errors.ts'
import { ForeignPage } from '../../native/foreign-page.ts'
import { pageBytes, type Xen } from '../../native/libxen.ts'
import { errnoName } from '../../native/linux.ts'
import { checkedXen } from '../../native/xen-domains.ts'
import { SharedMemoryArea } from '../../scmi/shmem.ts'
import type { AddressRange } from '../guest-link.ts'
import type { MonitorJournal } from './journal.ts'
import { placeOf } from './page-place.ts'

/** Where a guest's tree has its shared memory. */
export interface SharedPlace {
  readonly domid: number
  readonly shmem: AddressRange
  /** Registers passed through, on which it must not lie. */
  readonly devices: readonly AddressRange[]
}

export interface SharedPage {
  readonly page: ForeignPage
  /** Its frame if it was put there, now or before; else -1. */
  readonly put: number
}

/**
 * Maps the page; where it lies in a hole it is put there, zeroed. `put`: the frame that was put there before, or -1.
 * DTB_REFUSED when something else lies there, or nothing where RAM should be; XEN_REFUSED.
 */
export function openSharedPage(
  xen: Xen,
  { domid, shmem, devices }: SharedPlace,
  put: number,
  journal: MonitorJournal,
): SharedPage {
  const gfn = Math.floor(shmem.start / pageBytes)
  const place = placeOf(shmem, devices)
  const there = ForeignPage.map(xen, domid, gfn)
  if (typeof there !== 'number') {
    if (place === 'ram' || put === gfn) return { page: there, put }
    there.close()
    throw new MediatorError(
      'DTB_REFUSED',
      `domain ${domid} has something at 0x${shmem.start.toString(16)} already, where its shared memory would go`,
    )
  }
  if (place === 'ram')
    throw new MediatorError(
      'DTB_REFUSED',
      `domain ${domid} has no memory at 0x${shmem.start.toString(16)}, where its tree has shared memory (${errnoName(there)})`,
    )
  journal.plan(gfn)
  checkedXen('xc_domain_populate_physmap_exact', domid, xen.populate(domid, gfn))
  const page = ForeignPage.mapped(xen, domid, gfn)
  new Uint8Array(page.buffer).fill(0)
  return { page, put: gfn }
}

/**
 * Gives a guest that is not served the page that its tree names, free and with nobody behind it: Linux's driver dies of
 * an area that is not there, and takes the guest with it. DTB_REFUSED, XEN_REFUSED.
 */
export function provideSharedPage(xen: Xen, place: SharedPlace, journal: MonitorJournal): void {
  const { page } = openSharedPage(xen, place, journal.load()?.page ?? -1, journal)
  try {
    new SharedMemoryArea(page.buffer, place.shmem.start % pageBytes, place.shmem.size).open()
    page.flush()
  } finally {
    page.close()
  }
}
