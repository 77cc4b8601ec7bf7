// One connection to a xenstore daemon: requests pipelined and matched by id, each with its deadline; events passed on. It
// ends once and for all; client.ts makes the next.
import { unreachable, XenstoreError } from './error.ts'
import { openTransport, type Transport } from './transport.ts'
import {
  decodeTexts,
  encodeArguments,
  encodeMessage,
  MessageReader,
  maxRequestBytes,
  messageTypes,
  type RequestName,
  type WireMessage,
} from './wire.ts'

export interface ConnectionOptions {
  readonly path: string
  /** Milliseconds from when a request is sent until it is given up. */
  readonly timeoutMs: number
  readonly onEvent: (path: string, token: string) => void
  readonly onClosed: (reason: string) => void
}

interface Pending {
  readonly name: RequestName
  readonly about: string
  readonly resolve: (payload: Uint8Array) => void
  readonly reject: (error: Error) => void
  readonly deadline: NodeJS.Timeout
}

interface Waiting {
  readonly message: WireMessage
  readonly pending: Omit<Pending, 'deadline'>
}

/** Requests that are out at once; the others wait here, where their time does not run. */
const windowSize = 64
/** So many in a row without an answer between them, and the connection is given up. */
const silenceLimit = 3

export class Connection {
  readonly #options: ConnectionOptions
  readonly #pending = new Map<number, Pending>()
  /** Given up, but still to be answered: their ids are not used again. */
  readonly #abandoned = new Map<number, RequestName>()
  readonly #waiting: Waiting[] = []
  readonly #reader = new MessageReader()
  #transport: Transport | undefined
  #lastId = 0
  #silences = 0
  /** Why there is no more to be had from it. */
  #end: string | undefined

  private constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /** Throws XENSTORE_UNREACHABLE. */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const connection = new Connection(options)
    connection.#transport = await openTransport(options.path, {
      data: chunk => connection.#receive(chunk),
      closed: reason => connection.#finish(reason),
    })
    return connection
  }

  get isOpen(): boolean {
    return this.#end === undefined
  }

  /**
   * Sends `texts`, each NUL-terminated, and `value` behind them as it is; resolves with the reply's payload. Throws
   * XenstoreError with the daemon's word for a refusal, XENSTORE_UNREACHABLE when no answer comes: whether the request
   * was executed is not known then.
   */
  request(
    name: RequestName,
    texts: readonly string[],
    options: { value?: Uint8Array; transactionId?: number } = {},
  ): Promise<Uint8Array> {
    const about = `${name} ${texts[0] ?? ''}`.trimEnd()
    const payload = encodeArguments(texts, options.value)
    if (payload.length > maxRequestBytes)
      return Promise.reject(
        new XenstoreError(
          'E2BIG',
          about,
          `${payload.length} bytes; a request has at most ${maxRequestBytes}`,
        ),
      )
    if (texts.some(text => text.includes('\0')))
      return Promise.reject(new XenstoreError('EINVAL', about, 'a NUL inside an argument'))
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) return reject(unreachable(this.#options.path, this.#end))
      const message = {
        type: messageTypes[name],
        requestId: this.#nextId(),
        transactionId: options.transactionId ?? 0,
        payload,
      }
      this.#waiting.push({ message, pending: { name, about, resolve, reject } })
      this.#sendWaiting()
    })
  }

  /** Ends it; what is pending is refused with `reason`. */
  async close(reason = 'closed'): Promise<void> {
    this.#finish(reason, { tell: false })
    await this.#transport?.close()
  }

  #sendWaiting(): void {
    while (this.#pending.size < windowSize) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      const { message, pending } = next
      const deadline = setTimeout(() => this.#giveUp(message.requestId), this.#options.timeoutMs)
      this.#pending.set(message.requestId, { ...pending, deadline })
      this.#transport?.write(encodeMessage(message))
    }
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId + 1) >>> 0
    while (this.#lastId === 0 || this.#pending.has(this.#lastId) || this.#abandoned.has(this.#lastId))
    return this.#lastId
  }

  /** oxenstored 4.17 never answers some malformed requests: one silence does not condemn the connection. */
  #giveUp(requestId: number): void {
    const pending = this.#pending.get(requestId)
    if (pending === undefined) return
    this.#pending.delete(requestId)
    this.#abandoned.set(requestId, pending.name)
    const { path, timeoutMs } = this.#options
    pending.reject(unreachable(path, `${pending.about}: no answer within ${timeoutMs} ms`))
    if (++this.#silences >= silenceLimit) this.#finish(`${silenceLimit} requests in a row were not answered`)
    else this.#sendWaiting()
  }

  #receive(chunk: Uint8Array): void {
    let messages: WireMessage[]
    try {
      messages = this.#reader.push(chunk)
    } catch (error) {
      return this.#finish((error as RangeError).message)
    }
    for (const message of messages) this.#take(message)
    this.#sendWaiting()
  }

  #take({ type, requestId, payload }: WireMessage): void {
    if (type === messageTypes.WATCH_EVENT) {
      const [path, token] = decodeTexts(payload)
      if (path !== undefined && token !== undefined) this.#options.onEvent(path, token)
      return
    }
    this.#silences = 0
    const abandoned = this.#abandoned.get(requestId)
    if (abandoned !== undefined) {
      this.#abandoned.delete(requestId)
      if (abandoned === 'TRANSACTION_START' && type === messageTypes.TRANSACTION_START) this.#drop(payload)
      return
    }
    const pending = this.#pending.get(requestId)
    if (pending === undefined) return
    this.#pending.delete(requestId)
    clearTimeout(pending.deadline)
    if (type === messageTypes.ERROR) {
      const errno = decodeTexts(payload)[0] ?? ''
      pending.reject(new XenstoreError(errno, pending.about, errno === '' ? 'refused' : errno))
    } else if (type === messageTypes[pending.name]) pending.resolve(payload)
    else pending.reject(unreachable(this.#options.path, `${pending.about}: an answer of type ${type}`))
  }

  /** A transaction that was begun after its caller had gone would stay with the daemon. */
  #drop(payload: Uint8Array): void {
    const transactionId = Number(decodeTexts(payload)[0])
    if (transactionId > 0) this.request('TRANSACTION_END', ['F'], { transactionId }).catch(() => {})
  }

  #finish(reason: string, { tell = true } = {}): void {
    if (this.#end !== undefined) return
    this.#end = reason
    const error = (about: string): Error => unreachable(this.#options.path, `${about}: ${reason}`)
    for (const { deadline, reject, about } of this.#pending.values()) {
      clearTimeout(deadline)
      reject(error(about))
    }
    for (const { pending } of this.#waiting) pending.reject(error(pending.about))
    this.#pending.clear()
    this.#waiting.length = 0
    if (!tell) return
    this.#transport?.close().catch(() => {})
    this.#options.onClosed(reason)
  }
}
