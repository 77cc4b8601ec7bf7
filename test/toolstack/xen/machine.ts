// A machine with Xen for the toolstack's tests: domains of the stand-in for Xen's libraries, a small xenstored, libxl's
// files in a directory, and the daemon's own lifecycle over them. No test.
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'
import { readGuestTree } from '../../../src/guest-link/xen-smc/guest-tree.ts'
import type { GatedDomainView } from '../../../src/lifecycle/views.ts'
import { XenDomains } from '../../../src/native/xen-domains.ts'
import { Holds } from '../../../src/toolstack/xen/holds.ts'
import type { Hypervisor } from '../../../src/toolstack/xen/hypervisor.ts'
import { XenToolstack, type XenToolstackOptions } from '../../../src/toolstack/xen/toolstack.ts'
import { userdataPath } from '../../../src/toolstack/xen/userdata.ts'
import { XenstoreClient } from '../../../src/xenstore/client.ts'
import { fixture, Site } from '../../lifecycle/site.ts'
import { XenStandin } from '../../xen-standin/xen-standin.ts'
import { type SmallStore, smallStore } from '../../xenstore/small-store.ts'

export interface Configuration {
  readonly name: string
  /** A file of the example, copied; or a path. */
  readonly tree?: string
  readonly dtdevs?: readonly string[]
  readonly armSci?: string
}

export class XenMachine {
  readonly standin: XenStandin
  readonly domains: XenDomains
  readonly hypervisor: Hypervisor
  readonly store: SmallStore
  readonly directory: string
  readonly userdata: string
  readonly log: string[] = []
  site: Site
  toolstack: XenToolstack
  client: XenstoreClient
  #options: Partial<XenToolstackOptions>

  private constructor(
    parts: Pick<XenMachine, 'standin' | 'domains' | 'store' | 'directory' | 'site'>,
    options: Partial<XenToolstackOptions>,
  ) {
    this.standin = parts.standin
    this.domains = parts.domains
    this.store = parts.store
    this.directory = parts.directory
    this.site = parts.site
    this.userdata = join(parts.directory, 'xen')
    this.#options = options
    const { domains } = parts
    this.hypervisor = {
      list: () => domains.list(),
      get: domid => domains.get(domid),
      pause: domid => domains.pause(domid),
      unpause: domid => domains.unpause(domid),
      destroy: domid => domains.destroy(domid),
      guestTree: domid => readGuestTree(domains.xen, domid).blob,
    }
    this.client = undefined as never
    this.toolstack = undefined as never
    this.#build()
  }

  static async make(options: Partial<XenToolstackOptions> = {}): Promise<XenMachine> {
    const directory = mkdtempSync(join(tmpdir(), 'xen-machine-'))
    mkdirSync(join(directory, 'xen'))
    const standin = XenStandin.build()
    const domains = XenDomains.open(standin.libraries)
    standin.create(0)
    const machine = new XenMachine(
      { standin, domains, directory, store: await smallStore(), site: await Site.recovered() },
      options,
    )
    onTestFinished(async () => {
      await machine.toolstack.stop()
      domains.close()
      rmSync(directory, { recursive: true, force: true })
    })
    return machine
  }

  /** Made, and following its domains. */
  static async started(options: Partial<XenToolstackOptions> = {}): Promise<XenMachine> {
    const machine = await XenMachine.make(options)
    await machine.toolstack.start()
    return machine
  }

  /** The daemon's successor over the same files, platform and domains; not started. */
  async successor(): Promise<void> {
    this.site = await this.site.next({
      isGone: spec => this.domains.get(spec.domid ?? -1)?.uuid !== spec.uuid,
    })
    this.#build()
    await this.site.lifecycle.recover()
  }

