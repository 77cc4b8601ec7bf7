// What the hypervisor and the lifecycle know of a domain, by number and UUID: a number alone may be another domain's by
// now.
import type { Lifecycle } from '../../lifecycle/lifecycle.ts'
import type { DomainInfo, Hypervisor } from './hypervisor.ts'

/** Which domain. */
interface Identity {
  readonly domid: number
  readonly uuid: string
}

/** A domain that is being destroyed, or has come to its end, will not run again; one that is suspended may. */
export const isThere = ({ dying, shutdown }: DomainInfo): boolean =>
  !dying && (shutdown === undefined || shutdown === 'suspend')

/** Whether it has run: what it found in its memory then may not be what is there now. */
export function hasRun(hypervisor: Hypervisor, { domid, uuid }: Identity): boolean {
  const info = hypervisor.get(domid)
  return info?.uuid === uuid && info.cpuTimeNs > 0
}

/** Whether another domain of its UUID is there. */
export const isCopy = (hypervisor: Hypervisor, { domid, uuid }: Identity): boolean =>
  hypervisor.list().some(info => info.uuid === uuid && info.domid !== domid && isThere(info))

/** What the lifecycle serves it as. */
export function servedAs(
  lifecycle: Pick<Lifecycle, 'domains'>,
  { domid, uuid }: Identity,
): { readonly name: string; readonly agentId: number } | undefined {
  const found = lifecycle.domains.find(({ spec }) => spec.domid === domid && spec.uuid === uuid)
  return found === undefined ? undefined : { name: found.spec.name, agentId: found.agent.agentId }
}

/** What an earlier run served it as, if it could not come back. */
export const lostAs = (
  lifecycle: Pick<Lifecycle, 'lost'>,
  { domid, uuid }: Identity,
): { readonly name: string } | undefined =>
  lifecycle.lost.find(each => each.domid === domid && each.uuid === uuid)
