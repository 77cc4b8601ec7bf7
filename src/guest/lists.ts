// Reads a resource's lists to their end: rates, levels, intervals, parents, sensors, as many messages as that takes.
import { messageOf, protocolOf } from '../scmi/protocols.ts'
import { SUCCESS } from '../scmi/status.ts'
import type { Exchange, GuestSession } from './session.ts'

type Values = Readonly<Record<string, unknown>>

/** A list as a whole. */
export interface Listed {
  readonly entries: readonly Values[]
  /** The entries are lowest, highest, step. */
  readonly triplet: boolean
  /** The last answer: its status tells whether the list is whole. */
  readonly last: Exchange
}

/** No list is longer than its 12-bit counts and 16-bit remainders can tell. */
const maxParts = 4096

/** Asks a message of a protocol with an index until nothing remains, or an answer is not SUCCESS or brings nothing. */
export async function readList(
  session: GuestSession,
  protocol: number,
  message: string,
  value: Values,
  from = 0,
): Promise<Listed> {
  const id = protocolOf(protocol)?.messages[message]?.id ?? -1
  const index = messageOf(protocol, id)?.message.index?.field
  if (index === undefined) throw new RangeError(`${message} lists nothing`)
  const entries: Values[] = []
  for (let part = 0; ; part++) {
    const last = await session.ask(protocol, message, { ...value, [index]: from + entries.length })
    entries.push(...last.entries)
    const flags = rangesOf(last)
    const triplet = flags['triplet'] === 1
    const more =
      last.status === SUCCESS && (flags['remaining'] ?? 0) > 0 && last.entries.length > 0 && !triplet
    if (!more || part >= maxParts) return { entries, triplet, last }
  }
}

/** The word of bits that a list's answer begins with. */
const rangesOf = ({ value }: Exchange): Readonly<Record<string, number>> => {
  const [first] = Object.values(value)
  return typeof first === 'object' && first !== null ? (first as Readonly<Record<string, number>>) : {}
}

/** The numbers of a list of single fields. */
export const numbersOf = ({ entries }: Listed, field: string): readonly number[] =>
  entries.map(entry => Number(entry[field]))

/** Which values a list allows, for choosing one: a triplet gives its lowest and highest. */
export const choices = (listed: Listed, field: string): readonly number[] =>
  numbersOf(listed, field).slice(0, listed.triplet ? 2 : undefined)

/** A choice that is not the current value; the current one where there is no other. */
export const another = (values: readonly number[], current: number): number =>
  values.find(value => value !== current) ?? current
