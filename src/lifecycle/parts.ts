// What a lifecycle is built from. Data only.
import type { Roster } from '../agents/roster.ts'
import type { DeviceTree } from '../dt/fdt.ts'
import type { RelayPort } from '../mediator/relay-port.ts'
import type { Tenant } from './audit-names.ts'
import type { AuditTrail } from './audit-trail.ts'
import type { Firmware } from './firmware.ts'
import type { Journal } from './journal.ts'
import type { DomainSpec } from './views.ts'

type Told = (level: 'info' | 'warn' | 'error', text: string) => void

export interface LifecycleParts {
  /** The run directory, where guests' sockets are that have no other place, and the daemon's own socket. */
  readonly sockets: { readonly run: string; readonly control: string }
  readonly host: DeviceTree
  readonly firmware: Firmware
  readonly roster: Roster
  readonly relay: RelayPort
  readonly audit: AuditTrail
  readonly journal: Journal
  readonly log: Told
  /** Function id and largest frame of guests that name none. */
  readonly guests: { readonly smcId: number; readonly maxMessageBytes: number }
  /** Whether a domain that an earlier run left is there no more: it is not taken up then, and its agent is swept. */
  readonly isGone?: (left: DomainSpec) => boolean
  /** Who has had each place at the relay; the audit log's names come from it. */
  readonly tenants: Map<number, Tenant>
}
