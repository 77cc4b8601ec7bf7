// What a guest took for itself and has lost is given back: pins, which else stayed taken in the name of its agent. The
// firmware is told of all that the guest may have taken; what it had not taken is refused, and nothing is done.
import { type Grants, owns } from '../permissions/grants.ts'
import { type Rules, wellFormed } from '../permissions/rules.ts'
import { header } from '../scmi/header.ts'
import { namespaceOf, protocolOfSpace, type Space } from '../scmi/space.ts'
import type { GuestState } from './guest.ts'
import type { OwnExchanges } from './own-exchanges.ts'

/** Calls back when all has been answered, perhaps before it returns. Allocates: for the main thread's commands. */
export function giveBack(
  rules: Rules,
  own: OwnExchanges,
  guests: readonly (GuestState | undefined)[],
  guest: GuestState,
  former: Grants,
  done: () => void,
): void {
  const others = guests.filter(each => each !== undefined && each !== guest && each.channel === guest.channel)
  const frames = rules.returns.flatMap(at =>
    [...former.owned.keys()].flatMap(space =>
      protocolOfSpace(space) === at >>> 8
        ? lostIn(space, guest, former)
            // Where several guests are one agent to the firmware, a group may have pins that others took.
            .filter(
              id =>
                others.length === 0 ||
                (namespaceOf(space) === 0 && !others.some(other => owns(other?.grants.owned[space], id))),
            )
            .flatMap(id => frameOf(rules, at, space, id) ?? [])
        : [],
    ),
  )
  let left = frames.length
  if (left === 0) return done()
  for (const frame of frames)
    own.request(guest.channel, frame, () => {
      left--
      if (left === 0) done()
    })
}

/** What the guest had and has no more. */
function lostIn(space: Space, guest: GuestState, former: Grants): number[] {
  const had = former.owned[space]
  return Array.from({ length: (had?.length ?? 0) * 32 }, (_, id) => id).filter(
    id => owns(had, id) && !owns(guest.grants.owned[space], id),
  )
}

/** The command; undefined where nothing of the space can be given back. */
function frameOf(rules: Rules, at: number, space: Space, id: number): Uint8Array | undefined {
  const frame = new Uint8Array(4 + (rules.size[at] as number))
  const ints = new Int32Array(frame.buffer)
  ints[0] = header(at >>> 8, at & 0xff)
  ints[rules.resource[at] as number] = id
  const selector = rules.selectorWord[at] as number
  if (selector !== 0)
    ints[selector] = (ints[selector] as number) | (namespaceOf(space) << (rules.selectorShift[at] as number))
  return wellFormed(rules.checks[at], ints) ? frame : undefined
}
