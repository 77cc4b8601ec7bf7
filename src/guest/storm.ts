// Starts and stops the thread that scribbles over shared memory (page-rewriter.ts); each wait for it has an end.
import { Worker } from 'node:worker_threads'
import { errorText, MediatorError } from '../errors.ts'
import { poll } from './guest-connection.ts'
import { IDLE, QUIT, type RewriterData, type RewriterMemory, STORM } from './page-rewriter.ts'

const patienceMs = 2000

/** One scribbling thread, started when it is first wanted. */
export class Storm {
  readonly #seed: number
  readonly #states = new Int32Array(new SharedArrayBuffer(8))
  #worker: Worker | undefined
  #fault: string | undefined

  constructor(seed: number) {
    this.#seed = seed
  }

  /** Begins to scribble over `bytes` of the memory behind `fd`. SYSTEM when the thread does not come up. */
  async begin(fd: number, bytes: number): Promise<void> {
    this.#worker ??= this.#start()
    this.#worker.postMessage({ fd, bytes } satisfies RewriterMemory)
    this.#tell(STORM)
    if (!(await this.#reached(STORM)))
      throw new MediatorError('SYSTEM', `the rewriting thread: ${this.#fault ?? 'does not come up'}`)
  }

  /** Ends it, and gives back only when nothing is written any more. */
  async end(): Promise<void> {
    this.#tell(IDLE)
    await this.#reached(IDLE)
  }

  /** Ends the thread. Twice is once. */
  close(): void {
    this.#tell(QUIT)
    this.#worker?.unref()
    this.#worker = undefined
  }

  #start(): Worker {
    const worker = new Worker(new URL('./page-rewriter.js', import.meta.url), {
      workerData: { control: this.#states.buffer, seed: this.#seed } satisfies RewriterData,
    })
    worker.on('error', error => {
      this.#fault = errorText(error)
    })
    return worker
  }

  #tell(state: number): void {
    Atomics.store(this.#states, 0, state)
    Atomics.notify(this.#states, 0)
  }

  async #reached(state: number): Promise<boolean> {
    const look = (): boolean | undefined => {
      if (this.#fault !== undefined) return false
      return Atomics.load(this.#states, 1) === state ? true : undefined
    }
    return (await poll(look, patienceMs)) ?? false
  }
}
