// scmid in Dom0, as its package starts it there: with a configuration file, its own directories, and a log that is kept.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dom0 } from './dom0.ts'

/** Where the package has its examples. */
const example = '/opt/usr/share/doc/scmi-mediator/example'
const socket = '/run/scmid/scmid.sock'

/** What the example machine has, served by the virtual SCP within the daemon to the domains that xl creates. */
const configuration = `
host: ${example}/host.dtb
firmware:
  link: embedded
  platform: /etc/scmid/platform.yaml
  management: { channel: 0, agentId: 1 }
  agents:
    - { channel: 1, agentId: 2 }
    - { channel: 2, agentId: 3 }
    - { channel: 3, agentId: 4 }
    - { channel: 4, agentId: 5 }
toolstack:
  kind: xen
  configurationMs: 600000
`

export class Daemon {
  readonly #dom0: Dom0
  readonly #log: string
  #pid = 0

  constructor(dom0: Dom0) {
    this.#dom0 = dom0
    this.#log = join(dom0.share, 'scmid.log')
    writeFileSync(join(dom0.share, 'scmid.yaml'), configuration)
  }

  /** Everything it logged, over all its lives. */
  get log(): string {
    return existsSync(this.#log) ? readFileSync(this.#log, 'utf8') : ''
  }

  /** Starts it and waits until it serves. */
  async start(timeoutMs = 300_000): Promise<void> {
    const from = this.log.length
    const command = `exec scmid --config /share/scmid.yaml`
    const started = await this.#dom0.ask(`(${command}) >>/share/scmid.log 2>&1 </dev/null & echo $!`)
    this.#pid = Number(started)
    const until = Date.now() + timeoutMs
    while (!this.log.slice(from).includes('"msg":"serving"')) {
      const { status } = await this.#dom0.run(`kill -0 ${this.#pid}`)
      if (status !== 0 || Date.now() > until)
        throw new Error(`scmid does not serve:\n${this.log.slice(from)}`)
      await sleep(200)
    }
  }

  /** Ends it without a chance to tidy up. */
  async kill(): Promise<void> {
    await this.#dom0.ask(`kill -9 ${this.#pid}`)
  }

  /** What its control API answers to a GET. */
  async get<T>(path: string): Promise<T> {
    const text = await this.#dom0.ask(`curl -sS --fail --unix-socket ${socket} http://scmid/v1/${path}`)
    return JSON.parse(text) as T
  }

  /** A POST that carries nothing. */
  async post(path: string): Promise<void> {
    await this.#dom0.ask(`curl -sS --fail -X POST --unix-socket ${socket} http://scmid/v1/${path}`)
  }

  /** An operator's command. */
  scmictl(command: string): Promise<string> {
    return this.#dom0.ask(`scmictl ${command}`, 300_000)
  }

  /** Resident memory, in MB. */
  async residentMegabytes(): Promise<number> {
    return Number(await this.#dom0.ask(`awk '/VmRSS/ { print int($2 / 1024) }' /proc/${this.#pid}/status`))
  }
}
