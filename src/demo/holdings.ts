// Who holds what in the demonstration: resources of the guests' domains as the daemon shows them. Look-ups only.
import type { DomainView } from '../lifecycle/views.ts'
import { protocolOf } from '../scmi/protocols.ts'

/** One resource of a domain, with the devices that name it. */
export interface Held {
  readonly protocol: number
  readonly id: number
  readonly name?: string
  /** Host paths of the domain's devices that name it. */
  readonly nodes: readonly string[]
}

const keyOf = ({ protocol, id }: { readonly protocol: number; readonly id: number }): string =>
  `${protocol}/${id}`

/** Drivers switch power first, then voltages and clocks, and use the rest on what runs. */
const order = ['power', 'voltage', 'clock', 'reset', 'performance', 'power-capping', 'sensor']
const rank = ({ protocol }: Held): number => order.indexOf(protocolOf(protocol)?.key ?? '')

/** What a domain holds, each resource once, in the order a driver would take it. */
export function heldBy(domain: DomainView): readonly Held[] {
  const held = new Map<string, Held>()
  for (const { node, hostNode = node, resources } of domain.devices)
    for (const { protocol, id, name } of resources) {
      if (id === null || protocolOf(protocol)?.resource === undefined) continue
      const key = keyOf({ protocol, id })
      const nodes = [...(held.get(key)?.nodes ?? []), hostNode]
      held.set(key, { protocol, id, ...(name === undefined ? {} : { name }), nodes: [...new Set(nodes)] })
    }
  return [...held.values()].sort((a, b) => rank(a) - rank(b) || a.id - b.id)
}

/** What is in one list, but not in the other; what is in both. */
export const without = (held: readonly Held[], others: readonly Held[]): readonly Held[] =>
  held.filter(one => !others.some(other => keyOf(other) === keyOf(one)))
export const inBoth = (held: readonly Held[], others: readonly Held[]): readonly Held[] =>
  held.filter(one => others.some(other => keyOf(other) === keyOf(one)))

/** `clock 3 (sd0)` */
export const titleOf = ({ protocol, id, name }: Held): string =>
  `${protocolOf(protocol)?.resource ?? `0x${protocol.toString(16)}`} ${id}${name === undefined ? '' : ` (${name})`}`
