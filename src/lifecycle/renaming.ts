// Another name for a domain that is served: the audit log tells it as rights that go from the one name to the other.
import { domainName } from '../config/names.ts'
import { MediatorError } from '../errors.ts'
import { liveDevices, refuseIdle } from './domain.ts'
import type { LifecycleParts } from './parts.ts'
import { tenantOf } from './records.ts'
import type { Rooms } from './rooms.ts'

const nameForm = new RegExp(domainName.pattern)

/** DOMAIN_UNKNOWN, DOMAIN_EXISTS, CONFIG_INVALID for what is no name, SYSTEM when it cannot be written down. */
export async function rename(
  { relay, roster, tenants }: LifecycleParts,
  rooms: Rooms,
  name: string,
  to: string,
): Promise<void> {
  const { ledger, records } = rooms
  const domain = ledger.domain(name)
  const from = domain.spec
  if (from.name === to) return
  refuseIdle(domain)
  if (!nameForm.test(to))
    throw new MediatorError('CONFIG_INVALID', `"${to}": expected ${domainName.description}`)
  if (ledger.domains.has(to) || ledger.lost.has(to))
    throw new MediatorError('DOMAIN_EXISTS', `there is a domain ${to} already`)
  const live = liveDevices(domain)
  const former = { ...domain }
  const spec = { ...from, name: to }
  const renamed = { ...domain, spec }
  records.assigned(renamed) // what it did so far is written before, under its former name
  records.granted(renamed, live)
  records.revoked(former, live, [])
  ledger.domains.delete(from.name)
  Object.assign(domain, { spec, input: { ...domain.input, name: to } })
  ledger.domains.set(to, domain)
  roster.rename(domain.agent.agentId, to)
  tenants.set(domain.generation, tenantOf(spec))
  await relay.rename(domain.slot, to)
  ledger.save()
}
