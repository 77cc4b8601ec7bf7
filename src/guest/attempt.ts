// Tries everything there is to try on a resource: every message of its protocol that names one, from the schema alone.
import { protocolOf } from '../scmi/protocols.ts'
import { type AnyMessage, existsAt, type Field, formAt, type Version } from '../scmi/schema.ts'
import type { GuestSession } from './session.ts'

type Values = Readonly<Record<string, unknown>>

/** Every command about resource `id` that exists at `version`, well-formed: what only differs in its vote stands twice. */
export function attempts(
  protocol: number,
  id: number,
  version: Version,
): readonly { readonly message: string; readonly value: Values }[] {
  const messages: Readonly<Record<string, AnyMessage>> = protocolOf(protocol)?.messages ?? {}
  return Object.entries(messages).flatMap(([message, m]) => {
    if (m.resource === undefined || !existsAt(m, version)) return []
    const value = asked(m, id, version)
    const { votes } = m
    if (votes === undefined) return [{ message, value }]
    const on = Object.values(messages).find(({ view }) => view !== undefined)?.view?.on ?? ~votes.off
    return [on, votes.off].map(vote => ({ message, value: { ...value, [votes.field]: vote >>> 0 } }))
  })
}

/** Sends all of them. What the connection throws ends it. */
export async function attempt(session: GuestSession, protocol: number, id: number): Promise<void> {
  for (const { message, value } of attempts(protocol, id, await session.version(protocol)))
    await session.ask(protocol, message, value)
}

/** The command with the resource in its place, bits of a control that do something set, all else zero. */
function asked(m: AnyMessage, id: number, version: Version): Values {
  return Object.fromEntries(
    Object.entries(formAt(m, version).command.fields).map(([name, field]) => {
      if (name === m.resource || name === m.other) return [name, id]
      return [name, m.effect === 'control' && name !== m.votes?.field ? firstRange(m, name, field) : 0]
    }),
  )
}

/** A word cut in bits with 1 in its first range, unless that asks for a delayed response. */
function firstRange(m: AnyMessage, name: string, field: Field<unknown>): unknown {
  const mask = (field as { readonly mask?: Readonly<Record<string, number>> }).mask
  const [range, bits] = Object.entries(mask ?? {})[0] ?? []
  if (range === undefined || bits === undefined) return 0
  if (m.async?.field === name && (m.async.mask & bits) !== 0) return 0
  return { [range]: 1 }
}
