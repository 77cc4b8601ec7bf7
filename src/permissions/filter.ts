// The verdict on one frame from a guest. Pure: reads tables, answers a number, allocates nothing, touches nothing.
import { protocolId, reservedMask, tableIndex } from '../scmi/header.ts'
import type { Space } from '../scmi/space.ts'
import { DENIED, INVALID_PARAMETERS, NOT_FOUND, NOT_SUPPORTED, PROTOCOL_ERROR } from '../scmi/status.ts'
import { guestCount, platformId } from './dense.ts'
import { type Counts, type Grants, owns } from './grants.ts'
import {
  ABSENT,
  CONTROL,
  commandLength,
  HARMLESS,
  otherIn,
  PRIVILEGED,
  RESOURCE,
  type Rules,
  SELECTS,
  SUBSCRIBES,
  spaceIn,
  UNKNOWN_PROTOCOL,
  type VoteRule,
  wellFormed,
} from './rules.ts'

/** The guest owns what it names: forward. Every other verdict is at least 1, or an SCMI status below 0. */
export const FORWARD = 0
/** Base: answered here, under the guest's virtual identity. */
export const LOCAL = 1
/** About a resource the guest does not own: a constant answer. */
export const PLACEHOLDER = 2
/** A release of what the guest does not hold: SUCCESS, nothing done. */
export const HARMLESS_RELEASE = 3

const base = 0x10
/** Bits 9:8 of the header: anything but a command. */
const typeMask = 0x300

/**
 * Judges the command in `ints` of `length` bytes, whose ids are the guest's own where it has such (`dense` discovery),
 * else the platform's. What a guest can name and does not own is a placeholder or DENIED; with ids of its own that is
 * only what it has lost. The order of checks is DEN0056's as SCP and Arm's suite read it:
 * type, protocol, protocol permission, message, size, then resource; a command that is forwarded is checked further
 * by the platform, one that is answered here is checked from the schema first. Words are read signed: a guest that
 * sets bit 31 must not cost a place on the heap.
 */
export function verdict(
  rules: Rules,
  counts: Counts,
  grants: Grants,
  hasP2A: boolean,
  ints: Int32Array,
  length: number,
): number {
  const header = ints[0] as number
  if ((header & (reservedMask | typeMask)) !== 0) return PROTOCOL_ERROR // only commands go from agent to platform
  const at = tableIndex(header)
  const kind = rules.kind[at] as number
  if (kind === UNKNOWN_PROTOCOL) return NOT_SUPPORTED
  const protocol = protocolId(header)
  if (protocol !== base && grants.protocols[protocol] === 0) return DENIED
  if (kind === ABSENT) return NOT_FOUND
  if (length !== commandLength(rules, ints, at, length)) return PROTOCOL_ERROR
  const flags = rules.flags[at] as number
  if (protocol === base) return (flags & PRIVILEGED) !== 0 ? DENIED : LOCAL
  if (kind !== RESOURCE) {
    const always = rules.always[at] as number
    if (always !== 0) return wellFormed(rules.checks[at], ints) ? always : INVALID_PARAMETERS
    if ((flags & PRIVILEGED) === 0 && ((flags & SUBSCRIBES) === 0 || hasP2A)) return FORWARD
    return wellFormed(rules.checks[at], ints) ? NOT_SUPPORTED : INVALID_PARAMETERS
  }
  // A selector that is none selects no ids to look among.
  if ((flags & SELECTS) !== 0 && !wellFormed(rules.checks[at], ints)) return INVALID_PARAMETERS
  const space = spaceIn(rules, ints, at)
  const named = ints[rules.resource[at] as number] as number
  const { dense } = grants
  if (owns(grants.owned[space], dense === undefined ? named : platformId(dense, space, named)))
    return ofOwned(rules, counts, grants, hasP2A, ints, at, flags)
  // From here on the answer is made here, so the schema's checks are made here.
  if (named >>> 0 >= countIn(grants, counts, space)) return NOT_FOUND
  if (!wellFormed(rules.checks[at], ints)) return INVALID_PARAMETERS
  if ((flags & HARMLESS) !== 0 && releasesOnly(rules, ints, at)) return HARMLESS_RELEASE
  return (flags & CONTROL) !== 0 && (flags & SUBSCRIBES) === 0 ? DENIED : PLACEHOLDER
}

/** How many resources the guest sees in a space. */
const countIn = ({ dense }: Grants, counts: Counts, space: Space): number =>
  dense === undefined ? (counts[space] ?? 0) : guestCount(dense, space)

/** The verdict on a command about a resource that the guest owns. */
function ofOwned(
  rules: Rules,
  counts: Counts,
  grants: Grants,
  hasP2A: boolean,
  ints: Int32Array,
  at: number,
  flags: number,
): number {
  // Fast channels lead past the mediator; and nobody can be told anything who has no way back.
  const refused = (flags & PRIVILEGED) !== 0 || ((flags & SUBSCRIBES) !== 0 && !hasP2A)
  if (refused || (!hasP2A && asksForDelay(rules, ints, at)))
    return wellFormed(rules.checks[at], ints) ? NOT_SUPPORTED : INVALID_PARAMETERS
  const other = otherIn(rules, ints, at)
  if (other === 0) return FORWARD
  const space = rules.otherSpace[at] as number
  const named = ints[other] as number
  if (named >>> 0 >= countIn(grants, counts, space)) return NOT_FOUND
  const { dense } = grants
  return owns(grants.owned[space], dense === undefined ? named : platformId(dense, space, named))
    ? FORWARD
    : DENIED
}

/** Whether the command asks for an answer that comes later by the way back. */
export function asksForDelay(rules: Rules, ints: Int32Array, at: number): boolean {
  const word = rules.asyncWord[at] as number
  return word !== 0 && ((ints[word] as number) & (rules.asyncMask[at] as number)) !== 0
}

/** Whether the command is a release and nothing more: one that sets an extended configuration too is not. */
function releasesOnly(rules: Rules, ints: Int32Array, at: number): boolean {
  const vote = rules.votes[at] as VoteRule
  if (((ints[vote.word] as number) & vote.mask) !== vote.off) return false
  const exclusive = rules.exclusiveMask[at] as number
  return exclusive === 0 || ((ints[rules.exclusiveWord[at] as number] as number) & exclusive) === 0
}
