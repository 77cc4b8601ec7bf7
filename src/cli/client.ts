// The daemon as seen from another process: every call of the Daemon interface over HTTP on its Unix socket.
import { type IncomingMessage, request } from 'node:http'
import { type ErrorCode, errorCodes, errorText, MediatorError } from '../errors.ts'
import type { AskedDomain, Daemon } from '../lifecycle/views.ts'

/** The same calls, each a promise. */
type Remote<D> = {
  readonly [K in keyof D]: D[K] extends (...args: infer A) => infer R
    ? (...args: A) => Promise<Awaited<R>>
    : never
}

/** No answer is larger than this, in bytes. */
const maxAnswerBytes = 64 << 20

/**
 * Speaks to the daemon at `socket`. Every call throws what the daemon refused with (a MediatorError of the same code,
 * text and path), DAEMON_UNREACHABLE when there is none or it does not answer in time, SYSTEM when what answers is no
 * daemon.
 */
export class ControlClient implements Remote<Daemon> {
  readonly socket: string
  readonly #timeoutMs: number

  /** `timeoutMs` is the longest silence that is borne within one call, in milliseconds. */
  constructor(socket: string, options: { readonly timeoutMs?: number } = {}) {
    this.socket = socket
    this.#timeoutMs = options.timeoutMs ?? 30_000
  }

  readonly info: Remote<Daemon>['info'] = () => this.#ask('GET', '/v1/info')
  readonly status: Remote<Daemon>['status'] = () => this.#ask('GET', '/v1/status')
  readonly domains: Remote<Daemon>['domains'] = () => this.#ask('GET', '/v1/domains')
  readonly domain: Remote<Daemon>['domain'] = name => this.#ask('GET', `/v1/domains/${encode(name)}`)
  readonly agents: Remote<Daemon>['agents'] = () => this.#ask('GET', '/v1/agents')
  readonly devices: Remote<Daemon>['devices'] = domain =>
    this.#ask('GET', domain === undefined ? '/v1/devices' : `/v1/devices?domain=${encode(domain)}`)
  readonly permissionCommands: Remote<Daemon>['permissionCommands'] = () =>
    this.#ask('GET', '/v1/permission-commands')
  readonly addDomain: Remote<Daemon>['addDomain'] = (spec, options) =>
    this.#ask('POST', `/v1/domains${query(options)}`, wireSpec(spec))
  readonly removeDomain: Remote<Daemon>['removeDomain'] = (name, options) =>
    this.#ask('DELETE', `/v1/domains/${encode(name)}${query(options)}`)
  readonly attachDevice: Remote<Daemon>['attachDevice'] = (domain, device, options) =>
    this.#ask('POST', `/v1/domains/${encode(domain)}/devices${query(options)}`, { device })
  readonly detachDevice: Remote<Daemon>['detachDevice'] = (domain, device, options) =>
    this.#ask('DELETE', `/v1/domains/${encode(domain)}/devices/${encode(device)}${query(options)}`)
  readonly releaseAgent: Remote<Daemon>['releaseAgent'] = (agentId, { dryRun, unproven }) =>
    this.#ask('POST', `/v1/agents/${agentId}/release?dryRun=${dryRun}&unproven=${unproven}`)
  readonly flushAudit: Remote<Daemon>['flushAudit'] = () => this.#ask('POST', '/v1/audit/flush')

  readonly gatedDomains: Remote<Daemon>['gatedDomains'] = () => this.#ask('GET', '/v1/toolstack/domains')
  readonly holdDomain: Remote<Daemon>['holdDomain'] = name =>
    this.#ask('POST', `/v1/toolstack/domains/${encode(name)}/hold`)
  readonly releaseDomain: Remote<Daemon>['releaseDomain'] = name =>
    this.#ask('POST', `/v1/toolstack/domains/${encode(name)}/release`)
  readonly preflight: Remote<Daemon>['preflight'] = configuration =>
    this.#ask('POST', '/v1/toolstack/preflight', { configuration })

  async #ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const { status, text } = await this.#exchange(
      method,
      path,
      body === undefined ? undefined : JSON.stringify(body),
    )
    let answer: unknown
    try {
      answer = JSON.parse(text)
    } catch (cause) {
      throw this.#stranger(`${method} ${path} was answered ${status} and no JSON`, cause)
    }
    if (status >= 200 && status < 300) return answer as T
    const { code, text: told, path: at } = answer as { code?: unknown; text?: unknown; path?: unknown }
    if (!isErrorCode(code) || typeof told !== 'string')
      throw this.#stranger(`${method} ${path} was answered ${status}`)
    throw new MediatorError(code, told, typeof at === 'string' ? { path: at } : {})
  }

  #exchange(
    method: string,
    path: string,
    body: string | undefined,
  ): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const headers =
        body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
      const sent = request({ socketPath: this.socket, method, path, headers, agent: false }, answer => {
        collect(answer).then(text => resolve({ status: answer.statusCode ?? 0, text }), fail)
      })
      const fail = (cause: unknown) =>
        reject(cause instanceof MediatorError ? cause : this.#unreachable(cause))
      sent.setTimeout(this.#timeoutMs, () => sent.destroy(this.#silent(method, path)))
      sent.once('error', fail)
      sent.end(body)
    })
  }

  #silent(method: string, path: string): MediatorError {
    return new MediatorError(
      'DAEMON_UNREACHABLE',
      `${this.socket}: no answer to ${method} ${path} within ${this.#timeoutMs} ms; see the daemon's log`,
      { path: this.socket },
    )
  }

  #unreachable(cause: unknown): MediatorError {
    return new MediatorError('DAEMON_UNREACHABLE', `${this.socket}: ${advice(cause)}`, {
      cause,
      path: this.socket,
    })
  }

  #stranger(text: string, cause?: unknown): MediatorError {
    const told = `${this.socket}: ${text}: what listens there is no scmid of this version`
    return new MediatorError('SYSTEM', told, { cause, path: this.socket })
  }
}

/** What a failed connection means, and what to do. */
function advice(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code
  if (code === 'ENOENT')
    return 'no daemon: there is no such socket; start scmid, or name its socket with --socket'
  if (code === 'ECONNREFUSED') return 'no daemon: nobody listens on this socket any more; start scmid'
  if (code === 'EACCES' || code === 'EPERM')
    return 'permission denied; run this as the user that scmid runs as'
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'the daemon hung up; see its log'
  return `cannot talk to the daemon: ${errorText(cause)}`
}

async function collect(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxAnswerBytes) throw new Error(`the answer is larger than ${maxAnswerBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The specification as JSON: the blob in base64. */
const wireSpec = ({ dtb, ...rest }: AskedDomain): Omit<AskedDomain, 'dtb'> & { readonly dtb: string } => ({
  ...rest,
  dtb: Buffer.from(dtb.buffer, dtb.byteOffset, dtb.byteLength).toString('base64'),
})

const encode = encodeURIComponent
const query = ({ dryRun }: { readonly dryRun: boolean }): string => (dryRun ? '?dryRun=true' : '')
const isErrorCode = (code: unknown): code is ErrorCode => (errorCodes as readonly unknown[]).includes(code)
