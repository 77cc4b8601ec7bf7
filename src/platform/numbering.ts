// How the platform counts agents and protocols in its tables.

/** Protocols there may be: 0x10 to 0x19. */
export const protocolCount = 10
/** Id of the first. */
export const firstProtocol = 0x10

export const BASE = 0
export const POWER = 1
export const SYSTEM = 2
export const PERFORMANCE = 3
export const CLOCK = 4
export const SENSOR = 5
export const RESET = 6
export const VOLTAGE = 7
export const POWER_CAPPING = 8
export const PIN_CONTROL = 9

/**
 * Kinds of resources, numbered apart: each protocol's own by its index, and behind them the groups and functions of
 * pin control, whose pins stand at PIN_CONTROL.
 */
export const GROUPS = 10
export const FUNCTIONS = 11
export const kindCount = 12

/** The kind that a protocol's selector means: 0 for the protocol's own. */
export const kindOf = (protocol: number, selector: number): number =>
  selector === 0 ? protocol : GROUPS - 1 + selector
/** The protocol of a kind. */
export const protocolOfKind = (kind: number): number => (kind < protocolCount ? kind : PIN_CONTROL)

/** The section of a platform file that a protocol has, after its one word: `powerCapping` for `power-capping`. */
export const sectionOf = (key: string): string =>
  key.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())

/** Index of an agent in tables: ids are 1 to n, 0 is the platform. */
export const agentIndex = (id: number): number => id - 1
/** Agent id of an index. */
export const agentIdOf = (index: number): number => index + 1
