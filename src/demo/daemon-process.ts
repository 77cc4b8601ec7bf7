// The daemon as a child process of the demonstration: started, awaited, stopped. What it does is asked over its socket.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ControlClient } from '../cli/client.ts'
import { controlSocket } from '../config/paths.ts'
import { MediatorError } from '../errors.ts'

/** Milliseconds for it to serve, between looks, and to stop before it is killed. */
const startMs = 20_000
const lookMs = 25
const stopMs = 5_000
/** Lines of its log that are kept, to be shown when it dies. */
const keptLines = 40

export interface DaemonOptions {
  /** dist/main.js */
  readonly program: string
  readonly config: string
  /** Sockets, state and log go here. */
  readonly directory: string
}

/** A running scmid. */
export class DaemonProcess {
  readonly client: ControlClient
  /** Resolves with what there is to say when it ends without having been told to. */
  readonly died: Promise<string>
  readonly #child: ChildProcess
  readonly #log: string[] = []
  #stopping = false

  /** Starts it; `serving` waits for it, `stop` ends it at any time. */
  constructor(options: DaemonOptions) {
    const { program, config, directory } = options
    this.client = new ControlClient(controlSocket({ run: directory }))
    // A group of its own: Ctrl-C on the terminal is ours to pass on, in order.
    this.#child = spawn(process.execPath, [program, '-c', config, '--directory', directory], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log.push(...text.split('\n').filter(line => line !== ''))
      this.#log.splice(0, this.#log.length - keptLines)
    })
    this.died = once(this.#child, 'close').then(
      ([code, signal]) =>
        `scmid ended (${signal ?? `exit ${code}`})${this.#log.map(line => `\n  ${said(line)}`).join('')}`,
      error => `scmid could not be started: ${(error as Error).message}`,
    )
  }

  /** Resolves when it serves. SYSTEM with the end of its log when it does not. */
  async serving(): Promise<void> {
    const end = performance.now() + startMs
    let death: string | undefined
    this.died.then(
      text => {
        death = text
      },
      () => {},
    )
    for (;;) {
      if (death !== undefined) throw new MediatorError('SYSTEM', death)
      // Another daemon may answer on that socket: ours will then say so itself, and end.
      const pid = await this.client.info().then(
        info => info.pid,
        () => undefined,
      )
      if (pid === this.#child.pid) return
      if (performance.now() > end) {
        await this.stop()
        throw new MediatorError(
          'SYSTEM',
          `scmid does not serve after ${startMs / 1000} s: ${await this.died}`,
        )
      }
      await sleep(lookMs)
    }
  }

  /** Whether it ends because it was told to. */
  get stopping(): boolean {
    return this.#stopping
  }

  /** SIGTERM, and SIGKILL when that is not heeded. Twice is once. */
  async stop(): Promise<void> {
    this.#stopping = true
    await stopChild(this.#child, stopMs)
  }
}

/** Ends a child: SIGTERM, then after a while SIGKILL. Resolves when it is gone. */
export async function stopChild(child: ChildProcess, patienceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const closed = once(child, 'close')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs)
  await closed
  clearTimeout(timer)
}

/** A line of its log without the JSON around it. */
function said(line: string): string {
  try {
    const { msg, err } = JSON.parse(line) as { msg?: string; err?: { message?: string } }
    return [msg, err?.message].filter(Boolean).join(': ')
  } catch {
    return line
  }
}
