// Builds the parts that follow Xen's domains after the configuration: the hypervisor's libraries, xenstore, the gate.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ScmidConfig } from './config/scmid.ts'
import { isBeingBuilt, readGuestTree } from './guest-link/xen-smc/guest-tree.ts'
import { MonitorJournal } from './guest-link/xen-smc/journal.ts'
import { provideSharedPage } from './guest-link/xen-smc/shared-page.ts'
import type { Lifecycle } from './lifecycle/lifecycle.ts'
import type { DomainSpec } from './lifecycle/views.ts'
import { XenDomains } from './native/xen-domains.ts'
import { Holds } from './toolstack/xen/holds.ts'
import type { Hypervisor } from './toolstack/xen/hypervisor.ts'
import { isThere } from './toolstack/xen/known.ts'
import { XenToolstack } from './toolstack/xen/toolstack.ts'
import { XenstoreClient } from './xenstore/client.ts'
import { usualPaths } from './xenstore/transport.ts'

type Told = (level: 'info' | 'warn' | 'error', text: string) => void
type Configured = ScmidConfig['toolstack']

export interface XenMachine {
  readonly hypervisor: Hypervisor
  /** Whether a domain that a former run served is there no more, or another one has its number. */
  readonly isGone: (left: DomainSpec) => boolean
  readonly close: () => void
}

/** Xen's libraries as the toolstack wants them. `monitors`: the directory of what was done to domains that outlive us. */
export const hypervisorOf = (domains: XenDomains, monitors: string): Hypervisor => ({
  list: () => domains.list(),
  get: domid => domains.get(domid),
  pause: domid => domains.pause(domid),
  unpause: domid => domains.unpause(domid),
  destroy: domid => domains.destroy(domid),
  guestTree: domid => readGuestTree(domains.xen, domid).blob,
  isBeingBuilt: domid => isBeingBuilt(domains.xen, domid),
  provideSharedPage: ({ domid, uuid }, shmem, devices) =>
    provideSharedPage(domains.xen, { domid, shmem, devices }, new MonitorJournal(monitors, domid, uuid)),
})

/** Opens the hypervisor's libraries. XEN_UNAVAILABLE, XEN_REFUSED. */
export function openXen(libraries: ScmidConfig['xen']['libraries'], monitors: string): XenMachine {
  const domains = XenDomains.open(libraries)
  return {
    hypervisor: hypervisorOf(domains, monitors),
    isGone: ({ domid, uuid }) => {
      if (domid === undefined || uuid === undefined) return false
      const info = domains.get(domid)
      return info === undefined || info.uuid !== uuid || !isThere(info)
    },
    close: () => domains.close(),
  }
}

/** The toolstack as it is configured, not started. */
export function buildToolstack(
  configured: Configured,
  { hypervisor }: XenMachine,
  state: string,
  lifecycle: Lifecycle,
  version: string,
  log: Told,
): XenToolstack {
  const { xenstore, userdata, late, refused, configurationMs, domains } = configured
  const path = xenstore ?? usualPaths.find(each => existsSync(each)) ?? usualPaths[0]
  return new XenToolstack(
    { userdata, late, refused, configurationMs, version },
    {
      store: new XenstoreClient({ path, log }),
      hypervisor,
      lifecycle,
      holds: new Holds(join(state, 'holds.json'), hypervisor),
      serving: ({ name, uuid, devices }) => {
        const own = domains.find(each => each.name === name)
        const { conduit = configured.conduit, leaveArmed = configured.leaveArmed, smcId, agentId } = own ?? {}
        return {
          link: {
            kind: 'xen-smc',
            uuid,
            conduit,
            leaveArmed,
            devices,
            ...(smcId === undefined ? {} : { smcId }),
          },
          ...(agentId === undefined ? {} : { agentId }),
        }
      },
      log,
    },
  )
}
