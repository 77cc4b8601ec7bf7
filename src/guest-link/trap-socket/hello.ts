// HELLO: what a hypervisor side says of itself and the memory it brings. Judged here, mapped nowhere.
import type { RightsMessage } from '../../native/rights-message.ts'
import { areaBytesMax, areaBytesMin, helloBytes, helloMagic, helloVersion } from './abi.ts'

const fits = (bytes: number): boolean => bytes >= areaBytesMin && bytes <= areaBytesMax && bytes % 4 === 0

/** Why the HELLO of `length` bytes in `message` is refused, in one line; undefined when it is sound. */
export function helloFault(message: RightsMessage, length: number): string | undefined {
  const [magic = 0, version = 0, a2pBytes = 0, p2aBytes = 0] = message.words
  if (length !== helloBytes) return `HELLO of ${length} bytes, not ${helloBytes}`
  if (magic !== helloMagic)
    return `HELLO with magic 0x${magic.toString(16)}, not 0x${helloMagic.toString(16)}`
  if (version !== helloVersion) return `HELLO of version ${version}, not ${helloVersion}`
  const bounds = `a multiple of 4 from ${areaBytesMin} to ${areaBytesMax}`
  if (!fits(a2pBytes)) return `HELLO with an A2P area of ${a2pBytes} bytes, not ${bounds}`
  if (p2aBytes !== 0 && !fits(p2aBytes))
    return `HELLO with a P2A area of ${p2aBytes} bytes, not 0 or ${bounds}`
  if (message.fdsLost || message.fdCount !== 1) {
    const count = message.fdsLost ? `more than ${message.fdCount}` : `${message.fdCount}`
    return `HELLO with ${count} file descriptors, not one memfd`
  }
  return undefined
}
