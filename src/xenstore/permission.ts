// Permissions of a xenstore node as a value and as the daemon writes them. Who may do what is the daemon's business.

/** What a domain may do with a node. */
export type Access = 'none' | 'read' | 'write' | 'both'

/** The first entry of a node's list names its owner, who may do all, and what any other domain may; the rest are one domain's. */
export interface Permission {
  readonly domid: number
  readonly access: Access
}

const letters: Readonly<Record<Access, string>> = { none: 'n', read: 'r', write: 'w', both: 'b' }
const accesses = new Map(Object.entries(letters).map(([access, letter]) => [letter, access as Access]))

/** `n0`, `r7`: as SET_PERMS takes them. */
export const formatPermission = ({ domid, access }: Permission): string => `${letters[access]}${domid}`

/** Reads `n0`, `r7`; undefined for what is none. */
export function parsePermission(text: string): Permission | undefined {
  const found = /^([nrwb])(\d{1,5})$/.exec(text)
  const access = accesses.get(found?.[1] ?? '')
  if (found === null || access === undefined) return undefined
  return { domid: Number(found[2]), access }
}