  #build(): void {
    const { lifecycle } = this.site
    this.client = new XenstoreClient({ path: this.store.path, firstPauseMs: 5, longestPauseMs: 20 })
    this.toolstack = new XenToolstack(
      {
        userdata: this.userdata,
        late: 'deny',
        refused: 'deny',
        configurationMs: 20_000,
        lookMs: 60_000,
        version: '1.2.3',
        ...this.#options,
      },
      {
        store: this.client,
        hypervisor: this.hypervisor,
        lifecycle,
        holds: new Holds(join(this.directory, 'holds.json'), this.hypervisor),
        serving: ({ name }) => ({ link: { kind: 'trap-socket', path: `/nowhere/${name}` } }),
        log: (level, text) => this.log.push(`${level}: ${text}`),
      },
    )
  }

  // ---- what xl does ----

  /** Creates a paused domain with its nodes, as far as the hypervisor and the store know. */
  make(domid: number, name: string, options: { uuid?: number; tree?: Uint8Array } = {}): string {
    this.standin.create(domid, options)
    const uuid = this.domains.get(domid)?.uuid ?? ''
    this.store.remove(`/local/domain/${domid}`)
    this.store.write(`/local/domain/${domid}/vm`, `/vm/${uuid}`)
    this.store.write(`/local/domain/${domid}/name`, name)
    this.store.write(`/libxl/${domid}/type`, 'pvh')
    return uuid
  }

  introduce(): void {
    this.store.announce('@introduceDomain')
  }

  /** Puts the configuration where libxl does, in the way it does. */
  configure(domid: number, { name, tree, dtdevs = [], armSci }: Configuration): string {
    const uuid = this.domains.get(domid)?.uuid ?? ''
    let path = tree
    if (tree !== undefined && !tree.includes('/')) {
      path = join(this.directory, tree)
      copyFileSync(fixture(tree), path)
    }
    const json = {
      c_info: { type: 'pvh', name, uuid },
      b_info: {
        max_vcpus: 1,
        ...(path === undefined ? {} : { device_tree: path }),
        arch_arm: armSci === undefined ? {} : { arm_sci: { type: armSci } },
      },
      dtdevs: dtdevs.map(each => ({ path: each })),
    }
    const file = userdataPath(this.userdata, domid, uuid)
    writeFileSync(`${file}.n`, `${JSON.stringify(json, null, 4)}\0`, { mode: 0o600 })
    renameSync(`${file}.n`, file)
    return path ?? ''
  }

  /** `xl create` up to where it lets the domain run. */
  create(domid: number, configuration: Configuration, options: { uuid?: number } = {}): void {
    this.make(domid, configuration.name, options)
    this.introduce()
    this.configure(domid, configuration)
  }

  /** `xl unpause`, or the end of `xl create`. */
  letRun(domid: number): void {
    this.standin.unpause(domid)
  }

  /** The domain ends by itself; its toolstack has not destroyed it yet. */
  shutDown(domid: number, reason: 'poweroff' | 'reboot' | 'crash' | 'suspend'): void {
    this.domains.shutdown(domid, reason)
    this.store.announce('@releaseDomain')
  }

  /** `xl destroy`. */
  destroy(domid: number): void {
    const uuid = this.domains.get(domid)?.uuid ?? ''
    this.standin.destroy(domid)
    for (const path of [`/local/domain/${domid}`, `/libxl/${domid}`, `/vm/${uuid}`]) this.store.remove(path)
    rmSync(userdataPath(this.userdata, domid, uuid), { force: true })
    this.store.announce('@releaseDomain')
  }

  // ---- what there is to see ----

  view(domid: number): GatedDomainView | undefined {
    return this.toolstack.gated().find(each => each.domid === domid)
  }

  /** Resolves when the domain's state is that. */
  async reaches(domid: number, state: GatedDomainView['state']): Promise<GatedDomainView> {
    await vi.waitFor(
      () => {
        const view = this.view(domid)
        if (view?.state !== state)
          throw new Error(
            `domain ${domid} is ${view?.state} (${view?.reason}), not ${state}\n${this.log.join('\n')}`,
          )
      },
      { timeout: 10_000, interval: 5 },
    )
    return this.view(domid) as GatedDomainView
  }

  /** Resolves when the lifecycle serves exactly these. */
  async serves(...names: readonly string[]): Promise<void> {
    await vi.waitFor(
      () => {
        const served = this.site.lifecycle.domains.map(({ spec }) => spec.name).sort()
        if (served.join() !== [...names].sort().join())
          throw new Error(`served: ${served}\n${this.log.join('\n')}`)
      },
      { timeout: 10_000, interval: 5 },
    )
  }

  /** How often a domain is paused, the toolstack's own pause included. */
  pauses(domid: number): number {
    return this.standin.look(domid).pauses
  }

  async unheld(domid: number): Promise<void> {
    await vi.waitFor(() => {
      if (this.view(domid)?.held !== false) throw new Error(`domain ${domid} is held`)
    })
  }

  /** Value and permissions of a node. */
  node(path: string): string | undefined {
    const node = this.store.nodes.get(path)
    return node === undefined ? undefined : `${node.value} ${node.permissions}`
  }

  file(name: string): string {
    return readFileSync(join(this.directory, name), 'utf8')
  }
}
