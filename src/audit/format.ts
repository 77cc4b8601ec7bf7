// One line of text for people from one audit record: time domain message resource decision rule. No colours, no columns.
import { protocolOf } from '../scmi/protocols.ts'
import type { AuditRecord } from './record.ts'

/** As in `2026-01-31T12:00:00.000001Z guest-a CLOCK_RATE_SET clock 7 (avb) denied x3: not granted [/soc/avb]`. */
export function formatRecord(record: AuditRecord): string {
  const parts = [record.time, record.domain ?? '-']
  parts.push(record.kind === 'message' ? (record.message ?? 'message') : record.kind)
  if (record.kind !== 'message') {
    if (record.message !== undefined) parts.push(record.message)
    if (record.agentId !== undefined) parts.push(`agent ${record.agentId}`)
  }
  if (record.device !== undefined) parts.push(`device ${record.device}`)
  if (record.resource !== undefined) {
    const { protocol } = record
    const known = record.protocolName ?? (protocol === undefined ? 'resource' : protocolOf(protocol)?.key)
    const what = known ?? hex(protocol ?? 0)
    parts.push(
      `${what} ${record.resource}${record.resourceName === undefined ? '' : ` (${record.resourceName})`}`,
    )
  }
  for (const [name, value] of Object.entries(record.arguments ?? {})) parts.push(`${name}=${value}`)
  if (record.allow !== undefined) parts.push(`allow=${record.allow ? 1 : 0}`)
  if (record.decision !== undefined) parts.push(record.decision)
  if (record.count !== undefined) parts.push(`${record.count} messages`)
  if (record.repeated !== undefined) parts.push(`x${record.repeated}`)
  if (record.status !== undefined && (record.status !== 0 || record.kind !== 'message'))
    parts.push(record.statusName ?? `status ${record.status}`)
  // A message's rule is a sentence, a grant's the property it stems from.
  let line = parts.join(' ')
  if (record.rule !== undefined) line += record.kind === 'message' ? `: ${record.rule}` : ` by ${record.rule}`
  if (record.node !== undefined && !record.rule?.split(' ').includes(record.node)) line += ` [${record.node}]`
  return printable(record.text === undefined ? line : `${line}: ${record.text}`)
}

const hex = (value: number): string => `0x${value.toString(16)}`

/** Names may come from guests and firmware: nothing in them reaches the terminal as a command. */
function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    found => `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`,
  )
}
