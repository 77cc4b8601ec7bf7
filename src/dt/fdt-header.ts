// The header of a flattened device tree (devicetree specification, chapter 5), its block layout and its memory
// reservations. The nodes are fdt.ts's.
import { malformed } from './fault.ts'

/** A range of physical memory that the operating system must leave alone. */
export interface MemoryReservation {
  readonly address: bigint
  readonly size: bigint
}

/** Where the blocks lie, in bytes from the start of the blob; every range proven to lie inside it. */
export interface FdtHeader {
  readonly totalSize: number
  readonly structure: Block
  readonly strings: Block
  readonly reservations: readonly MemoryReservation[]
  readonly bootCpu: number
}

export interface Block {
  readonly name: string
  readonly start: number
  readonly end: number
}

/** As much as Xen and Linux on arm64 take at boot. */
export const maxBlobBytes = 2 << 20

const magic = 0xd00dfeed
const headerBytes = 40
const readerVersion = 17
const maxReservations = 1024

/** Reads and proves the header of `blob`; throws DTB_MALFORMED. */
export function readHeader(blob: Uint8Array, file: string): FdtHeader {
  const fail = (offset: number, text: string) => malformed(file, undefined, offset, text)
  if (blob.length < headerBytes) throw fail(0, `${blob.length} bytes, a header alone has ${headerBytes}`)
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength)
  const found = view.getUint32(0)
  if (found !== magic) {
    const hint = view.getUint32(0, true) === magic ? ', the magic with its bytes swapped' : ''
    throw fail(0, `not a device tree blob: starts with 0x${found.toString(16)}${hint}, expected 0xd00dfeed`)
  }
  const totalSize = view.getUint32(4)
  if (totalSize < headerBytes) throw fail(4, `totalsize ${totalSize} is less than the header`)
  if (totalSize > maxBlobBytes) throw fail(4, `totalsize ${totalSize} is above the limit of ${maxBlobBytes}`)
  if (totalSize > blob.length) throw fail(4, `totalsize ${totalSize}, but the file has ${blob.length} bytes`)
  const version = view.getUint32(20)
  const lastCompatible = view.getUint32(24)
  if (version < readerVersion) throw fail(20, `version ${version}, at least ${readerVersion} is needed`)
  if (lastCompatible > readerVersion)
    throw fail(
      24,
      `last_comp_version ${lastCompatible}: made for readers newer than version ${readerVersion}`,
    )

  const block = (name: string, offsetField: number, sizeField: number, alignment: number): Block => {
    const start = view.getUint32(offsetField)
    const size = view.getUint32(sizeField)
    if (start % alignment !== 0)
      throw fail(offsetField, `${name} block at ${start} is not aligned to ${alignment}`)
    if (start < headerBytes) throw fail(offsetField, `${name} block at ${start} lies in the header`)
    if (start + size > totalSize)
      throw fail(
        offsetField,
        `${name} block, ${size} bytes at ${start}, reaches beyond totalsize ${totalSize}`,
      )
    return { name, start, end: start + size }
  }
  const structure = block('structure', 8, 36, 4)
  const strings = block('strings', 12, 32, 1)
  if (overlap(structure, strings)) throw fail(8, 'structure and strings blocks overlap')

  const start = view.getUint32(16)
  if (start % 8 !== 0) throw fail(16, `memory reservation block at ${start} is not aligned to 8`)
  if (start < headerBytes) throw fail(16, `memory reservation block at ${start} lies in the header`)
  const reservations: MemoryReservation[] = []
  let offset = start
  for (;;) {
    if (offset + 16 > totalSize) throw fail(offset, 'memory reservation block has no terminating entry')
    const address = view.getBigUint64(offset)
    const size = view.getBigUint64(offset + 8)
    if (address === 0n && size === 0n) break
    if (address + size > 1n << 64n) throw fail(offset, 'memory reservation reaches beyond 2^64')
    if (reservations.length === maxReservations)
      throw fail(offset, `more than ${maxReservations} memory reservations`)
    reservations.push({ address, size })
    offset += 16
  }
  const reserved = { name: 'memory reservation', start, end: offset + 16 }
  for (const other of [structure, strings])
    if (overlap(reserved, other)) throw fail(16, `memory reservation and ${other.name} blocks overlap`)

  return { totalSize, structure, strings, reservations, bootCpu: view.getUint32(28) }
}

const overlap = (a: Block, b: Block): boolean => a.start < b.end && b.start < a.end
