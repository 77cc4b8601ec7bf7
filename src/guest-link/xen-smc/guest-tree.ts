// The device tree that a domain was started with, read from its own memory. Reads only; changing it is conduit.ts's.
import { type DeviceTree, readDeviceTree } from '../../dt/fdt.ts'
import { maxBlobBytes } from '../../dt/fdt-header.ts'
import { MediatorError } from '../../errors.ts'
import { ForeignPage } from '../../native/foreign-page.ts'
import { pageBytes, type Xen } from '../../native/libxen.ts'
import { ENODATA } from '../../native/linux.ts'
import { VcpuContext } from '../../native/vcpu-context.ts'
import { checkedXen } from '../../native/xen-domains.ts'

/** A guest's tree and where it lies. */
export interface GuestTree {
  /** Guest-physical address of the blob. */
  readonly address: number
  readonly blob: Uint8Array
  readonly tree: DeviceTree
}

const magicBytes = [0xd0, 0x0d, 0xfe, 0xed]

/**
 * Reads the tree that x0 of vCPU 0 points to, as arm64's boot protocol has it. Only before the guest has run, and while
 * it is paused. DTB_REFUSED when there is none, or the guest is a 32-bit one; DTB_MALFORMED; XEN_REFUSED.
 */
export function readGuestTree(xen: Xen, domid: number): GuestTree {
  const context = new VcpuContext()
  try {
    readStart(xen, domid, context)
    const address = context.x0
    const blob = readBlob(xen, domid, address)
    return { address, blob, tree: readDeviceTree(blob, `domain ${domid}'s memory`) }
  } finally {
    context.release()
  }
}

/** Refuses a guest that has not run and is a 32-bit one. Later none can be told by its state. */
export function refuse32Bit(xen: Xen, domid: number): void {
  const context = new VcpuContext()
  try {
    readStart(xen, domid, context)
  } finally {
    context.release()
  }
}

/** Whether the domain is still being built: its vCPU 0 has no context yet, and cannot run. */
export function isBeingBuilt(xen: Xen, domid: number): boolean {
  const context = new VcpuContext()
  try {
    return context.read(xen, domid, 0) === -ENODATA
  } finally {
    context.release()
  }
}

/** Reads vCPU 0 of a guest that has not run, which must not begin in 32-bit state. DTB_REFUSED, XEN_REFUSED. */
function readStart(xen: Xen, domid: number, context: VcpuContext): void {
  checkedXen('xc_vcpu_getcontext', domid, context.read(xen, domid, 0))
  if (context.is32Bit)
    throw new MediatorError(
      'DTB_REFUSED',
      `domain ${domid} is a 32-bit guest: its PSCI cannot be served by SMC`,
    )
}

function readBlob(xen: Xen, domid: number, address: number): Uint8Array {
  const absent = (): MediatorError =>
    new MediatorError(
      'DTB_REFUSED',
      `domain ${domid} has no device tree at 0x${address.toString(16)} (x0 of vCPU 0): it has run already, or is none that boots by device tree`,
    )
  if (address === 0 || address % 8 !== 0 || address >= 2 ** 48) throw absent()
  const header = new Uint8Array(8)
  if (copyOut(xen, domid, address, header) < 0) throw absent()
  if (magicBytes.some((byte, i) => header[i] !== byte)) throw absent()
  const size = new DataView(header.buffer).getUint32(4)
  if (size > maxBlobBytes)
    throw new MediatorError(
      'DTB_MALFORMED',
      `domain ${domid}'s device tree has ${size} bytes, above ${maxBlobBytes}`,
    )
  const blob = new Uint8Array(size)
  checkedXen('xenforeignmemory_map', domid, copyOut(xen, domid, address, blob))
  return blob
}

/** Copies guest memory from `address` on; 0 or -errno. */
function copyOut(xen: Xen, domid: number, address: number, to: Uint8Array): number {
  for (let done = 0; done < to.length; ) {
    const from = address + done
    const offset = from % pageBytes
    const page = ForeignPage.map(xen, domid, (from - offset) / pageBytes)
    if (typeof page === 'number') return page
    page.flush()
    const bytes = new Uint8Array(page.buffer).subarray(offset)
    const taken = Math.min(bytes.length, to.length - done)
    to.set(bytes.subarray(0, taken), done)
    page.close()
    done += taken
  }
  return 0
}
