// What the checks play on: one scmid with the example machine's virtual SCP, and guests behind vhost-user sockets.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AuditRecord } from '../../../src/audit/record.ts'
import { DaemonProcess } from '../../end-to-end/daemon-process.ts'
import type { Steps } from '../lib/report.ts'
import { qemuTree } from '../lib/trees.ts'
import { Guest, type GuestSpec } from './guest.ts'
import { debianKernel, kernelPackages } from './kernel.ts'
import { domainTree, type GuestName, guestTree } from './nodes.ts'

/** Which side listens at the guest's socket: scmid, or QEMU, which then bears a daemon that comes and goes. */
export type Listener = 'scmid' | 'QEMU'

/** What all guests are started from. */
type Base = Pick<GuestSpec, 'qemu' | 'busybox' | 'image' | 'modules'>

export class Scene {
  readonly #base: Base
  readonly #guests: Guest[] = []
  #daemon: DaemonProcess

  private constructor(base: Base, daemon: DaemonProcess) {
    this.#base = base
    this.#daemon = daemon
  }

  /** Fetches and builds what is not in the cache, and starts the daemon. */
  static async prepare(steps: Steps): Promise<Scene> {
    const [qemu, { image, modules }] = await Promise.all([
      steps.phase('QEMU, unpacked', qemuTree),
      steps.phase("Debian's kernel, unpacked, and the drivers that it leaves off, built", debianKernel),
    ])
    const { tree } = await kernelPackages()
    const daemon = await steps.phase('scmid starts', () => DaemonProcess.start())
    return new Scene({ qemu, image, modules, busybox: join(tree, 'usr/bin/busybox') }, daemon)
  }

  get daemon(): DaemonProcess {
    return this.#daemon
  }

  /** Declares a domain of the example machine and boots it. `more` replaces parts of what it is started from. */
  async boot(name: GuestName, listener: Listener, more: Partial<GuestSpec> = {}): Promise<Guest> {
    const path = this.#daemon.path(`${name}.sock`)
    const server = listener === 'QEMU'
    const tree = this.#daemon.path(`${name}.dtb`)
    await domainTree(name, tree)
    await this.#daemon.client.addDomain(
      {
        name,
        dtb: readFileSync(tree),
        dtbPath: tree,
        link: { kind: 'vhost-user', path, role: server ? 'client' : 'server' },
      },
      { dryRun: false },
    )
    const guest = await Guest.start({
      name,
      ...this.#base,
      tree: machine => guestTree(name, machine),
      socket: { path, server },
      ...more,
    })
    this.#guests.push(guest)
    await guest.ready()
    return guest
  }

  /** The daemon is killed as by the kernel, and started again in the same directory. */
  async killAndRestart(pauseMs: number): Promise<void> {
    const { directory } = this.#daemon
    await this.#daemon.end('SIGKILL')
    await new Promise(done => setTimeout(done, pauseMs))
    this.#daemon = await DaemonProcess.start({ directory })
  }

  /** The audit log so far. */
  async audit(): Promise<AuditRecord[]> {
    const { path } = await this.#daemon.client.flushAudit()
    return readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
  }

  async destroy(): Promise<void> {
    for (const guest of this.#guests) await guest.destroy()
    await this.#daemon.destroy()
  }
}
