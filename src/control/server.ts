// The control API: HTTP on the daemon's Unix socket. Whoever may open the socket is the operator; nobody else is asked.
import { createServer, type Server } from 'node:http'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { Logger } from 'pino'
import type { Daemon } from '../lifecycle/views.ts'
import { refusalOf } from './refusal.ts'
import { addRoutes, maxBodyBytes } from './routes.ts'
import { type ClaimedSocket, claimSocket } from './socket.ts'

export interface ControlServerOptions {
  /** Path of the socket; its directory exists. */
  readonly socket: string
  readonly log: Pick<Logger, 'debug' | 'info' | 'error'>
  /** Milliseconds that `stop` waits for requests under way. Default 2000. */
  readonly drainMs?: number
}

/** Serves a Daemon until stopped. */
export class ControlServer {
  readonly socket: string
  readonly #daemon: Daemon
  readonly #log: ControlServerOptions['log']
  readonly #drainMs: number
  #app: FastifyInstance | undefined
  #server: Server | undefined
  #claimed: ClaimedSocket | undefined

  constructor(daemon: Daemon, options: ControlServerOptions) {
    this.#daemon = daemon
    this.socket = options.socket
    this.#log = options.log
    this.#drainMs = options.drainMs ?? 2000
  }

  /**
   * Claims the socket (mode 0600) and serves. Throws DAEMON_RUNNING when another daemon answers there, SOCKET_PATH
   * when the path cannot be had.
   */
  async start(): Promise<void> {
    const app = this.#build()
    await app.ready()
    // Our own server, because fastify would listen later than the umask may be changed for.
    const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, (request, response) =>
      app.routing(request, response),
    )
    try {
      this.#claimed = await claimSocket(server, this.socket)
    } catch (error) {
      await app.close()
      throw error
    }
    this.#app = app
    this.#server = server
  }

  /** Takes the socket away, lets requests under way end, closes. Twice is once. */
  async stop(): Promise<void> {
    const server = this.#server
    const app = this.#app
    this.#claimed?.release()
    this.#claimed = undefined
    this.#server = undefined
    this.#app = undefined
    if (server === undefined) return
    const closed = new Promise<void>(resolve => server.close(() => resolve()))
    server.closeIdleConnections()
    const cut = setTimeout(() => server.closeAllConnections(), this.#drainMs)
    await closed
    clearTimeout(cut)
    await app?.close()
  }

  #build(): FastifyInstance {
    const app = fastify({
      bodyLimit: maxBodyBytes,
      routerOptions: { maxParamLength: 8192, ignoreTrailingSlash: false },
      frameworkErrors: (error, _, reply) => {
        const { status, body } = refusalOf(error)
        void (reply as FastifyReply).code(status).send(body)
      },
    })
    app.removeContentTypeParser('text/plain') // JSON is all there is
    app.setErrorHandler((error, request, reply) => {
      const { status, body, internal } = refusalOf(error)
      if (internal)
        this.#log.error({ err: error, method: request.method, url: request.url }, 'control: internal error')
      void reply.code(status).send(body)
    })
    app.addHook('onResponse', async (request, reply) => {
      const facts = { method: request.method, url: request.url, status: reply.statusCode }
      if (request.method === 'GET') this.#log.debug(facts, 'control')
      else this.#log.info(facts, 'control')
    })
    addRoutes(app, this.#daemon)
    return app
  }
}
