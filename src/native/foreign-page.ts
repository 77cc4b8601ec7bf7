// One page of a domain's memory, mapped here. It knows bytes and caches, not what lies in the page.
//
// The guest may map the same page as device memory, past the caches: `flush` before reading and after writing. Whoever
// holds a view gives it up before `close`, for a mapping that is gone is SIGSEGV.
import { pageBytes, viewPage, type Xen } from './libxen.ts'
import { checkedXen } from './xen-domains.ts'

const nothing = new ArrayBuffer(pageBytes)

export class ForeignPage {
  readonly domid: number
  readonly gfn: number
  /** The page; zeros of no consequence once it is closed. */
  buffer: ArrayBuffer
  readonly #xen: Xen
  #address: number

  private constructor(xen: Xen, domid: number, gfn: number, address: number) {
    this.#xen = xen
    this.domid = domid
    this.gfn = gfn
    this.#address = address
    this.buffer = viewPage(address)
  }

  /** Maps page `gfn` of a domain, or gives -errno. */
  static map(xen: Xen, domid: number, gfn: number): ForeignPage | number {
    const address = xen.mapPage(domid, gfn)
    return address < 0 ? address : new ForeignPage(xen, domid, gfn, address)
  }

  /** Maps a page that must be there. XEN_REFUSED, DOMAIN_UNKNOWN. */
  static mapped(xen: Xen, domid: number, gfn: number): ForeignPage {
    const address = checkedXen('xenforeignmemory_map', domid, xen.mapPage(domid, gfn))
    return new ForeignPage(xen, domid, gfn, address)
  }

  /** Writes back and drops what caches hold of the page: 0 or -errno. */
  flush(): number {
    return this.#xen.cacheFlush(this.domid, this.gfn)
  }

  /** Unmaps. Twice is once. */
  close(): void {
    if (this.#address === 0) return
    this.buffer = nothing
    this.#xen.unmapPage(this.#address)
    this.#address = 0
  }
}
