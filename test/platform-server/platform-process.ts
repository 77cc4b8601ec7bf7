// A real scmi-platform for tests: the compiled program with sockets in a directory of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export interface ReadyLine {
  readonly version: string
  readonly pid: number
  readonly profile: string
  readonly sockets: readonly {
    readonly agentId: number
    readonly name: string
    readonly trusted: boolean
    readonly path: string
  }[]
}

export const examplePlatform = resolve('fixtures/example/platform.yaml')

/**
 * A file with the example's platform where whoever writes last decides, and with an agent 6 that sees the truth and asks
 * for nothing. It is in `folder`.
 */
export function observedPlatform(folder: string): string {
  const file = join(folder, 'platform.yaml')
  writeFileSync(
    file,
    readFileSync(examplePlatform, 'utf8')
      .replace('sharing: votes', 'sharing: last-writer')
      .replace(/( {2}- \{ id: 5, name: guest3.*\n)/, '$1  - { id: 6, name: observer, permissions: allow }\n'),
  )
  return file
}

export class PlatformProcess {
  readonly directory: string
  readonly #config: string
  readonly #arguments: readonly string[]
  #child: ChildProcess | undefined
  #log = ''
  ready: ReadyLine | undefined

  constructor(config = examplePlatform, ...more: string[]) {
    this.directory = mkdtempSync(join(tmpdir(), 'scmi-platform-'))
    this.#config = config
    this.#arguments = more
  }

  static async start(config = examplePlatform, ...more: string[]): Promise<PlatformProcess> {
    const platform = new PlatformProcess(config, ...more)
    await platform.start()
    return platform
  }

  /** The example's sockets by agent id. */
  socket(agentId: number): string {
    return join(this.directory, `agent-${agentId}.sock`)
  }
  get log(): string {
    return this.#log
  }

  /** Starts it, for the first time or again; resolves when its sockets take connections. */
  async start(): Promise<void> {
    const arguments_ = ['--config', this.#config, '--directory', this.directory, '--json', ...this.#arguments]
    const child = spawn(process.execPath, [resolve('dist/platform-server/main.js'), ...arguments_], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    child.stderr.on('data', chunk => {
      this.#log += chunk
    })
    let out = ''
    this.ready = await new Promise<ReadyLine>((done, fail) => {
      child.stdout.on('data', chunk => {
        out += chunk
        if (out.includes('\n')) done(JSON.parse(out))
      })
      child.on('exit', code => fail(new Error(`scmi-platform ended with ${code}: ${this.#log}`)))
    })
  }

  /** Sends a signal that does not end it. */
  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name)
  }

  /** Sends a signal and waits for the end: the exit code, null after a kill. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child
    if (child === undefined) return null
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    const exit = once(child, 'exit')
    child.kill(signal)
    await exit
    return child.exitCode
  }

  async destroy(): Promise<void> {
    await this.end('SIGKILL')
    rmSync(this.directory, { recursive: true, force: true })
  }
}
