// Why the mediator decided as it did: numbers on the relay thread, sentences in the audit log.

/** Nobody's rule: malformed, absent, or answered by the mediator for itself. */
export const NO_RULE = -1
export const GRANTED = 0
/** The resource is not the guest's. */
export const NOT_OWNED = 1
/** The guest holds nothing of the protocol. */
export const PROTOCOL_NOT_HELD = 2
/** Permission commands and fast channels are never a guest's. */
export const PRIVILEGED_MESSAGE = 3
/** Another holder has voted for it: nothing was sent. */
export const OTHERS_VOTE = 4
/** Another guest set the shared rate, level or reset first and holds it. */
export const EXCLUSIVELY_HELD = 5
/** The host uses it too, and keeps it. */
export const HOST_HOLDS = 6
/** A release of what the guest does not own takes nothing from anybody. */
export const NOTHING_TO_RELEASE = 7
/** A state between on and off, of something that others share. */
export const STATE_NOT_SHARED = 8
/** The firmware was restarted, and did not grant again what the guest had. */
export const NOT_GRANTED_AGAIN = 9
/** System power: what is the whole machine's is no guest's to switch. */
export const MACHINES_POWER = 10

/** The sentence for a reason; `{node}` and `{domain}` are filled in by whoever knows the device trees. */
export const reasons: readonly string[] = [
  'granted by {node}',
  'not granted: {node}',
  'no device of the domain uses this protocol',
  'never for guests',
  'another holder still needs it: {node}',
  'set exclusively by another domain: {node}',
  'the host uses it: {node}',
  'not granted, and nothing to release: {node}',
  'shared, so only on and off can be asked of it: {node}',
  'the firmware was restarted and did not grant it again: {node}',
  'the power of the machine is no guest’s to switch',
]
