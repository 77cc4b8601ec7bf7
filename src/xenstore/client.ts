// The xenstore client: one connection at a time, renewed when it breaks, with its watches; and all requests. What the
// nodes mean is not known here.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorText } from '../errors.ts'
import { Connection } from './connection.ts'
import { unreachable } from './error.ts'
import { DomainRequests, NodeRequests, type Send } from './requests.ts'
import { runTransaction, type TransactionOptions } from './transaction.ts'
import { Watches, type WatchHandler } from './watches.ts'

export interface XenstoreOptions {
  /** The daemon's Unix socket, or the kernel's device. */
  readonly path: string
  /** Milliseconds until a request without an answer is given up. Default 5000. */
  readonly timeoutMs?: number
  /** Milliseconds between attempts to connect again: the first pause, doubled up to the longest. Defaults 50 and 5000. */
  readonly firstPauseMs?: number
  readonly longestPauseMs?: number
  readonly log?: (level: 'info' | 'warn', text: string) => void
}

/** A watch that is set. */
export interface Watch {
  /** No event comes after this was called. */
  close(): Promise<void>
}

export class XenstoreClient {
  readonly path: string
  readonly nodes: NodeRequests
  readonly domains: DomainRequests
  /**
   * Called when a connection was lost and another one stands, its watches set: whatever happened meanwhile was not told,
   * and the daemon may be a new one with an empty store.
   */
  onRescan: () => void = () => {}
  /** Called when the connection is lost. */
  onLost: (reason: string) => void = () => {}
  readonly #options: Required<XenstoreOptions>
  readonly #watches = new Watches()
  readonly #ending = new AbortController()
  #connection: Connection | undefined
  #renewing: Promise<void> | undefined

  constructor(options: XenstoreOptions) {
    this.#options = {
      timeoutMs: 5000,
      firstPauseMs: 50,
      longestPauseMs: 5000,
      log: () => {},
      ...options,
    }
    this.path = options.path
    const send: Send = async (name, texts, value) =>
      this.#current().request(name, texts, value === undefined ? {} : { value })
    this.nodes = new NodeRequests(send)
    this.domains = new DomainRequests(send)
  }

  get isConnected(): boolean {
    return this.#connection?.isOpen === true
  }

  /** Connects. Throws XENSTORE_UNREACHABLE; from then on it connects again by itself. */
  async start(): Promise<void> {
    this.#connection = await this.#open()
  }

  /** Nothing is heard or asked after this. Twice is once. */
  async stop(): Promise<void> {
    this.#ending.abort()
    await this.#connection?.close('the client was stopped')
    await this.#renewing
  }

  /** Calls `handler` for each change at or below `path`, or for `@introduceDomain` and `@releaseDomain`, which name no domain. */
  async watch(path: string, handler: WatchHandler): Promise<Watch> {
    const token = await this.#watches.add(path, handler, this.#connection)
    return { close: () => this.#watches.remove(token, this.#connection) }
  }

  /** See runTransaction. */
  transaction<T>(work: (nodes: NodeRequests) => Promise<T>, options?: TransactionOptions): Promise<T> {
    return runTransaction(() => this.#current(), work, options)
  }

  #current(): Connection {
    const connection = this.#connection
    if (connection?.isOpen !== true) throw unreachable(this.path, 'not connected')
    return connection
  }

  #open(): Promise<Connection> {
    const { path, timeoutMs } = this.#options
    return Connection.open({
      path,
      timeoutMs,
      onEvent: (changed, token) => this.#watches.dispatch(changed, token),
      onClosed: reason => this.#lost(reason),
    })
  }

  #lost(reason: string): void {
    if (this.#ending.signal.aborted) return
    this.#options.log('warn', `xenstore at ${this.path}: ${reason}; connecting again`)
    this.onLost(reason)
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined
    })
  }

  /** Connects until it stands with all watches, or the client is stopped. */
  async #renew(): Promise<void> {
    const { firstPauseMs, longestPauseMs, log } = this.#options
    const { signal } = this.#ending
    for (let attempt = 0; !signal.aborted; attempt++) {
      const pauseMs = Math.min(firstPauseMs * 2 ** Math.min(attempt, 20), longestPauseMs)
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      try {
        const connection = await this.#open()
        this.#connection = connection
        await this.#watches.arm(connection, text => log('warn', `xenstore: ${text}`))
        if (!connection.isOpen || signal.aborted) continue
        log('info', `xenstore at ${this.path}: connected again`)
        this.onRescan()
        return
      } catch (error) {
        if (attempt === 0) log('warn', errorText(error)) // the others say the same
        await this.#connection?.close()
      }
    }
    await this.#connection?.close('the client was stopped')
  }
}
