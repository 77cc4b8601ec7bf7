// Makes a stock guest call by SMC: `/psci` property `method` of its own tree, hvc to smc, and nothing else of it.
//
// Linux's SCMI driver calls by whatever conduit PSCI has (drivers/firmware/psci/psci.c), libxl writes "hvc" for every
// guest, and only an SMC reaches the monitor. The value keeps its length, so that no other byte of the blob moves.
import type { DeviceNode } from '../../dt/fdt.ts'
import { stringList, walk } from '../../dt/node.ts'
import { MediatorError } from '../../errors.ts'
import { ForeignPage } from '../../native/foreign-page.ts'
import { pageBytes, type Xen } from '../../native/libxen.ts'
import { checkedXen } from '../../native/xen-domains.ts'
import type { GuestTree } from './guest-tree.ts'

/** Where in the blob the method stands; undefined when it is "smc" already. DTB_REFUSED where it cannot be changed. */
function psciMethod({ tree }: GuestTree): number | undefined {
  const refuse = (text: string): MediatorError => new MediatorError('DTB_REFUSED', `${tree.file}: ${text}`)
  for (const node of walk(tree.root))
    if (hasCompatible(node, 'xen,guest-acpi'))
      throw refuse(`${node.path}: the guest is given ACPI tables, which tell it to call by HVC`)
  const psci = tree.root.children.get('psci')
  if (psci === undefined) throw refuse('has no node /psci')
  const method = psci.properties.get('method')
  if (method === undefined) throw refuse('/psci has no property method')
  const text = String.fromCharCode(...method.value)
  if (text === 'smc\0') return undefined
  if (text !== 'hvc\0') throw refuse(`/psci property method is ${JSON.stringify(text)}, not "hvc"`)
  return method.offset
}

/** Writes "smc" over the method of a paused guest that has not run, and back to memory. Whether anything was changed. */
export function setSmcConduit(xen: Xen, domid: number, guest: GuestTree): boolean {
  const offset = psciMethod(guest)
  if (offset === undefined) return false
  for (const [i, letter] of [...'smc'].entries()) {
    const address = guest.address + offset + i
    const page = ForeignPage.mapped(xen, domid, Math.floor(address / pageBytes))
    new Uint8Array(page.buffer)[address % pageBytes] = letter.charCodeAt(0)
    const flushed = page.flush()
    page.close()
    checkedXen('xc_domain_cacheflush', domid, flushed)
  }
  return true
}

function hasCompatible(node: DeviceNode, value: string): boolean {
  try {
    return (stringList(node, 'compatible') ?? []).includes(value)
  } catch {
    return false // no string list: nothing that we look for
  }
}
