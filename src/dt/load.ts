// A device tree blob from disk to a tree; nothing but the reading of the file.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { errorText, MediatorError } from '../errors.ts'
import { type DeviceTree, readDeviceTree } from './fdt.ts'
import { maxBlobBytes } from './fdt-header.ts'

/** Reads the blob in `file`: SYSTEM when it cannot be read, DTB_MALFORMED when it is no device tree. */
export function loadDeviceTree(file: string): DeviceTree {
  return readDeviceTree(readBlob(file), file)
}

function readBlob(file: string): Uint8Array {
  let fd: number | undefined
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK) // a FIFO without a writer must not hold us
    if (!fstatSync(fd).isFile()) throw new Error('not a regular file')
    // One byte more than a blob may have, so that the reader sees and names an overlong one.
    const bytes = new Uint8Array(Math.min(fstatSync(fd).size, maxBlobBytes + 1))
    let filled = 0
    while (filled < bytes.length) {
      const count = readSync(fd, bytes, filled, bytes.length - filled, null)
      if (count === 0) break
      filled += count
    }
    return bytes.subarray(0, filled)
  } catch (cause) {
    throw new MediatorError('SYSTEM', `${file}: ${errorText(cause)}`, { cause, path: file })
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
