// Where a guest's shared page may lie: inside its RAM as it stands, or in a hole of Xen's guest memory map. Pure.
//
// The map is xen/include/public/arch-arm.h's, whose regions stand where they are from 4.17 on. A page that is inserted
// replaces what was there, and nothing tells beforehand: device registers passed through must be named by the caller.
import { defaultShmemAddress } from '../../dt/scmi-fragment.ts'
import { MediatorError } from '../../errors.ts'
import type { AddressRange } from '../guest-link.ts'

const kept: readonly (AddressRange & { readonly what: string })[] = [
  { start: 0x02000000, size: 0x00100000, what: 'virtio over MMIO' },
  { start: 0x03001000, size: 0x0001f000, what: 'the interrupt controller' },
  { start: 0x03020000, size: 0x01000000, what: 'the interrupt controller' },
  { start: 0x10000000, size: 0x10000000, what: "virtual PCI's configuration space" },
  { start: 0x20000000, size: 0x02000000, what: 'ACPI tables' },
  { start: 0x22000000, size: 0x00001000, what: 'the virtual UART' },
  { start: 0x23000000, size: 0x10000000, what: "virtual PCI's memory" },
  { start: 0x38000000, size: 0x01000000, what: 'the grant table' },
  { start: 0x39000000, size: 0x01000000, what: "Xen's own pages" },
  { start: 0x100000000, size: 0x100000000, what: "virtual PCI's prefetchable memory" },
]
const ram: readonly AddressRange[] = [
  { start: 0x40000000, size: 0xc0000000 },
  { start: 0x200000000, size: 0xfe00000000 },
]
const end = 0x10000000000

const overlaps = (a: AddressRange, b: AddressRange): boolean =>
  a.start < b.start + b.size && b.start < a.start + a.size

/**
 * Whether the area lies where guests have RAM (`ram`: the page must be there) or in a hole (`hole`: the page is put
 * there). DTB_REFUSED when it lies on something of Xen's or in `devices`, or crosses a page.
 */
export function placeOf(area: AddressRange, devices: readonly AddressRange[]): 'ram' | 'hole' {
  const text = `the shared memory of ${area.size} bytes at 0x${area.start.toString(16)}`
  const refuse = (why: string): MediatorError => new MediatorError('DTB_REFUSED', `${text} ${why}`)
  if (area.start % 4 !== 0 || area.size % 4 !== 0 || area.size < 32)
    throw refuse('is no multiple of 4 bytes, or below 32')
  if ((area.start % 4096) + area.size > 4096) throw refuse('does not lie in one page')
  if (area.start + area.size > end) throw refuse('lies beyond any guest memory')
  const page = { start: area.start - (area.start % 4096), size: 4096 }
  if (ram.some(bank => overlaps(bank, page))) return 'ram'
  const other = kept.find(region => overlaps(region, page))
  if (other !== undefined)
    throw refuse(`lies on ${other.what}; 0x${defaultShmemAddress.toString(16)} is free`)
  const device = devices.find(region => overlaps(region, page))
  if (device !== undefined) throw refuse(`lies on registers passed through at 0x${device.start.toString(16)}`)
  return 'hole'
}
