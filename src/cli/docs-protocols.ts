// The protocol tables of README and docs/protocols.md in Markdown, made from the schema. Text only, reads nothing else.
import { base } from '../scmi/base.ts'
import {
  NEGOTIATE_PROTOCOL_VERSION,
  PROTOCOL_ATTRIBUTES,
  PROTOCOL_MESSAGE_ATTRIBUTES,
  PROTOCOL_VERSION,
} from '../scmi/common.ts'
import { protocols, releases } from '../scmi/protocols.ts'
import {
  type AnyMessage,
  type Field,
  formAt,
  type Placeholder,
  type Protocol,
  payloadAt,
  type Version,
} from '../scmi/schema.ts'

const hex = (id: number): string => `0x${id.toString(16).toUpperCase()}`
const dotted = (version: Version = 0x1_0000): string => `${version >>> 16}.${version & 0xffff}`
const cell = (text: string): string => text.replaceAll('|', '\\|')
const row = (...cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`
const byId = <T extends { readonly id: number }>(declared: Readonly<Record<string, T>>): [string, T][] =>
  Object.entries(declared).sort(([, a], [, b]) => a.id - b.id)
const all = protocols as readonly Protocol[]

/** The releases that have a protocol, from its first on. */
const span = (first: string): string => (first === releases.at(-1) ? first : `${first} to ${releases.at(-1)}`)

/** The supported protocols, one a line: for the README. */
export function protocolTable(): string {
  return [
    '| protocol | id | versions | SCMI | messages | notifications |',
    '|---|---|---|---|---|---|',
    ...all.map(p =>
      row(
        p.name,
        hex(p.id),
        p.versions.map(v => dotted(v.version)).join(', '),
        span(p.versions[0]?.release ?? ''),
        `${Object.keys(p.messages).length}`,
        `${Object.keys(p.notifications).length}`,
      ),
    ),
    '',
  ].join('\n')
}

/** What a guest gets for its own resource, or for a message that names none. */
function own(p: Protocol, m: AnyMessage): string {
  if (p.id === base.id) return m.privileged ? 'denied' : 'local'
  if (m.id === PROTOCOL_VERSION || m.id === NEGOTIATE_PROTOCOL_VERSION) return 'local'
  if (m.privileged) return 'NOT_SUPPORTED, answered here'
  if (m.always !== undefined) return m.always === 'denied' ? 'denied' : 'NOT_SUPPORTED, answered here'
  const ways: string[] = []
  if (m.id === PROTOCOL_MESSAGE_ATTRIBUTES)
    ways.push('forwarded', 'what is never for guests is NOT_FOUND, answered here')
  if (m.votes !== undefined) ways.push('votes')
  if (m.exclusive === true) ways.push('exclusive')
  if (typeof m.exclusive === 'object')
    ways.push(`exclusive where \`${m.exclusive.field}\` has a bit of ${hex(m.exclusive.mask)}`)
  if (ways.length === 0) ways.push('forwarded')
  if (m.returns) ways.push('sent for a guest that loses the resource')
  if (m.subscribes !== undefined) ways.push('needs a way back (P2A)')
  if (m.async !== undefined) ways.push('asynchronous needs a way back (P2A)')
  if (m.view !== undefined) ways.push('shows its own vote')
  if (m.lists !== undefined) ways.push('descriptors of others are blanked')
  const hidden = fieldsWhere(p, m, field => (field.role === 'hidden' ? all32 : (field.hidden ?? 0)))
  if (hidden.length > 0) ways.push(`blanked: ${hidden.join(', ')}`)
  const { tail } = formAt(m, p.versions.at(-1)?.version ?? 0).response
  if (Object.values(tail?.entry.fields ?? {}).some(({ role }) => role === 'resource'))
    ways.push('*dense*: local, what the guest can name of it')
  const ids = fieldsWhere(p, m, ({ role }) => (role === 'resource' ? all32 : 0))
  if (ids.length > 0) ways.push(`*dense*: the guest's own id in ${ids.join(', ')}`)
  if (m.members !== undefined) ways.push('*dense*: counts members that the guest can name')
  if (m.id === PROTOCOL_ATTRIBUTES && (p.resource !== undefined || p.namespaces !== undefined))
    ways.push("*dense*: counts the guest's own")
  const promises = fieldsWhere(p, m, field => field.p2a ?? 0)
  if (promises.length > 0) ways.push(`blanked without a way back: ${promises.join(', ')}`)
  return ways.join('; ')
}

const all32 = 0xffff_ffff

/** Response fields all of whose bits `maskOf` names, and ranges of bits that it names. */
function fieldsWhere(p: Protocol, m: AnyMessage, maskOf: (field: Field<unknown>) => number): string[] {
  const { response } = formAt(m, p.versions.at(-1)?.version ?? 0)
  return Object.entries(response.fields).flatMap(([name, field]) => {
    const mask = maskOf(field)
    if (mask === all32) return [`\`${name}\``]
    const ranges = Object.entries((field as { mask?: Readonly<Record<string, number>> }).mask ?? {})
    return ranges.filter(([, bits]) => (bits & mask) !== 0).map(([range]) => `\`${range}\``)
  })
}

