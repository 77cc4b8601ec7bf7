// A host with Xen and, over it, the toolstack with the daemon's own lifecycle and platform. No test.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'
import type { GatedDomainView } from '../../../src/lifecycle/views.ts'
import { Holds } from '../../../src/toolstack/xen/holds.ts'
import type { Hypervisor } from '../../../src/toolstack/xen/hypervisor.ts'
import type { XenToolstackOptions } from '../../../src/toolstack/xen/options.ts'
import { XenToolstack } from '../../../src/toolstack/xen/toolstack.ts'
import { hypervisorOf } from '../../../src/xen-toolstack.ts'
import { XenstoreClient } from '../../../src/xenstore/client.ts'
import { Site } from '../../lifecycle/site.ts'
import { XenHost } from '../../xen-standin/xen-host.ts'

export class XenMachine extends XenHost {
  readonly hypervisor: Hypervisor
  readonly log: string[] = []
  site: Site
  toolstack: XenToolstack
  client: XenstoreClient
  #options: Partial<XenToolstackOptions>

  private constructor(
    parts: ConstructorParameters<typeof XenHost>[0],
    site: Site,
    options: Partial<XenToolstackOptions>,
  ) {
    super(parts)
    this.site = site
    this.#options = options
    this.hypervisor = hypervisorOf(parts.domains, join(parts.directory, 'monitors'))
    this.client = undefined as never
    this.toolstack = undefined as never
    this.#build()
  }

  static async with(options: Partial<XenToolstackOptions> = {}): Promise<XenMachine> {
    const machine = new XenMachine(await XenHost.parts(), await Site.recovered(), options)
    onTestFinished(async () => {
      await machine.toolstack.stop()
      await machine.close()
    })
    return machine
  }

  /** Made, and following its domains. */
  static async started(options: Partial<XenToolstackOptions> = {}): Promise<XenMachine> {
    const machine = await XenMachine.with(options)
    await machine.toolstack.start()
    return machine
  }

  /** The daemon's successor over the same files, platform and domains; not started. */
  async successor(before: (site: Site) => void = () => {}): Promise<void> {
    this.site = await this.site.next({
      isGone: spec => this.domains.get(spec.domid ?? -1)?.uuid !== spec.uuid,
    })
    this.#build()
    before(this.site)
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

  async unheld(domid: number): Promise<void> {
    await vi.waitFor(() => {
      if (this.view(domid)?.held !== false) throw new Error(`domain ${domid} is held`)
    })
  }

  file(name: string): string {
    return readFileSync(join(this.directory, name), 'utf8')
  }
}
