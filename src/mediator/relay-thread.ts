// The relay as a worker thread, seen from the main thread: commands over a message port, a bell to wake it. No policy.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { type ErrorCode, MediatorError } from '../errors.ts'
import { Reactor } from '../native/reactor.ts'
import { type RelayCommand, RelayCommands } from './relay-port.ts'

/** How an error crosses between the threads. */
export interface CarriedError {
  readonly code: ErrorCode
  readonly text: string
  readonly path?: string
}

/** Main thread to relay. */
export type ToRelay = { readonly id: number; readonly command: RelayCommand } | { readonly stop: true }
/** Relay to main thread. */
export type FromRelay =
  | { readonly ready: { readonly wakeFd: number } }
  | { readonly failed: CarriedError }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: CarriedError }
  | { readonly reconnected: number }
  | { readonly log: { readonly level: 'info' | 'warn' | 'error'; readonly text: string } }

export interface RelayThreadOptions {
  /** The compiled worker program, and what it is given. */
  readonly program: URL
  readonly data: unknown
  readonly log: (level: 'info' | 'warn' | 'error', text: string) => void
  /** The connection of a firmware channel is back after it was lost: see `RelayPort.restore`. */
  readonly onReconnected: (channel: number) => void
  /** The relay is gone without having been asked to: the daemon must go too. */
  readonly onDeath: (error: Error) => void
}

/** Who waits for the answer to a command, by its id. */
type Waiting = Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>

export class RelayThread extends RelayCommands {
  readonly #worker: Worker
  readonly #wakeFd: number
  readonly #waiting: Waiting
  #next = 1
  #stopping = false
  #stopped: Promise<void> | undefined
  /** The thread has ended: its descriptors are closed, and their numbers may be somebody else's. */
  #gone = false

  private constructor(worker: Worker, wakeFd: number, waiting: Waiting) {
    super()
    this.#worker = worker
    this.#wakeFd = wakeFd
    this.#waiting = waiting
  }

  /** Starts the thread; resolves when it serves. What its start throws is thrown here. */
  static async start(options: RelayThreadOptions): Promise<RelayThread> {
    const worker = new Worker(options.program, { workerData: options.data })
    const waiting: Waiting = new Map()
    let thread: RelayThread | undefined
    let death: Error | undefined
    const ready = new Promise<number>((resolve, reject) => {
      worker.on('message', (message: FromRelay) => {
        if ('ready' in message) resolve(message.ready.wakeFd)
        else if ('failed' in message) reject(restored(message.failed))
        else if ('reconnected' in message) options.onReconnected(message.reconnected)
        else if ('log' in message) options.log(message.log.level, message.log.text)
        else {
          const { id } = message
          const waiter = waiting.get(id)
          waiting.delete(id)
          if ('error' in message) waiter?.reject(restored(message.error))
          else waiter?.resolve(message.result)
        }
      })
      const died = (error: Error): void => {
        if (death !== undefined) return
        death = error
        reject(error)
        if (thread !== undefined) thread.#gone = true
        for (const { reject: fail } of waiting.values()) fail(error)
        waiting.clear()
        if (thread !== undefined && !thread.#stopping) options.onDeath(error)
      }
      worker.on('error', died)
      worker.on('exit', code => died(new MediatorError('SYSTEM', `the relay thread ended with code ${code}`)))
    })
    const wakeFd = await ready
    if (death !== undefined) throw death
    thread = new RelayThread(worker, wakeFd, waiting)
    return thread
  }

  protected execute(command: RelayCommand): Promise<unknown> {
    if (this.#stopping || this.#gone)
      return Promise.reject(
        new MediatorError('SYSTEM', `the relay ${this.#gone ? 'is gone' : 'is stopping'}`),
      )
    const id = this.#next++
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
    this.#post({ id, command })
    return answer
  }

  async stop(): Promise<void> {
    this.#stopped ??= this.#end()
    await this.#stopped
  }

  async #end(): Promise<void> {
    this.#stopping = true
    if (this.#gone) return
    const exit = once(this.#worker, 'exit')
    this.#post({ stop: true })
    await exit
  }

  #post(message: ToRelay): void {
    this.#worker.postMessage(message)
    Reactor.wake(this.#wakeFd)
  }
}

/** An error as it crosses to the main thread. */
export function carried(error: unknown): CarriedError {
  if (error instanceof MediatorError)
    return {
      code: error.code,
      text: error.message,
      ...(error.path === undefined ? {} : { path: error.path }),
    }
  return { code: 'SYSTEM', text: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}

const restored = ({ code, text, path }: CarriedError): MediatorError =>
  new MediatorError(code, text, path === undefined ? {} : { path })
