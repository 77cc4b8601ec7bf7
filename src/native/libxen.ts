// Xen's tool interface as one thread has it: each call gives a result >= 0 or -errno. No policy, no objects per call.
import { errno } from 'koffi'
import { MediatorError } from '../errors.ts'
import { viewMemory } from './libc.ts'
import { EACCES, ENOENT, EPERM, errnoName, PROT_READ, PROT_WRITE } from './linux.ts'
import { NativeMemory } from './native-memory.ts'
import { loadXenLibraries, runningLibraries, type XenFunctions, type XenLibraries } from './xen-libraries.ts'

/** Bytes of a page of guest memory on Arm. */
export const pageBytes = 4096
/** Bytes of `vcpu_guest_context_any_t` on arm64 (xen/include/public/arch-arm.h). */
export const vcpuContextBytes = 352

const orErrno = (result: number): number => (result === -1 ? -errno() : result)

/** Room for the words that a call takes or gives by address; `xc_domaininfo_t` is the largest. */
const scratchBytes = 256

/** libxenctrl and libxenforeignmemory, opened. Each thread opens its own. */
export class Xen {
  readonly functions: XenFunctions
  /** The memory that calls read from and write to by address. */
  readonly scratch = NativeMemory.allocate(scratchBytes)
  readonly #control: number
  readonly #memory: number
  #open = true

  private constructor(functions: XenFunctions, control: number, memory: number) {
    this.functions = functions
    this.#control = control
    this.#memory = memory
  }

  /** Loads the libraries, those of the running hypervisor unless told, and opens them. XEN_UNAVAILABLE, XEN_REFUSED. */
  static open(libraries: XenLibraries = runningLibraries()): Xen {
    const functions = loadXenLibraries(libraries)
    const control = functions.xc_interface_open(0, 0, 0)
    if (control === 0) throw unopened('xc_interface_open', errno())
    const memory = functions.xenforeignmemory_open(0, 0)
    if (memory === 0) {
      const error = errno()
      functions.xc_interface_close(control)
      throw unopened('xenforeignmemory_open', error)
    }
    return new Xen(functions, control, memory)
  }

  /** Writes `xc_domaininfo_t` of the first domain with an id of at least `first` to `scratch`: 1, 0 for none, -errno. */
  domainInfo(first: number): number {
    return orErrno(this.functions.xc_domain_getinfolist(this.#control, first, 1, this.scratch.address))
  }
  /** Writes `xc_vcpuinfo_t` of a vCPU to `scratch`. */
  vcpuInfo(domid: number, vcpu: number): number {
    return orErrno(this.functions.xc_vcpu_getinfo(this.#control, domid, vcpu, this.scratch.address))
  }

  /** Pauses are counted: each wants its unpause. */
  pause(domid: number): number {
    return orErrno(this.functions.xc_domain_pause(this.#control, domid))
  }
  unpause(domid: number): number {
    return orErrno(this.functions.xc_domain_unpause(this.#control, domid))
  }
  destroy(domid: number): number {
    return orErrno(this.functions.xc_domain_destroy(this.#control, domid))
  }
  /** Shuts a domain down as if it had asked for it; `reason` as SHUTDOWN_ in xen/include/public/sched.h. */
  shutdown(domid: number, reason: number): number {
    return orErrno(this.functions.xc_domain_shutdown(this.#control, domid, reason))
  }

  /** Copies a vCPU's context, `vcpuContextBytes`, to native memory at `to`. -ENODATA before it was ever started. */
  getContext(domid: number, vcpu: number, to: number): number {
    return orErrno(this.functions.xc_vcpu_getcontext(this.#control, domid, vcpu, to))
  }
  /** Gives a vCPU the context at `from`. Xen pauses the whole domain for it. */
  setContext(domid: number, vcpu: number, from: number): number {
    return orErrno(this.functions.xc_vcpu_setcontext(this.#control, domid, vcpu, from))
  }

  /** Gives a domain one more page, at a guest frame number below 2^52. What was there is lost: look before. */
  populate(domid: number, gfn: number): number {
    this.#putFrame(gfn)
    return orErrno(
      this.functions.xc_domain_populate_physmap_exact(this.#control, domid, 1, 0, 0, this.scratch.address),
    )
  }
  /** Cleans and invalidates the caches for one page; nothing on machines that need none. */
  cacheFlush(domid: number, gfn: number): number {
    return orErrno(this.functions.xc_domain_cacheflush(this.#control, domid, gfn, 1))
  }

  /** Enables the monitor ring of a domain: its address here, or -errno; the event channel's remote port in `scratch`. */
  monitorEnable(domid: number): number {
    const address = this.functions.xc_monitor_enable(this.#control, domid, this.scratch.address)
    return address === 0 ? -errno() : address
  }
  monitorDisable(domid: number): number {
    return orErrno(this.functions.xc_monitor_disable(this.#control, domid))
  }
  /** Bits of XEN_DOMCTL_MONITOR_EVENT_ that the hypervisor has, in `scratch`. */
  monitorCapabilities(domid: number): number {
    return orErrno(this.functions.xc_monitor_get_capabilities(this.#control, domid, this.scratch.address))
  }
  /** Whether the domain's SMCs go to the monitor. -EEXIST when that is so already. */
  monitorPrivilegedCalls(domid: number, on: boolean): number {
    return orErrno(this.functions.xc_monitor_privileged_call(this.#control, domid, on ? 1 : 0))
  }

  /** Maps one page of a domain for reading and writing: its address, or -errno. */
  mapPage(domid: number, gfn: number): number {
    this.#putFrame(gfn)
    const { scratch } = this
    scratch.ints[2] = 0
    const address = this.functions.xenforeignmemory_map(
      this.#memory,
      domid,
      PROT_READ | PROT_WRITE,
      1,
      scratch.address,
      scratch.address + 8,
    )
    if (address === 0) return -errno()
    const error = scratch.ints[2] as number
    if (error === 0) return address
    this.unmapPage(address)
    return error < 0 ? error : -error
  }
  /** Ends a mapping of one page. A view of it that is still used kills the process. */
  unmapPage(address: number): number {
    return orErrno(this.functions.xenforeignmemory_unmap(this.#memory, address, 1))
  }

  /** Closes both libraries; what was mapped stays mapped. Twice is once. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.functions.xenforeignmemory_close(this.#memory)
    this.functions.xc_interface_close(this.#control)
    this.scratch.release()
  }

  #putFrame(gfn: number): void {
    this.scratch.words[0] = gfn
    this.scratch.words[1] = Math.floor(gfn / 2 ** 32)
  }
}

/** A view of one mapped page. */
export const viewPage = (address: number): ArrayBuffer => viewMemory(address, pageBytes)

function unopened(call: string, error: number): MediatorError {
  const why =
    error === ENOENT
      ? 'no Xen runs here, or its devices below /dev/xen are absent'
      : error === EACCES || error === EPERM
        ? 'only root of the control domain may speak to Xen'
        : 'the hypervisor cannot be spoken to'
  return new MediatorError('XEN_UNAVAILABLE', `${call}: ${errnoName(error)}: ${why}`)
}
