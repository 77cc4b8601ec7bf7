// Constant answers about resources that a guest does not own, compiled from the schema: they leak nothing. Allocation-free.
import { asksForDelay } from '../permissions/filter.ts'
import type { Rules } from '../permissions/rules.ts'
import { tableSize } from '../scmi/header.ts'
import type { Form, Layout } from '../scmi/schema.ts'
import { NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import type { Transfer } from '../transfer.ts'

interface Template {
  readonly status: number
  /** The payload after the status word. */
  readonly words: Uint32Array
  /** Byte of the frame where the resource id is written in decimal; 0 for nowhere. */
  readonly idAt: number
  /** Frame word with a list index, 0 for none; how many entries there are; the status for one beyond them. */
  readonly indexWord: number
  readonly entries: number
  readonly beyond: number
}

/** Fills the fields of `l` with zeros, then with `values`. */
function encode(l: Layout, view: DataView, at: number, values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values)) {
    const field = l.fields[name]
    const zeros = field?.type === 'bits' ? { ...field.get(view, at + (l.at[name] ?? 0)) } : undefined
    field?.set(view, at + (l.at[name] ?? 0), zeros === undefined ? value : { ...zeros, ...(value as object) })
  }
}

function compile(
  form: Form,
  message: { placeholder?: unknown; index?: { field: string; beyond: number } },
): Template | undefined {
  const { placeholder } = message
  if (placeholder === undefined || placeholder === 'denied') return undefined
  const list = message.index
  const common = {
    indexWord: list === undefined ? 0 : 1 + (form.command.word[list.field] ?? 0),
    beyond: list?.beyond ?? 0,
  }
  if (placeholder === 'not-supported')
    return { status: NOT_SUPPORTED, words: new Uint32Array(0), idAt: 0, entries: 0, ...common }
  const { answer, entries = [] } = placeholder as {
    answer: Record<string, unknown>
    entries?: Record<string, unknown>[]
  }
  const tail = form.response.tail
  const size = form.response.size + (tail === undefined ? 0 : entries.length * tail.entry.size)
  const view = new DataView(new ArrayBuffer(size))
  encode(form.response, view, 0, answer)
  if (tail !== undefined)
    for (const [i, entry] of entries.entries())
      encode(tail.entry, view, form.response.size + i * tail.entry.size, entry)
  const named = Object.entries(answer).find(([, value]) => typeof value === 'string' && value.endsWith('#'))
  let idAt = 0
  if (named !== undefined) {
    const [name, text] = named as [string, string]
    const at = (form.response.at[name] ?? 0) + text.length - 1
    view.setUint8(at, 0)
    idAt = 8 + at
  }
  return {
    status: SUCCESS,
    words: new Uint32Array(view.buffer),
    idAt,
    entries: tail === undefined ? 0 : entries.length,
    ...common,
  }
}

/** The placeholder of each message that has one, for the versions that `rules` were compiled for. */
export class Placeholders {
  readonly #templates = new Array<Template | undefined>(tableSize).fill(undefined)
  readonly #rules: Rules

  constructor(rules: Rules) {
    this.#rules = rules
    for (const [at, entry] of rules.entries.entries()) {
      if (entry !== undefined) this.#templates[at] = compile(entry.form, entry.message as never)
    }
  }

  /** Makes the command in `transfer`, whose table index is `at`, its placeholder's answer. Gives the status. */
  answer(transfer: Transfer, at: number): number {
    const status = this.#status(transfer, at)
    const id = transfer.ints[this.#rules.resource[at] as number] as number // as the guest names it
    transfer.answer(status)
    if (status !== SUCCESS) return status
    const { words: payload, idAt } = this.#templates[at] as Template
    const { words } = transfer
    for (let i = 0; i < payload.length; i++) words[2 + i] = payload[i] as number
    transfer.length = 8 + payload.length * 4
    if (idAt !== 0) writeDecimal(transfer.bytes, idAt, id)
    return SUCCESS
  }

  #status(transfer: Transfer, at: number): number {
    const template = this.#templates[at]
    if (template === undefined || asksForDelay(this.#rules, transfer.ints, at)) return NOT_SUPPORTED
    if (template.status !== SUCCESS || template.indexWord === 0) return template.status
    // Unsigned, as the wire has it; an index of 0 is inside of every list.
    const index = (transfer.ints[template.indexWord] as number) >>> 0
    return index !== 0 && index >= template.entries ? template.beyond : SUCCESS
  }
}

/** Writes `value` in decimal digits at `at`. */
export function writeDecimal(bytes: Uint8Array, at: number, value: number): void {
  let divisor = 1
  while (divisor * 10 <= value) divisor *= 10
  for (let i = at; divisor >= 1; i++) {
    const digit = Math.trunc(value / divisor)
    bytes[i] = 0x30 + digit
    value -= digit * divisor
    divisor = Math.trunc(divisor / 10)
  }
}
