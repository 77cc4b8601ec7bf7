// A guest that xl creates: its configuration, its life as xl commands, and its console, which Xen writes to a shared file.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dom0 } from './dom0.ts'

export interface GuestConfig {
  readonly name: string
  /** Lines of xl.cfg beside the name. */
  readonly lines: readonly string[]
  /** Whether it prints to the console that Xen emulates, as guests without an operating system do. */
  readonly vuart?: boolean
}

export class Guest {
  readonly name: string
  readonly #dom0: Dom0
  readonly #log: string
  #orders = 0

  /** Writes its configuration; creates nothing. */
  constructor(dom0: Dom0, { name, lines, vuart = false }: GuestConfig) {
    this.name = name
    this.#dom0 = dom0
    this.#log = join(dom0.share, 'consoles', vuart ? `guest-${name}-vuart0.log` : `guest-${name}.log`)
    const own = [`name = "${name}"`, ...(vuart ? ['vuart = "sbsa_uart"'] : []), ...lines, '']
    writeFileSync(join(dom0.share, `${name}.cfg`), own.join('\n'))
  }

  /** All that it has said on its console, whatever the number of its lives. */
  get console(): string {
    return existsSync(this.#log) ? readFileSync(this.#log, 'latin1').replaceAll('\r', '') : ''
  }

  /** Plain `xl create`. */
  async create(timeoutMs = 300_000): Promise<void> {
    await this.#dom0.ask(`xl create /share/${this.name}.cfg`, timeoutMs)
  }

  /**
   * `xl create` with a domain id of the test's choice, also one that was just in use. xl has no option for it, but takes
   * random ones if told to: it is shown a file of equal numbers for /dev/urandom.
   */
  async createAs(domid: number, timeoutMs = 300_000): Promise<void> {
    const { share } = this.#dom0
    writeFileSync(join(share, 'xl.conf'), 'domid_policy="random"\n')
    writeFileSync(join(share, 'random'), Buffer.from(new Uint16Array(2048).fill(domid).buffer))
    const shown = 'mount --bind /share/xl.conf /etc/xen/xl.conf && mount --bind /share/random /dev/urandom'
    const create = `LIBXL_DOMID_REUSE_TIMEOUT=0 exec xl create /share/${this.name}.cfg`
    await this.#dom0.ask(`touch /etc/xen/xl.conf && unshare -m sh -c '${shown} && ${create}'`, timeoutMs)
  }

  async destroy(): Promise<void> {
    await this.#dom0.ask(`xl destroy ${this.name}`)
  }

  async domid(): Promise<number> {
    return Number(await this.#dom0.ask(`xl domid ${this.name}`))
  }

  /** Waits for what matches after position `from` of its console. */
  async wait(pattern: RegExp, { from = 0, timeoutMs = 180_000 } = {}): Promise<RegExpExecArray> {
    const until = Date.now() + timeoutMs
    for (;;) {
      const text = this.console
      const found = pattern.exec(text.slice(from))
      if (found !== null) return found
      if (Date.now() > until)
        throw new Error(
          `${this.name}: no ${pattern} in ${timeoutMs / 1000} s; its end:\n${text.slice(-2000)}`,
        )
      await sleep(100)
    }
  }

  /** What a command of the shell on its console printed; throws when it fails. For guests that run Linux. */
  async ask(command: string, timeoutMs = 180_000): Promise<string> {
    const from = this.console.length
    await this.type(command)
    const found = await this.wait(/guest: status (\d+)\n/, { from, timeoutMs })
    const output = this.console.slice(from, from + found.index)
    if (found[1] !== '0') throw new Error(`in ${this.name}: ${command}: exit ${found[1]}: ${output}`)
    return output
  }

  /** Types a line on its console. */
  async type(line: string): Promise<void> {
    const order = `${this.name}.order-${++this.#orders}`
    writeFileSync(join(this.#dom0.share, order), `${line}\n`)
    const tty = `$(xenstore-read /local/domain/$(xl domid ${this.name})/console/tty)`
    await this.#dom0.ask(`cat /share/${order} >${tty}`)
  }
}
