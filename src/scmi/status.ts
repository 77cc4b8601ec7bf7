// SCMI status codes: what a guest is told. DEN0056, "Status codes".

export const SUCCESS = 0
export const NOT_SUPPORTED = -1
export const INVALID_PARAMETERS = -2
export const DENIED = -3
export const NOT_FOUND = -4
export const OUT_OF_RANGE = -5
export const BUSY = -6
export const COMMS_ERROR = -7
export const GENERIC_ERROR = -8
export const HARDWARE_ERROR = -9
export const PROTOCOL_ERROR = -10
/** SCMI 3.2, pin control only. */
export const IN_USE = -11

const names = [
  'SUCCESS',
  'NOT_SUPPORTED',
  'INVALID_PARAMETERS',
  'DENIED',
  'NOT_FOUND',
  'OUT_OF_RANGE',
  'BUSY',
  'COMMS_ERROR',
  'GENERIC_ERROR',
  'HARDWARE_ERROR',
  'PROTOCOL_ERROR',
  'IN_USE',
] as const

/** The standard's name of a status; a reserved or vendor value keeps its number. */
export const statusName = (status: number): string =>
  names[-status] ?? (status <= -128 ? `VENDOR(${status})` : `RESERVED(${status})`)
