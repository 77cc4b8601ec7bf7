// Where the schema puts fields and bits, as constants for handlers. Looked up at load; a name that is not there throws.
import type { AnyMessage, Field, Form, Layout } from '../scmi/schema.ts'
import { BODY } from './call.ts'

/** Every form a message has, oldest first. Fields and bits never move from one version to the next. */
const forms = (message: AnyMessage): readonly Partial<Form>[] => [message, ...(message.changes ?? [])]

function found<T>(message: AnyMessage, what: string, find: (form: Partial<Form>) => T | undefined): T {
  for (const form of forms(message)) {
    const value = find(form)
    if (value !== undefined) return value
  }
  throw new Error(`message 0x${message.id.toString(16)} has no ${what}`)
}

/** Word of `Call.args` that holds a command's field. */
export const arg = (message: AnyMessage, field: string): number =>
  found(message, `command field ${field}`, form => form.command?.word[field])

/** Word of the frame that holds a response's field. */
export const out = (message: AnyMessage, field: string): number =>
  BODY + found(message, `response field ${field}`, form => form.response?.word[field])

type Masked = Field<unknown> & { readonly mask?: Readonly<Record<string, number>> }
const maskIn = (field: unknown, name: string): number | undefined =>
  (field as Masked | undefined)?.mask?.[name]

/** Bits of a response's field. */
export const outBits = (message: AnyMessage, field: string, name: string): number =>
  found(message, `bits ${field}.${name}`, form => maskIn(form.response?.fields[field], name))

/** Bits of a command's field. */
export const argBits = (message: AnyMessage, field: string, name: string): number =>
  found(message, `bits ${field}.${name}`, form => maskIn(form.command?.fields[field], name))

/** Bits of a field of a layout: of a list's entries, mostly. */
export function layoutBits({ fields }: Layout, field: string, name: string): number {
  const mask = maskIn(fields[field], name)
  if (mask === undefined) throw new Error(`no bits ${field}.${name}`)
  return mask
}

/** How far the lowest bit of a mask stands from bit 0. */
export const shiftOf = (mask: number): number => 31 - Math.clz32(mask & -mask)

/** 2^32: what a high word counts. */
export const two32 = 0x1_0000_0000
