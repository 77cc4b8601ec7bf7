// The words of audit records: which domain, which message, which resource, which device tree node decided. Look-ups only.
import type { RecordNames } from '../audit/message-record.ts'
import type { RingRecord } from '../audit/ring-reader.ts'
import { hostName } from '../permissions/plan-shape.ts'
import { GRANTED, HOST_HOLDS, reasons } from '../permissions/reasons.ts'
import { firstArgument, secondArgument } from '../permissions/rules.ts'
import { messageOf, protocolOf } from '../scmi/protocols.ts'
import { type AnyMessage, formAt } from '../scmi/schema.ts'
import { type Space, spaceOf } from '../scmi/space.ts'
import { statusName } from '../scmi/status.ts'
import type { Holdings } from './holdings.ts'

/** Who had a slot of the relay, by generation. */
export interface Tenant {
  readonly domain: string
  readonly domid?: number
}

/** What names are looked up in; kept up to date by the lifecycle. */
export interface NameSources {
  readonly tenants: ReadonlyMap<number, Tenant>
  readonly resourceNames: ReadonlyMap<number, readonly string[]>
  readonly versions: ReadonlyMap<number, number>
  holdings(): Holdings
}

export function auditNames(sources: NameSources): RecordNames {
  return {
    tenant: (_slot, generation) => sources.tenants.get(generation),
    protocol: id => protocolOf(id)?.key,
    message: (protocol, message) => messageOf(protocol, message)?.name,
    resource: record =>
      sources.resourceNames.get(spaceOfRecord(sources, record))?.[record.resource] || undefined,
    status: statusName,
    rule: (reason, record) => rule(sources, reason, record),
    arguments: (protocol, message, a0, a1) => argumentNames(sources, protocol, message, a0, a1),
  }
}

/** The sentence for a reason, with the device tree node that decides: the guest's own, or the one of whoever holds it. */
function rule(
  sources: NameSources,
  reason: number,
  record: RingRecord,
): { rule: string; node?: string } | undefined {
  const sentence = reasons[reason]
  if (sentence === undefined) return undefined
  const domain = sources.tenants.get(record.generation)?.domain
  const holders = sources.holdings().holders(spaceOfRecord(sources, record), record.resource)
  const mine = holders.find(holder => holder.domain === domain)
  const theirs =
    reason === HOST_HOLDS
      ? holders.find(holder => holder.domain === hostName)
      : holders.find(holder => holder.domain !== domain)
  const decides = reason === GRANTED ? mine : theirs
  if (decides === undefined)
    return {
      rule: sentence.replace(
        /:? ?(by )?\{node\}/,
        reason === GRANTED ? '' : ': no device tree node names it',
      ),
    }
  const who = decides.domain === domain ? decides.node : `${decides.node} of ${decides.domain}`
  return { rule: sentence.replace('{node}', who), node: decides.node }
}

/** The space of a record's resource: where the command's own words select it, they are among those kept. */
function spaceOfRecord(sources: NameSources, record: RingRecord): Space {
  const { protocol, message, argument0, argument1 } = record
  const { resource, selector } = messageOf(protocol, message)?.message ?? {}
  if (resource === undefined || selector === undefined) return spaceOf(protocol)
  const form = formAt(
    messageOf(protocol, message)?.message as AnyMessage,
    sources.versions.get(protocol) ?? 0x1_0000,
  )
  const word = 1 + (form.command.word[selector.field] ?? 0)
  const first = firstArgument(1 + (form.command.word[resource] ?? 0), false)
  const kept = word === first ? argument0 : word === secondArgument ? argument1 : 0
  return spaceOf(protocol, (kept & selector.mask) / (selector.mask & -selector.mask))
}

/** The two argument words of a control by the names of the fields they stand in. */
function argumentNames(
  sources: NameSources,
  protocol: number,
  messageId: number,
  a0: number,
  a1: number,
): Record<string, number> | undefined {
  const found = messageOf(protocol, messageId)
  if (found === undefined || found.message.effect !== 'control') return undefined
  const { command } = formAt(found.message, sources.versions.get(protocol) ?? 0x1_0000)
  const { resource } = found.message
  const resourceWord = resource === undefined ? 0 : 1 + (command.word[resource] ?? 0)
  const words = [firstArgument(resourceWord, found.message.privileged === true) - 1, secondArgument - 1]
  const named = Object.entries(command.word).flatMap(([name, word]) => {
    const at = words.indexOf(word)
    return at < 0 || name === resource ? [] : [[name, at === 0 ? a0 : a1] as const]
  })
  return named.length === 0 ? undefined : Object.fromEntries(named)
}
