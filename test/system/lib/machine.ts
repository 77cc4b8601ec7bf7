// A running QEMU, with its serial line as a console.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Console } from './console.ts'
import { programOf } from './trees.ts'

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL') // QEMU ignores SIGTERM while a vhost-user back end is silent
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))

/** One QEMU process. Killed at the latest when this program ends. */
export class Machine {
  readonly console: Console
  readonly #child: ChildProcess
  #errors = ''

  /** Starts qemu-system-aarch64 of the unpacked `tree` with its first serial line as the console. */
  constructor(tree: string, args: readonly string[]) {
    const [command, ...first] = programOf(tree, 'usr/bin/qemu-system-aarch64')
    const own = ['-L', `${tree}/usr/share/qemu`, '-display', 'none', '-nodefaults', '-monitor', 'none']
    this.#child = spawn(command, [...first, ...own, '-no-reboot', '-serial', 'stdio', ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    running.add(this.#child)
    const { stdin, stdout, stderr } = this.#child
    if (stdin === null || stdout === null || stderr === null) throw new Error('QEMU has no pipes')
    this.console = new Console(stdout, stdin)
    stderr.on('data', chunk => {
      this.#errors = `${this.#errors}${chunk}`.slice(-10_000)
    })
    this.#child.once('exit', (code, signal) => {
      running.delete(this.#child)
      this.console.end(`QEMU ended (${code ?? signal}): ${this.#errors.trim()}`)
    })
    this.#child.once('error', error => this.console.end(`QEMU could not be started: ${error.message}`))
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** What it wrote on its standard error, or the end of that. */
  get errors(): string {
    return this.#errors
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** Waits for QEMU's own end, as after a guest's poweroff. */
  async exit(timeoutMs = 30_000): Promise<void> {
    if (this.ended) return
    await once(this.#child, 'exit', { signal: AbortSignal.timeout(timeoutMs) })
  }

  /** Ends it, whatever it does. */
  async kill(): Promise<void> {
    if (this.ended) return
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exit
  }
}
