// Which of Xen's tool libraries belong to the hypervisor that runs, loaded and typed. It calls none of their functions.
//
// Prototypes as in tools/include/xenctrl.h, xenevtchn.h and xenforeignmemory.h. Handles and addresses are plain numbers,
// as everywhere in native/: a call then allocates nothing.
import { readFileSync } from 'node:fs'
import { load } from 'koffi'
import { errorText, MediatorError } from '../errors.ts'

/** What to load, by name or absolute path. One library may serve for all three, as a stand-in for tests does. */
export interface XenLibraries {
  readonly xenctrl: string
  readonly xenevtchn: string
  readonly xenforeignmemory: string
}

const versionDirectory = '/sys/hypervisor/version'

/** `4.20`, from sysfs. XEN_UNAVAILABLE where no Xen runs. */
export function hypervisorVersion(directory = versionDirectory): string {
  try {
    const part = (name: string): string => readFileSync(`${directory}/${name}`, 'utf8').trim()
    return `${part('major')}.${part('minor')}`
  } catch (cause) {
    throw new MediatorError('XEN_UNAVAILABLE', `no Xen runs here: ${errorText(cause)}`, { cause })
  }
}

/** The libraries of the hypervisor that runs. libxenctrl's soname is per release: its calls carry an interface version. */
export function runningLibraries(version = hypervisorVersion()): XenLibraries {
  return {
    xenctrl: `libxenctrl.so.${version}`,
    xenevtchn: 'libxenevtchn.so.1',
    xenforeignmemory: 'libxenforeignmemory.so.1',
  }
}

const int = 'int'
const u32 = 'uint32_t'
const pfn = 'uint64_t'
const address = 'uintptr_t'

type Call = (...values: number[]) => number
const open = (path: string, name: string, result: string, parameters: string[]): Call =>
  library(path).func(name, result, parameters) as Call

const loaded = new Map<string, ReturnType<typeof load>>()
function library(path: string): ReturnType<typeof load> {
  let found = loaded.get(path)
  if (found === undefined) {
    found = load(path)
    loaded.set(path, found)
  }
  return found
}

/** Every function of the libraries that the product calls. Results are those of C: -1 or 0 with errno set. */
export function loadXenLibraries(names: XenLibraries) {
  try {
    const ctrl = (name: string, result: string, ...parameters: string[]): Call =>
      open(names.xenctrl, name, result, parameters)
    const events = (name: string, result: string, ...parameters: string[]): Call =>
      open(names.xenevtchn, name, result, parameters)
    const memory = (name: string, result: string, ...parameters: string[]): Call =>
      open(names.xenforeignmemory, name, result, parameters)
    return {
      xc_interface_open: ctrl('xc_interface_open', address, address, address, 'unsigned int'),
      xc_interface_close: ctrl('xc_interface_close', int, address),
      xc_domain_getinfolist: ctrl('xc_domain_getinfolist', int, address, u32, 'unsigned int', address),
      xc_vcpu_getinfo: ctrl('xc_vcpu_getinfo', int, address, u32, u32, address),
      xc_domain_pause: ctrl('xc_domain_pause', int, address, u32),
      xc_domain_unpause: ctrl('xc_domain_unpause', int, address, u32),
      xc_domain_destroy: ctrl('xc_domain_destroy', int, address, u32),
      xc_domain_shutdown: ctrl('xc_domain_shutdown', int, address, u32, int),
      xc_vcpu_getcontext: ctrl('xc_vcpu_getcontext', int, address, u32, u32, address),
      xc_vcpu_setcontext: ctrl('xc_vcpu_setcontext', int, address, u32, u32, address),
      xc_domain_populate_physmap_exact: ctrl(
        'xc_domain_populate_physmap_exact',
        int,
        address,
        u32,
        'unsigned long',
        'unsigned int',
        'unsigned int',
        address,
      ),
      xc_domain_cacheflush: ctrl('xc_domain_cacheflush', int, address, u32, pfn, pfn),
      xc_monitor_enable: ctrl('xc_monitor_enable', address, address, u32, address),
      xc_monitor_disable: ctrl('xc_monitor_disable', int, address, u32),
      xc_monitor_get_capabilities: ctrl('xc_monitor_get_capabilities', int, address, u32, address),
      xc_monitor_privileged_call: ctrl('xc_monitor_privileged_call', int, address, u32, 'int'),
      xenevtchn_open: events('xenevtchn_open', address, address, 'unsigned int'),
      xenevtchn_close: events('xenevtchn_close', int, address),
      xenevtchn_fd: events('xenevtchn_fd', int, address),
      xenevtchn_bind_interdomain: events('xenevtchn_bind_interdomain', int, address, u32, u32),
      xenevtchn_unbind: events('xenevtchn_unbind', int, address, u32),
      xenevtchn_pending: events('xenevtchn_pending', int, address),
      xenevtchn_unmask: events('xenevtchn_unmask', int, address, u32),
      xenevtchn_notify: events('xenevtchn_notify', int, address, u32),
      xenforeignmemory_open: memory('xenforeignmemory_open', address, address, 'unsigned int'),
      xenforeignmemory_close: memory('xenforeignmemory_close', int, address),
      xenforeignmemory_map: memory(
        'xenforeignmemory_map',
        address,
        address,
        u32,
        int,
        'size_t',
        address,
        address,
      ),
      xenforeignmemory_unmap: memory('xenforeignmemory_unmap', int, address, address, 'size_t'),
    }
  } catch (cause) {
    throw new MediatorError(
      'XEN_UNAVAILABLE',
      `${names.xenctrl}, ${names.xenevtchn}, ${names.xenforeignmemory}: ${errorText(cause)}; ` +
        "install the tool libraries of the hypervisor's own version",
      { cause },
    )
  }
}

/** The functions of Xen's libraries, bound in this thread. */
export type XenFunctions = ReturnType<typeof loadXenLibraries>
