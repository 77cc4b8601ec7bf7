// What the mediator can decide about a message: the closed list that the audit ring, its records and its readers share.

/** What the mediator can decide about one message; a record carries the index. The order is the ring's format. */
export const decisions = [
  'allowed', // granted and forwarded; the record's status is the firmware's
  'denied', // refused: not granted
  'placeholder', // the constant answer for a resource that is not the guest's
  'absent', // NOT_FOUND: outside of what the guest can see
  'local', // answered by the mediator itself, as Base is
  'vote', // served by arbitration between holders; nothing was sent
  'busy', // the guest's share of something is used up
  'error', // malformed: a protocol fault of the guest
] as const

export type Decision = (typeof decisions)[number]

export const ALLOWED = 0
export const DENIED = 1
export const PLACEHOLDER = 2
export const ABSENT = 3
export const LOCAL = 4
export const VOTE = 5
export const BUSY = 6
export const ERROR = 7
