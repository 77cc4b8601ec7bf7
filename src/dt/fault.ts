// How a fault in a device tree blob is told: file, node, byte offset. It knows no format.
import { MediatorError } from '../errors.ts'

/**
 * A DTB_MALFORMED error in one line.
 * @param file as the operator named it
 * @param node path of the node the fault lies in, as far as it is known
 * @param offset byte offset in the blob where reading stopped
 */
export function malformed(
  file: string,
  node: string | undefined,
  offset: number,
  text: string,
): MediatorError {
  const where = node === undefined ? file : `${file}: ${node}`
  return new MediatorError('DTB_MALFORMED', `${where}: ${text} (byte offset 0x${offset.toString(16)})`, {
    path: where,
  })
}
