// A guest's own ids to the platform's in commands, and back in responses; lists of resources in its ids. Nothing here
// decides: the filter has let the command pass. Allocates nothing.
import { type Dense, guestCount, guestId, guestList, platformId } from '../permissions/dense.ts'
import { HOLE } from '../permissions/numbering.ts'
import { type ListRule, NO_NONE, otherIn, type Rules } from '../permissions/rules.ts'
import { namespaceOf } from '../scmi/space.ts'
import { SUCCESS } from '../scmi/status.ts'
import type { Transfer } from '../transfer.ts'

/** Writes the platform's ids over the guest's in the command in `transfer`, whose table index is `at`. Once a command. */
export function toPlatformIds(rules: Rules, dense: Dense, transfer: Transfer, at: number): void {
  const { ints } = transfer
  const word = rules.resource[at] as number
  if (word !== 0) ints[word] = transfer.resource
  const other = otherIn(rules, ints, at)
  if (other !== 0) ints[other] = platformId(dense, rules.otherSpace[at] as number, ints[other] as number)
}

/**
 * Writes the guest's ids and counts over the platform's in the successful response in `transfer`. False where the
 * answer is an id that the guest cannot name, and nothing stands for none: it has no such answer.
 */
export function toGuestIds(rules: Rules, dense: Dense, transfer: Transfer, at: number): boolean {
  const { ints } = transfer
  const ids = rules.ids[at]
  if (ids !== undefined)
    for (let i = 0; i < ids.length; i += 3) {
      const word = ids[i] as number
      const none = ids[i + 2] as number
      if (word * 4 >= transfer.length || ints[word] === none) continue
      const id = guestId(dense, ids[i + 1] as number, ints[word] as number)
      if (id === HOLE && none === NO_NONE) return false
      ints[word] = id === HOLE ? none : id
    }
  const counts = rules.counts[at]
  if (counts !== undefined)
    for (let i = 0; i < counts.length; i += 3)
      insert(
        transfer,
        counts[i] as number,
        counts[i + 1] as number,
        guestCount(dense, counts[i + 2] as number),
      )
  const members = rules.membersWord[at] as number
  if (members !== 0 && ((rules.membersOf[at] as number) >>> namespaceOf(transfer.space)) % 2 === 1) {
    const own = guestId(dense, transfer.space, transfer.resource)
    const list =
      own === HOLE ? undefined : guestList(dense, rules.membersList[at] as number, transfer.space, own)
    insert(
      transfer,
      members,
      rules.membersMask[at] as number,
      list === undefined ? 0 : list.starts.length - 1,
    )
  }
  return true
}

/**
 * Answers the command in `transfer` from the guest's list: as many entries, from the index asked for on, as have room
 * in `maxMessageBytes`. Gives the status.
 */
export function answerFromList(
  rule: ListRule,
  dense: Dense,
  transfer: Transfer,
  at: number,
  hasP2A: boolean,
  maxMessageBytes: number,
): number {
  const list = guestList(
    dense,
    at,
    transfer.space,
    transfer.resource === HOLE ? 0 : guestId(dense, transfer.space, transfer.resource),
  )
  if (list !== undefined && list.status !== SUCCESS) {
    transfer.answer(list.status)
    return list.status
  }
  const total = list === undefined ? 0 : list.starts.length - 1
  // Unsigned, as the wire has it; an index of 0 is inside of every list.
  const index = (transfer.ints[rule.indexWord] as number) >>> 0
  if (index !== 0 && index >= total) {
    transfer.answer(rule.beyond)
    return rule.beyond
  }
  transfer.answer(SUCCESS)
  const { ints, bytes } = transfer
  for (let word = 2; word < rule.entriesAt >>> 2; word++) ints[word] = 0
  const most = rule.returnedMask >>> rule.returnedShift
  const room = Math.min(maxMessageBytes, bytes.length) - rule.entriesAt
  let next = index
  let end = rule.entriesAt
  if (list !== undefined) {
    const { starts } = list
    const first = starts[index] as number
    while (next < total && next - index < most && (starts[next + 1] as number) - first <= room) next++
    const length = (starts[next] as number) - first
    for (let i = 0; i < length; i++) bytes[end + i] = list.bytes[first + i] as number
    if (!hasP2A && rule.hideP2A !== undefined)
      for (let i = index; i < next; i++)
        clearEntry(ints, (end + (starts[i] as number) - first) >>> 2, rule.hideP2A)
    end += length
  }
  while (end % rule.pad !== 0) bytes[end++] = 0
  transfer.length = end
  insert(transfer, rule.countWord, rule.returnedMask, next - index)
  ints[rule.countWord] = (ints[rule.countWord] as number) | ((total - next) << rule.remainingShift)
  return SUCCESS
}

function clearEntry(ints: Int32Array, at: number, pairs: Int32Array): void {
  for (let i = 0; i < pairs.length; i += 2) {
    const word = at + (pairs[i] as number)
    ints[word] = (ints[word] as number) & ~(pairs[i + 1] as number)
  }
}

/** Writes `value` into the bits of `mask`, which are contiguous, of a frame word. */
function insert({ ints, length }: Transfer, word: number, mask: number, value: number): void {
  if (word * 4 >= length) return
  const shift = 31 - Math.clz32(mask & -mask)
  ints[word] = ((ints[word] as number) & ~mask) | ((value << shift) & mask)
}
