// The message header word: what is in it and how to put it together. DEN0056, "Message header".

/** Message types, header bits 9:8. */
export const COMMAND = 0
export const DELAYED_RESPONSE = 2
export const NOTIFICATION = 3

/** Bits 27:18, the token, which the sender chooses and the platform repeats. */
export const tokenMask = 0x0ffc_0000
export const tokenShift = 18
/** Tokens there are: 10 bits. */
export const tokens = 1024
/** Bits 31:28, reserved, zero. */
export const reservedMask = 0xf000_0000

export const messageId = (header: number): number => header & 0xff
export const messageType = (header: number): number => (header >>> 8) & 3
export const protocolId = (header: number): number => (header >>> 10) & 0xff
export const token = (header: number): number => (header >>> tokenShift) & (tokens - 1)

/** The header word of a message. */
export const header = (protocol: number, message: number, type = COMMAND, tokenValue = 0): number =>
  ((message & 0xff) |
    ((type & 3) << 8) |
    ((protocol & 0xff) << 10) |
    ((tokenValue & (tokens - 1)) << tokenShift)) >>>
  0

/** Index of a message in a table of all: protocol in 15:8, message in 7:0. */
export const tableIndex = (headerWord: number): number => ((headerWord >>> 2) & 0xff00) | (headerWord & 0xff)
/** Entries of such a table. */
export const tableSize = 0x1_0000