const shown = (value: unknown): string => {
  if (typeof value === 'string') return `"${value}"`
  if (typeof value === 'number') return value === 0 ? '0' : hex(value)
  if (typeof value !== 'object' || value === null) return `${value}`
  return Object.entries(value)
    .map(([name, part]) => `${name} ${part}`)
    .join(', ')
}

const fieldsOf = (fields: Readonly<Record<string, unknown>>): string =>
  Object.entries(fields)
    .map(([name, value]) => `\`${name}\` ${shown(value)}`)
    .join(', ')

function placeholderText(placeholder: Placeholder): string {
  if (placeholder === 'denied') return 'denied'
  if (placeholder === 'not-supported') return 'placeholder: NOT_SUPPORTED'
  const { answer, entries } = placeholder
  const said = [fieldsOf(answer), ...(entries ?? []).map(fieldsOf)].filter(text => text !== '')
  if (entries !== undefined && entries.length === 0) said.push('an empty list')
  return `placeholder: ${said.length === 0 ? 'zeros' : said.join('; ')}`
}

/** What a guest gets for a resource that is not its own. */
function others(m: AnyMessage): string {
  if (m.resource === undefined || m.placeholder === undefined) return ''
  const text = placeholderText(m.placeholder)
  return m.votes?.harmless ? `${text}; a release is SUCCESS without effect` : text
}

const flags = (m: AnyMessage): string =>
  [m.effect, m.optional ? 'optional' : '', m.async === undefined ? '' : 'delayed response']
    .filter(Boolean)
    .join(', ')

/** The field that names a resource, and the one that says of which kind it is. */
function named({ resource, selector }: AnyMessage): string {
  if (resource === undefined) return ''
  return `\`${resource}\`${selector === undefined ? '' : `, kind by \`${selector.field}\``}`
}

/** Who cannot hold anything of a protocol, as a sentence; empty where everybody can. */
const withheld = (p: Protocol): string =>
  p.denseOnly === true
    ? " **Guests that see the firmware's ids hold none of them:** an agent can use its own only where it sees no others'."
    : ''

function protocolSection(p: Protocol): string[] {
  const versions = p.versions.map(v => `${dotted(v.version)} (SCMI ${v.release})`).join(', ')
  const resources = (p.namespaces ?? (p.resource === undefined ? [] : [{ name: p.resource }]))
    .map(({ name }) => `${name}s`)
    .join(', ')
  const lines = [
    `## ${p.name}, ${hex(p.id)}`,
    '',
    `Versions ${versions}.${resources === '' ? '' : ` Its resources are ${resources}.`}${withheld(p)}`,
    '',
    "| id | message | since | | resource | its own | others' |",
    '|---|---|---|---|---|---|---|',
    ...byId<AnyMessage>(p.messages).map(([name, m]) =>
      row(hex(m.id), `**${name}** ${m.doc}`, dotted(m.since), flags(m), named(m), own(p, m), others(m)),
    ),
    '',
  ]
  if (Object.keys(p.notifications).length === 0) return lines
  lines.push('| id | notification | since | payload | subscribed by |', '|---|---|---|---|---|')
  for (const [name, n] of byId(p.notifications)) {
    const payload = payloadAt(n, p.versions.at(-1)?.version ?? 0)
    const fields = Object.keys(payload.fields).map(field => `\`${field}\``)
    if (payload.tail !== undefined) fields.push(`\`${payload.tail.name}\``)
    const by = Object.entries(p.messages).filter(([, m]) => m.subscribes === n.id)
    lines.push(
      row(
        hex(n.id),
        `**${name}** ${n.doc}`,
        dotted(n.since),
        fields.join(', '),
        by.map(([message]) => message).join(', '),
      ),
    )
  }
  return [...lines, '']
}

const head = `<!-- Made by \`npm run docs\` from src/scmi. Do not edit. -->
# Protocols

Every message that the mediator knows, and what becomes of it when a guest sends it. Names, ids and versions are those
of DEN0056; *since* is the version of the protocol, not of SCMI. A message that is not here, or is newer than the
version presented to the guest, is NOT_FOUND; a protocol that is not here is NOT_SUPPORTED.

| word | meaning |
|---|---|
| forwarded | sent to the firmware on the guest's own channel; the answer goes back as it is, but for fields that are blanked |
| local | answered by the mediator: the guest sees a virtual identity, itself as agent 1 and nobody else |
| denied | the firmware never sees it |
| placeholder | a constant answer, the same for every resource that is not the guest's, so that nothing leaks; \`#\` stands for the resource's id. Size, reserved bits and values are checked first |
| votes | of a resource that several can reach, requests are counted: the release of one is SUCCESS and not sent while another still needs it |
| exclusive | of a resource that several can reach, who sets it first holds it; others are denied |
| *dense* | for guests with ids of their own ([discovery](discovery.md)): the resource named in a command, a delayed response or a notification is translated everywhere; what is said here comes on top. Others' resources have no id there |
`

/** docs/protocols.md: every message, its id, version, effect and resource, and what mediation does with it. */
export function protocolsPage(): string {
  return `${[head, ...all.flatMap(protocolSection)].join('\n').trimEnd()}\n`
}
