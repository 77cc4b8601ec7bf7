// What is numbered from 0 on by itself: the resources of a protocol, or each of its namespaces where it has several.
import { protocols } from './protocols.ts'
import type { AnyMessage, Protocol } from './schema.ts'

/** A numbering of the platform: the protocol's id in 7:0, the namespace's place in the protocol's list in 9:8. */
export type Space = number

/** Spaces there can be: 256 protocols, up to four namespaces each. */
export const spaceIds = 0x400

/** The space of a protocol's namespace; 0 is the only one of a protocol that numbers its resources as one. */
export const spaceOf = (protocol: number, namespace = 0): Space => protocol | (namespace << 8)
export const protocolOfSpace = (space: Space): number => space & 0xff
export const namespaceOf = (space: Space): number => space >>> 8

/** The spaces of a protocol; none where it has no resources. */
export function spacesOf(protocol: Protocol): readonly Space[] {
  if (protocol.namespaces !== undefined)
    return protocol.namespaces.map((_, namespace) => spaceOf(protocol.id, namespace))
  return protocol.resource === undefined ? [] : [spaceOf(protocol.id)]
}

/** What one resource of the space is called: `clock`, `pin group`. */
export function resourceWord(space: Space): string {
  const protocol = (protocols as readonly Protocol[]).find(({ id }) => id === protocolOfSpace(space))
  return protocol?.namespaces?.[namespaceOf(space)]?.name ?? protocol?.resource ?? 'resource'
}

/** The command fields by which a message names a resource of the space. */
export function naming(
  { resource = '', selector }: AnyMessage,
  space: Space,
  id: number,
): Readonly<Record<string, number>> {
  if (selector === undefined) return { [resource]: id }
  const lowest = selector.mask & -selector.mask
  return { [resource]: id, [selector.field]: namespaceOf(space) * lowest }
}
