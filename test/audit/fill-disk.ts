// Runs as a process under a file size limit: appends until it cannot, tries once more, and tells how far it came.
import { AuditLog } from '../../src/audit/log.ts'
import type { MediatorError } from '../../src/errors.ts'

const log = new AuditLog({ path: process.argv[2]!, sync: 'none' })
let written = 0
let failures = 0
while (failures < 2) {
  try {
    log.append({ kind: 'grant', domain: `guest-${written}` })
    written++
  } catch (error) {
    failures++
    if (failures < 2) continue
    const { code, message } = error as MediatorError
    process.stdout.write(JSON.stringify({ written, code, message }))
  }
}
