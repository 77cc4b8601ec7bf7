// Faults of the operator or the machine. A guest's fault is an SCMI status, never an exception.

/** Every code a MediatorError can carry; users match the code, not the text. */
export const errorCodes = [
  'CONFIG_INVALID', // a configuration or platform file: names the file and the property
  'REQUEST_INVALID', // a control request: names the route and the property
  'DTB_MALFORMED', // a device tree blob: names the file, node, property, byte offset
  'DTB_REFUSED', // a well-formed device tree that cannot be honoured
  'PLAN_REFUSED', // host and partial trees that contradict each other
  'DOMAIN_EXISTS',
  'DOMAIN_UNKNOWN',
  'DEVICE_UNKNOWN',
  'DEVICE_BUSY', // assigned to another domain
  'AGENT_UNKNOWN',
  'AGENT_BUSY', // the agent id is assigned, quarantined or reserved
  'AGENTS_EXHAUSTED',
  'AGENT_MISMATCH', // declared and discovered identities differ, or an id, shmem or smc-id stands twice
  'FIRMWARE_SILENT', // no answer within the deadline
  'FIRMWARE_REFUSED', // answered with an error status
  'FIRMWARE_MALFORMED', // answered with something that is not the answer
  'XENSTORE_REFUSED', // the daemon's word for it stands in the text
  'XENSTORE_UNREACHABLE', // no daemon, or none that answers
  'SOCKET_PATH', // too long, in use, or not ours
  'DAEMON_RUNNING',
  'DAEMON_UNREACHABLE',
  'STATE_CORRUPT', // the daemon's own files
  'AUDIT_BROKEN', // the audit log's chain does not hold
  'XEN_UNAVAILABLE', // no hypervisor here, or not the libraries to speak to it
  'XEN_REFUSED', // the hypervisor does not do it: names the call, the domain and errno
  'NOT_SUPPORTED',
  'SYSTEM', // a system call failed: names the call and errno
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** A fault of the operator or the machine, told in one line that names the file, node and property. */
export class MediatorError extends Error {
  override readonly name = 'MediatorError'
  readonly code: ErrorCode
  /** File, node or property the fault lies in, where there is one. */
  readonly path: string | undefined

  constructor(code: ErrorCode, text: string, options: { cause?: unknown; path?: string } = {}) {
    super(text, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.path = options.path
  }
}

/** The one-line text of anything thrown. */
export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error))
