// How a refusal looks on the wire: HTTP status and body. It decides nothing.
import type { FastifyError } from 'fastify'
import { type ErrorCode, errorText, MediatorError } from '../errors.ts'

/** The body of every answer that is no success. */
export interface RefusalBody {
  readonly code: ErrorCode
  readonly text: string
  /** File, node or property the fault lies in, where there is one. */
  readonly path?: string
}

/** 4xx: ask differently; 5xx: look at the daemon, its machine or its firmware. */
const httpStatus: Readonly<Record<ErrorCode, number>> = {
  CONFIG_INVALID: 400,
  REQUEST_INVALID: 400,
  DTB_MALFORMED: 422,
  DTB_REFUSED: 422,
  PLAN_REFUSED: 422,
  DOMAIN_EXISTS: 409,
  DOMAIN_UNKNOWN: 404,
  DEVICE_UNKNOWN: 404,
  DEVICE_BUSY: 409,
  AGENT_UNKNOWN: 404,
  AGENT_BUSY: 409,
  AGENTS_EXHAUSTED: 409,
  AGENT_MISMATCH: 409,
  FIRMWARE_SILENT: 504,
  FIRMWARE_REFUSED: 502,
  FIRMWARE_MALFORMED: 502,
  XENSTORE_REFUSED: 502,
  XENSTORE_UNREACHABLE: 503,
  SOCKET_PATH: 422,
  DAEMON_RUNNING: 409,
  DAEMON_UNREACHABLE: 503,
  STATE_CORRUPT: 500,
  AUDIT_BROKEN: 500,
  XEN_UNAVAILABLE: 503,
  XEN_REFUSED: 502,
  NOT_SUPPORTED: 501,
  SYSTEM: 500,
}

export interface Refusal {
  readonly status: number
  readonly body: RefusalBody
  /** Whether it is a fault of ours, to be logged with its stack. */
  readonly internal: boolean
}

/** The answer to anything thrown while a request was served. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof MediatorError) {
    const { code, message: text, path } = error
    return {
      status: httpStatus[code],
      body: { code, text, ...(path === undefined ? {} : { path }) },
      internal: false,
    }
  }
  // fastify's own: a body that is no JSON, is too large, or of another type
  const status = (error as Partial<FastifyError> | undefined)?.statusCode
  if (status !== undefined && status >= 400 && status < 500)
    return { status, body: { code: 'REQUEST_INVALID', text: errorText(error) }, internal: false }
  return {
    status: 500,
    body: { code: 'SYSTEM', text: `internal error: ${errorText(error)}` },
    internal: true,
  }
}
