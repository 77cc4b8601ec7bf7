// The verdict on one frame from a guest. Pure: reads tables, answers a number, allocates nothing, touches nothing.
import { protocolId, reservedMask, tableIndex } from '../scmi/header.ts'
import { DENIED, INVALID_PARAMETERS, NOT_FOUND, NOT_SUPPORTED, PROTOCOL_ERROR } from '../scmi/status.ts'
import { type Counts, type Grants, owns } from './grants.ts'
import {
  ABSENT,
  CONTROL,
  HARMLESS,
  PRIVILEGED,
  RESOURCE,
  type Rules,
  SUBSCRIBES,
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

/**
 * Judges the command in `words` of `length` bytes. `identity` discovery: the guest sees the platform's own ids, and
 * what it does not own is a placeholder or DENIED. The order of checks is DEN0056's as SCP and Arm's suite read it:
 * type, protocol, protocol permission, message, size, then resource; a command that is forwarded is checked further
 * by the platform, one that is answered here is checked from the schema first.
 */
export function verdict(
  rules: Rules,
  counts: Counts,
  grants: Grants,
  hasP2A: boolean,
  words: Uint32Array,
  length: number,
): number {
  const header = words[0] as number
  if ((header & (reservedMask | 0x300)) !== 0) return PROTOCOL_ERROR // only commands go from agent to platform
  const at = tableIndex(header)
  const kind = rules.kind[at] as number
  if (kind === UNKNOWN_PROTOCOL) return NOT_SUPPORTED
  const protocol = protocolId(header)
  if (protocol !== base && grants.protocols[protocol] === 0) return DENIED
  if (kind === ABSENT) return NOT_FOUND
  if (length !== 4 + (rules.size[at] as number)) return PROTOCOL_ERROR
  const flags = rules.flags[at] as number
  if (protocol === base) return (flags & PRIVILEGED) !== 0 ? DENIED : LOCAL
  if (kind !== RESOURCE) return FORWARD
  const resource = words[rules.resource[at] as number] as number
  const owned = owns(grants.owned[protocol], resource)
  if (owned && (flags & (PRIVILEGED | SUBSCRIBES)) === 0) {
    const asyncWord = rules.asyncWord[at] as number
    if (asyncWord !== 0 && !hasP2A && ((words[asyncWord] as number) & (rules.asyncMask[at] as number)) !== 0)
      return wellFormed(rules.checks[at], words) ? NOT_SUPPORTED : INVALID_PARAMETERS
    const other = rules.other[at] as number
    if (other !== 0) {
      const id = words[other] as number
      if (id >= (counts[protocol] as number)) return NOT_FOUND
      if (!owns(grants.owned[protocol], id)) return DENIED
    }
    return FORWARD
  }
  // From here on the answer is made here, so the schema's checks are made here.
  if (resource >= (counts[protocol] as number)) return NOT_FOUND
  if (!wellFormed(rules.checks[at], words)) return INVALID_PARAMETERS
  if (owned) {
    if ((flags & SUBSCRIBES) === 0 || !hasP2A) return NOT_SUPPORTED // fast channels; nothing to be notified through
    return FORWARD
  }
  if ((flags & HARMLESS) !== 0) {
    const vote = rules.votes[at] as VoteRule
    if (((words[vote.word] as number) & vote.mask) >>> 0 === vote.off) return HARMLESS_RELEASE
  }
  return (flags & CONTROL) !== 0 && (flags & SUBSCRIBES) === 0 ? DENIED : PLACEHOLDER
}
