// What a guest may not see in a forwarded response: addresses, bits that promise what it cannot have, others' sensors.
import { type Grants, owns } from '../permissions/grants.ts'
import { LISTS, type Rules } from '../permissions/rules.ts'
import { protocolId } from '../scmi/header.ts'
import type { Transfer } from '../transfer.ts'
import { writeDecimal } from './placeholders.ts'

const sensorV1Bytes = 28
/** Descriptor words, from its start. */
const ATTRIBUTES_LOW = 1
const ATTRIBUTES_HIGH = 2
const NAME = 3
/** Bits 31 and 30 of a descriptor's attributes promise delayed responses and updates. */
const sensorP2A = 0xc000_0000
/** "unused-s" */
const unused = Uint8Array.from('unused-s', c => c.charCodeAt(0))

/** Clears what `rules` name in the successful response in `transfer`; `at` is the command's table index. */
export function conceal(rules: Rules, grants: Grants, hasP2A: boolean, transfer: Transfer, at: number): void {
  clear(rules.hide[at], transfer)
  if (!hasP2A) clear(rules.hideP2A[at], transfer)
  if (((rules.flags[at] as number) & LISTS) !== 0)
    concealSensors(transfer, grants.owned[protocolId(transfer.header)], hasP2A)
}

function clear(pairs: Uint32Array | undefined, transfer: Transfer): void {
  if (pairs === undefined) return
  for (let i = 0; i < pairs.length; i += 2) {
    const word = pairs[i] as number
    if (word * 4 < transfer.length)
      transfer.words[word] = (transfer.words[word] as number) & ~(pairs[i + 1] as number)
  }
}

/**
 * SENSOR_DESCRIPTION_GET lists all sensors: the descriptors of those the guest does not own become constants. A full
 * scalar descriptor (52 bytes) keeps its size; any other shrinks to the 28 bytes of one without extended attributes.
 */
function concealSensors(transfer: Transfer, owned: Uint32Array | undefined, hasP2A: boolean): void {
  const { words, bytes } = transfer
  const count = (words[2] as number) & 0xfff
  const end = transfer.length >>> 2
  // Version 1 descriptors are 7 words each and have no bit 8; later ones say their size.
  const v1 = transfer.length - 12 === count * sensorV1Bytes
  let from = 3
  let to = 3
  for (let i = 0; i < count && from + 7 <= end; i++) {
    const low = words[from + ATTRIBUTES_LOW] as number
    const extended = !v1 && ((low >>> 8) & 1) === 1
    const scalar = (((words[from + ATTRIBUTES_HIGH] as number) >>> 8) & 1) === 0
    const size = extended ? (scalar ? 13 : 8) : 7
    const id = words[from] as number
    const mine = owns(owned, id)
    const kept = mine ? size : extended && scalar ? 13 : 7
    if (mine) {
      if (to !== from) words.copyWithin(to, from, from + size)
      if (!hasP2A) words[to + ATTRIBUTES_LOW] = low & ~sensorP2A
    } else {
      words.fill(0, to, to + kept)
      words[to] = id
      if (kept === 13) words[to + ATTRIBUTES_LOW] = 0x100
      const name = (to + NAME) * 4
      for (let c = 0; c < unused.length; c++) bytes[name + c] = unused[c] as number
      writeDecimal(bytes, name + unused.length, id % 1_000_000)
    }
    from += size
    to += kept
  }
  transfer.length = to * 4
}
