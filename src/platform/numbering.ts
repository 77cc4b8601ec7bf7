// How the platform counts agents and protocols in its tables.

/** Protocols there may be: 0x10 to 0x17. */
export const protocolCount = 8
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

/** Index of an agent in tables: ids are 1 to n, 0 is the platform. */
export const agentIndex = (id: number): number => id - 1
/** Agent id of an index. */
export const agentIdOf = (index: number): number => index + 1
