// A host with Xen for tests: domains of the stand-in for Xen's libraries, a small xenstored, libxl's files in a directory;
// and what xl does to them. No daemon, no test.
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { XenDomains } from '../../src/native/xen-domains.ts'
import { userdataPath } from '../../src/toolstack/xen/userdata.ts'
import { type SmallStore, smallStore } from '../xenstore/small-store.ts'
import { XenStandin } from './xen-standin.ts'

const example = (name: string): string => join(import.meta.dirname, '../../fixtures/example', name)

export interface Configuration {
  readonly name: string
  /** A file of the example, copied; or a path. */
  readonly tree?: string
  readonly dtdevs?: readonly string[]
  readonly armSci?: string
}

interface HostParts {
  readonly standin: XenStandin
  readonly domains: XenDomains
  readonly store: SmallStore
  readonly directory: string
  /** What closes the rest. */
  readonly ends: readonly (() => Promise<void>)[]
}

export class XenHost {
  readonly standin: XenStandin
  readonly domains: XenDomains
  readonly store: SmallStore
  readonly directory: string
  readonly userdata: string
  readonly #ends: readonly (() => Promise<void>)[]

  constructor(parts: HostParts) {
    this.standin = parts.standin
    this.domains = parts.domains
    this.store = parts.store
    this.directory = parts.directory
    this.#ends = parts.ends
    this.userdata = join(parts.directory, 'xen')
  }

  /** With a control domain; whoever makes it closes it. */
  static async make(): Promise<XenHost> {
    return new XenHost(await XenHost.parts())
  }

  static async parts(): Promise<HostParts> {
    const ends: (() => Promise<void>)[] = []
    const directory = mkdtempSync(join(tmpdir(), 'xen-host-'))
    mkdirSync(join(directory, 'xen'))
    const standin = XenStandin.build()
    const domains = XenDomains.open(standin.libraries)
    standin.create(0)
    return { standin, domains, directory, store: await smallStore(end => ends.push(end)), ends }
  }

  async close(): Promise<void> {
    this.domains.close()
    for (const end of this.#ends) await end()
    rmSync(this.directory, { recursive: true, force: true })
  }

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
      copyFileSync(example(tree), path)
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

  /** How often a domain is paused, the toolstack's own pause included. */
  pauses(domid: number): number {
    return this.standin.look(domid).pauses
  }

  /** Value and permissions of a node. */
  node(path: string): string | undefined {
    const node = this.store.nodes.get(path)
    return node === undefined ? undefined : `${node.value} ${node.permissions}`
  }
}
