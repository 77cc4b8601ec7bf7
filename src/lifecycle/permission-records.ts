// Permission commands in the audit log: one record before each goes out, one with what came back. It decides nothing.
import type { AuditEntry } from '../audit/record.ts'
import { statusName } from '../scmi/status.ts'
import type { AuditTrail } from './audit-trail.ts'
import type { PermissionWitness, RightsCommand } from './firmware.ts'

/** A grant that cannot be written down is not sent; what takes rights away is sent all the same. */
export function permissionRecords(trail: AuditTrail): PermissionWitness {
  return {
    before(command) {
      const entry = { ...entryOf(command), text: 'sent' }
      if ('allow' in command && command.allow) trail.append(entry)
      else trail.note(entry)
    },
    after(command, status) {
      trail.note({
        ...entryOf(command),
        ...(status === undefined ? { text: 'not answered' } : { status, statusName: statusName(status) }),
      })
    },
  }
}

const entryOf = (command: RightsCommand): AuditEntry => ({
  kind: 'permission',
  agentId: command.agentId,
  ...('deviceId' in command
    ? { device: command.deviceId, allow: command.allow, message: 'BASE_SET_DEVICE_PERMISSIONS' }
    : { message: 'BASE_RESET_AGENT_CONFIGURATION' }),
})
