// The rooms of the lifecycle, built once over its parts: what giving, taking and taking up again work with.
import { deviceIdsOf } from './domain.ts'
import { Ledger } from './ledger.ts'
import type { LifecycleParts } from './parts.ts'
import { Proposals } from './proposals.ts'
import { Records } from './records.ts'
import { Rights } from './rights.ts'
import { Tenancies } from './tenancies.ts'

export interface Rooms {
  readonly ledger: Ledger
  readonly records: Records
  readonly tenancies: Tenancies
  readonly rights: Rights
  readonly proposals: Proposals
}

export function buildRooms(parts: LifecycleParts): Rooms {
  const records = new Records(parts.audit, (protocol, id, namespace) =>
    parts.firmware.nameOf(protocol, id, namespace),
  )
  const ledger = new Ledger(parts.journal, parts.roster)
  const tenancies = new Tenancies(parts, ledger, records)
  const rights = new Rights(parts, ledger, records, tenancies)
  const proposals = new Proposals(parts.host, ledger, tenancies, parts.firmware.known)
  for (const id of deviceIdsOf(rights.holdings.host)) ledger.deviceIds.add(id)
  return { ledger, records, tenancies, rights, proposals }
}
