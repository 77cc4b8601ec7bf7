// What a guest may not see in a forwarded response: addresses, bits that promise what it cannot have, others' sensors.
import { type Grants, owns } from '../permissions/grants.ts'
import { LISTS, type Rules } from '../permissions/rules.ts'
import { v1, v2 } from '../scmi/common.ts'
import { protocolId } from '../scmi/header.ts'
import { unusedSensor } from '../scmi/sensor.ts'
import type { Transfer } from '../transfer.ts'
import type { Arbiter } from './arbiter.ts'
import { writeDecimal } from './placeholders.ts'

/** Words before the first sensor descriptor: header, status, num_sensor_flags. */
const listWords = 3
/** Words of a sensor descriptor: version 1 or without extended attributes; scalar with them; with axes and them. */
const plainWords = 7
const scalarWords = 13
const axisWords = 8
/** Descriptor words, from its start. */
const ATTRIBUTES_LOW = 1
const ATTRIBUTES_HIGH = 2
const NAME = 3
/** Bits of a descriptor's attributes. */
const EXTENDED = 0x100
const AXIS_SUPPORT = 0x100
const AXES = 0x3f_0000
/** Bits 31 and 30 promise delayed responses and updates. */
const sensorP2A = 0xc000_0000 | 0
const unused = Uint8Array.from(unusedSensor, c => c.charCodeAt(0))

/**
 * Clears what `rules` name in the successful response in `transfer`; `at` is the command's table index. False when
 * the response is not what it should be, and none of it may be shown.
 */
export function conceal(
  rules: Rules,
  grants: Grants,
  hasP2A: boolean,
  transfer: Transfer,
  at: number,
): boolean {
  clear(rules.hide[at], transfer)
  if (!hasP2A) clear(rules.hideP2A[at], transfer)
  if (((rules.flags[at] as number) & LISTS) === 0) return true
  const protocol = protocolId(transfer.header)
  const extensible = (rules.versions.get(protocol) ?? v1) >= v2
  return concealSensors(transfer, grants.owned[protocol], extensible, hasP2A)
}

/** Where holders share a resource, each sees what it asked for itself. */
export function showOwnView(rules: Rules, arbiter: Arbiter, transfer: Transfer, at: number): void {
  const view = rules.views[at]
  if (view === undefined || view.word * 4 >= transfer.length) return
  const { space, resource } = transfer
  if (!arbiter.shared(space, resource)) return
  const own = arbiter.voted(space, resource, transfer.guest) ? view.on : view.off
  transfer.ints[view.word] = ((transfer.ints[view.word] as number) & ~view.mask) | own
}

function clear(pairs: Int32Array | undefined, transfer: Transfer): void {
  if (pairs === undefined) return
  for (let i = 0; i < pairs.length; i += 2) {
    const word = pairs[i] as number
    if (word * 4 < transfer.length)
      transfer.ints[word] = (transfer.ints[word] as number) & ~(pairs[i + 1] as number)
  }
}

/**
 * SENSOR_DESCRIPTION_GET lists all sensors: the descriptors of those the guest does not own become constants. A full
 * scalar descriptor (52 bytes) keeps its size; any other shrinks to the 28 bytes of one without extended attributes.
 * `extensible`: from version 2 on descriptors say their size; before, all have 28 bytes.
 */
function concealSensors(
  transfer: Transfer,
  owned: Uint32Array | undefined,
  extensible: boolean,
  hasP2A: boolean,
): boolean {
  const { ints } = transfer
  const count = (ints[2] as number) & 0xfff
  const end = transfer.length >>> 2
  let from = listWords
  let to = listWords
  for (let i = 0; i < count; i++) {
    if (from + plainWords > end) return false
    const extended = extensible && ((ints[from + ATTRIBUTES_LOW] as number) & EXTENDED) !== 0
    const size = !extended
      ? plainWords
      : hasAxes(ints[from + ATTRIBUTES_HIGH] as number)
        ? axisWords
        : scalarWords
    if (from + size > end) return false
    if (owns(owned, ints[from] as number)) {
      if (to !== from) ints.copyWithin(to, from, from + size)
      if (!hasP2A) ints[to + ATTRIBUTES_LOW] = (ints[to + ATTRIBUTES_LOW] as number) & ~sensorP2A
      to += size
    } else {
      const kept = size === scalarWords ? scalarWords : plainWords
      blank(transfer, ints[from] as number, to, kept)
      to += kept
    }
    from += size
  }
  transfer.length = to * 4
  return from === end
}

/** A number of axes without the bit that says they are supported means nothing. */
const hasAxes = (high: number): boolean => (high & AXIS_SUPPORT) !== 0 && (high & AXES) !== 0

/** Writes the constant descriptor of `size` words for another's sensor at word `at`. */
function blank(transfer: Transfer, id: number, at: number, size: number): void {
  const { ints, bytes } = transfer
  ints.fill(0, at, at + size)
  ints[at] = id
  if (size === scalarWords) ints[at + ATTRIBUTES_LOW] = EXTENDED
  const name = (at + NAME) * 4
  for (let c = 0; c < unused.length; c++) bytes[name + c] = unused[c] as number
  writeDecimal(bytes, name + unused.length, (id >>> 0) % 1_000_000)
}
