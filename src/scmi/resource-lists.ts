// Lists of resources in the standard: messages whose entries carry ids, and what a platform has in them. Declarations
// and shapes; who asks and who shows them is elsewhere.
import { header, tableIndex } from './header.ts'
import {
  type AnyMessage,
  existsAt,
  type Form,
  formAt,
  type Protocol,
  type Tail,
  type Version,
} from './schema.ts'
import type { Space } from './space.ts'

/** A message that lists resources: all of its protocol's, or those that have to do with one. */
export interface ListMessage {
  readonly name: string
  readonly message: AnyMessage
  readonly form: Form & { readonly response: { readonly tail: Tail } }
  /** Its place in tables of messages. */
  readonly at: number
  /** Where an entry carries the id, in bytes, and the id's size. */
  readonly idAt: number
  readonly idSize: number
  /** Which namespace ids are from; `members`: as the resource asked about has it. */
  readonly namespace: number | 'members'
}

/** What a platform lists: whole entries, ids as the platform has them. */
export interface ResourceList {
  readonly entries: readonly Uint8Array[]
  /** The platform answers NOT_SUPPORTED: this resource has no such list, not even an empty one. */
  readonly isAbsent?: true
  /** What the ids in them are from. */
  readonly space: Space
}

/**
 * A platform's lists: by the message's place in tables, by the space of the resource asked about, by its id. A message
 * that lists all of its protocol's resources has one list, under id 0.
 */
export type ResourceLists = ReadonlyMap<number, ReadonlyMap<Space, readonly (ResourceList | undefined)[]>>

/** The messages of a protocol at `version` that list resources. */
export function listMessages(protocol: Protocol, version: Version): readonly ListMessage[] {
  return Object.entries(protocol.messages).flatMap(([name, message]) => {
    if (!existsAt(message, version)) return []
    const form = formAt(message, version)
    const { tail } = form.response
    const found = Object.entries(tail?.entry.fields ?? {}).find(([, field]) => field.role === 'resource')
    if (tail === undefined || found === undefined) return []
    const [field, { size, namespace = 0 }] = found
    return [
      {
        name,
        message,
        form: form as ListMessage['form'],
        at: tableIndex(header(protocol.id, message.id)),
        idAt: tail.entry.at[field] as number,
        idSize: size,
        namespace,
      },
    ]
  })
}

/** The id in an entry of a list. */
export const idIn = ({ idAt, idSize }: Pick<ListMessage, 'idAt' | 'idSize'>, entry: Uint8Array): number => {
  const view = new DataView(entry.buffer, entry.byteOffset, entry.byteLength)
  return idSize === 2 ? view.getUint16(idAt, true) : view.getUint32(idAt, true)
}
