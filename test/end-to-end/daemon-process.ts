// A real scmid for tests: the compiled program with a directory of its own. Nothing in it is replaced.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parse, stringify } from 'yaml'
import { ControlClient } from '../../src/cli/client.ts'

export const example = (name: string): string => resolve('fixtures/example', name)

/** Compiles src/ when it is newer than dist/. */
export function ensureBuilt(): void {
  const { status, stderr } = spawnSync(process.execPath, [resolve('scripts/ensure.mjs')], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`building failed: ${stderr}`)
}

export interface DaemonOptions {
  /** Changes to the example's configuration, by dotted path. */
  readonly config?: Readonly<Record<string, unknown>>
  /** A directory of an earlier daemon, to take up its state. */
  readonly directory?: string
}

/** One scmid process. */
export class DaemonProcess {
  readonly directory: string
  readonly socket: string
  readonly client: ControlClient
  readonly #child: ChildProcess
  #log = ''

  private constructor(directory: string, config: string) {
    this.directory = directory
    this.socket = join(directory, 'scmid.sock')
    this.client = new ControlClient(this.socket)
    this.#child = spawn(process.execPath, [resolve('dist/main.js'), '-c', config, '--directory', directory], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child.stderr?.on('data', chunk => {
      this.#log += chunk
    })
  }

  static async start(options: DaemonOptions = {}): Promise<DaemonProcess> {
    const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'scmid-test-'))
    const config = parse(readFileSync(example('scmid.yaml'), 'utf8'))
    config.host = example('host.dtb')
    config.firmware.platform = example('platform.yaml')
    for (const [path, value] of Object.entries(options.config ?? {})) {
      const names = path.split('.')
      const last = names.pop() ?? ''
      let at = config
      for (const name of names) at = at[name] ??= {}
      at[last] = value
    }
    const file = join(directory, 'scmid.yaml')
    writeFileSync(file, stringify(config))
    const daemon = new DaemonProcess(directory, file)
    for (;;) {
      try {
        await daemon.client.status()
        return daemon
      } catch (error) {
        if (daemon.#child.exitCode !== null) throw new Error(`scmid ended: ${daemon.log}`, { cause: error })
        await new Promise(done => setTimeout(done, 20))
      }
    }
  }

  /** What it logged so far. */
  get log(): string {
    return this.#log
  }
  get pid(): number {
    return this.#child.pid ?? 0
  }
  get exitCode(): number | null {
    return this.#child.exitCode
  }

  /** Path for a guest's socket. */
  path(name: string): string {
    return join(this.directory, name)
  }

  /** Sends a signal and waits for the end; gives the exit code, or null after a kill. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode
    const exit = once(this.#child, 'exit')
    this.#child.kill(signal)
    await exit
    return this.#child.exitCode
  }

  /** Ends it and removes its directory. */
  async destroy(): Promise<void> {
    await this.end('SIGTERM')
    rmSync(this.directory, { recursive: true, force: true })
  }
}
