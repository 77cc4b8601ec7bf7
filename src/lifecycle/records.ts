// What the lifecycle writes down of its own doing: which record for which step. It does none of the steps.
import type { AuditEntry } from '../audit/record.ts'
import type { PlanDevice } from '../permissions/plan-shape.ts'
import type { Tenant } from './audit-names.ts'
import type { AuditTrail } from './audit-trail.ts'
import { type Domain, devicePath, resourcesOf } from './domain.ts'
import type { DomainSpec } from './views.ts'

type NameOf = (protocol: number, id: number, namespace?: number) => string | undefined

/** Records of grants throw when they cannot be written; those of what is taken away never do, they are owed then. */
export class Records {
  readonly #trail: AuditTrail
  readonly #nameOf: NameOf

  constructor(trail: AuditTrail, nameOf: NameOf) {
    this.#trail = trail
    this.#nameOf = nameOf
  }

  /** Writes what guests did so far, under the names of this moment. */
  settle(): void {
    this.#trail.tryDrain()
  }

  assigned(domain: Domain): void {
    this.#trail.append({ kind: 'assign', ...who(domain) })
  }
  released(domain: Domain): void {
    this.#trail.note({ kind: 'release', ...who(domain) })
  }
  quarantined(agentId: number, text: string): void {
    this.#trail.note({ kind: 'quarantine', agentId, text })
  }
  /** An agent id that no domain has was proven clean. */
  cleared(agentId: number, text: string): void {
    this.#trail.note({ kind: 'release', agentId, text })
  }
  /** A firmware channel is back, and what it had forgotten was told again. */
  restored(text: string): void {
    this.#trail.note({ kind: 'restore', text })
  }
  /** What a domain had asked for of a former run was asked for again. */
  recalled(domain: string, text: string): void {
    this.#trail.note({ kind: 'restore', domain, text })
  }
  refused(domain: string, text: string): void {
    this.#trail.note({ kind: 'refuse', domain, text })
  }

  granted(domain: Domain, devices: readonly PlanDevice[]): void {
    for (const device of devices)
      for (const entry of this.#about('grant', domain, device, [])) this.#trail.append(entry)
  }
  /** What `kept` names too is not revoked. */
  revoked(domain: Domain, devices: readonly PlanDevice[], kept: readonly PlanDevice[]): void {
    for (const device of devices)
      for (const entry of this.#about('revoke', domain, device, kept)) this.#trail.note(entry)
  }

  /** A record a resource; one without a resource for a device of which none is left. */
  #about(
    kind: 'grant' | 'revoke',
    domain: Domain,
    device: PlanDevice,
    kept: readonly PlanDevice[],
  ): readonly AuditEntry[] {
    const about = {
      kind,
      ...who(domain),
      node: devicePath(device),
      ...(device.deviceIds[0] === undefined ? {} : { device: device.deviceIds[0] }),
    }
    const resources = resourcesOf([device], kept)
    if (resources.length === 0) return [about]
    return resources.map(({ protocol, id, namespace, property }) => {
      const resourceName = this.#nameOf(protocol, id, namespace)
      return {
        ...about,
        protocol,
        resource: id,
        ...(resourceName === undefined ? {} : { resourceName }),
        rule: property,
      }
    })
  }
}

/** How records name a domain. */
export const tenantOf = ({ name, domid }: DomainSpec): Tenant => ({
  domain: name,
  ...(domid === undefined ? {} : { domid }),
})

const who = ({ spec, agent }: Domain): Pick<AuditEntry, 'domain' | 'domid' | 'agentId'> => ({
  ...tenantOf(spec),
  agentId: agent.agentId,
})
