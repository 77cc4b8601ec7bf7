// What the firmware lists of its resources: descriptors of sensors, parents of clocks, pins of groups. Asked once, for
// guests with ids of their own, whose lists are made of these. Best effort: what it does not tell, nobody is shown.
import { decodeResponse, encodeCommand } from '../scmi/codec.ts'
import { protocolOf } from '../scmi/protocols.ts'
import {
  type ListMessage,
  listMessages,
  type ResourceList,
  type ResourceLists,
} from '../scmi/resource-lists.ts'
import { type AnyMessage, formAt, type Protocol } from '../scmi/schema.ts'
import { namespaceOf, naming, type Space, spaceOf } from '../scmi/space.ts'
import { NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import { type DiscoveredProtocol, type FirmwareRequest, spaceCounts } from './discovery.ts'

/** Beyond this many resources of one kind, and entries of one list, nothing is asked. */
const most = 4096

/** One exchange of a protocol: a whole answer with SUCCESS, `absent` for NOT_SUPPORTED, undefined for anything else. */
type Query = (
  message: string,
  declared: AnyMessage,
  value: Readonly<Record<string, number>>,
) => Promise<Uint8Array | 'absent' | undefined>

/** The lists of every protocol. Silence (FIRMWARE_SILENT) is thrown, since it would come again for each of them. */
export async function resourceLists(
  request: FirmwareRequest,
  channel: number,
  protocols: readonly DiscoveredProtocol[],
): Promise<ResourceLists> {
  const found = new Map<number, ReadonlyMap<Space, readonly (ResourceList | undefined)[]>>()
  for (const discovered of protocols) {
    const { id, version } = discovered
    const protocol = protocolOf(id)
    if (protocol === undefined) continue
    const query: Query = async (message, declared, value) => {
      const { command } = formAt(declared, version)
      const zeros = Object.fromEntries(Object.keys(command.fields).map(name => [name, 0]))
      const answer = await request(channel, encodeCommand(id, message, version, { ...zeros, ...value }))
      const { status, malformed } = decodeResponse(id, message, version, answer)
      if (malformed !== undefined) return undefined
      return status === SUCCESS ? answer : status === NOT_SUPPORTED ? 'absent' : undefined
    }
    for (const message of listMessages(protocol, version)) {
      const asked = { message_id: message.message.id }
      const about = protocol.messages['PROTOCOL_MESSAGE_ATTRIBUTES'] as AnyMessage
      if (isWhole(await query('PROTOCOL_MESSAGE_ATTRIBUTES', about, asked)))
        found.set(message.at, await listsOf(query, protocol, discovered, message))
    }
  }
  return found
}

async function listsOf(
  query: Query,
  protocol: Protocol,
  discovered: DiscoveredProtocol,
  message: ListMessage,
): Promise<ReadonlyMap<Space, readonly (ResourceList | undefined)[]>> {
  const lists = new Map<Space, (ResourceList | undefined)[]>()
  if (message.message.lists === 'resources') {
    const space = spaceOf(protocol.id)
    lists.set(space, [{ ...(await walk(query, message, {})), space }])
    return lists
  }
  for (const [space, count] of spaceCounts(discovered)) {
    const list: (ResourceList | undefined)[] = []
    lists.set(space, list)
    for (let id = 0; id < Math.min(count, most); id++) {
      const members = await membersSpace(query, protocol, message, space, id)
      list.push(
        members === undefined
          ? undefined
          : { ...(await walk(query, message, naming(message.message, space, id))), space: members },
      )
    }
  }
  return lists
}

/** The space that the entries of a resource's list are from; undefined where it has no list. */
async function membersSpace(
  query: Query,
  protocol: Protocol,
  { namespace }: ListMessage,
  space: Space,
  id: number,
): Promise<Space | undefined> {
  if (namespace !== 'members') return spaceOf(protocol.id, namespace)
  const [name, about] = Object.entries(protocol.messages).find(([, m]) => m.members !== undefined) ?? []
  if (name === undefined || about?.members === undefined) return undefined
  const answer = await query(name, about, naming(about, space, id))
  if (!isWhole(answer)) return undefined
  const word = viewOf(answer).getUint32(8 + (about.response.at[about.members.field] as number), true)
  const from = about.members.namespaceOf(namespaceOf(space), word)
  return from === undefined ? undefined : spaceOf(protocol.id, from)
}

/** The entries of one list, as many messages as it takes; those there are up to where the firmware breaks off. */
async function walk(
  query: Query,
  { name, message, form }: ListMessage,
  value: Readonly<Record<string, number>>,
): Promise<Omit<ResourceList, 'space'>> {
  const entries: Uint8Array[] = []
  const { tail } = form.response
  const { count } = tail
  if (message.index === undefined || count === undefined) return { entries }
  while (entries.length < most) {
    const answer = await query(name, message, { ...value, [message.index.field]: entries.length })
    if (answer === 'absent' && entries.length === 0) return { entries, isAbsent: true }
    if (!isWhole(answer)) break
    const view = viewOf(answer)
    const told =
      (view.getUint32(8 + count.word * 4, true) & count.mask) >>> (31 - Math.clz32(count.mask & -count.mask))
    let at = 8 + form.response.size
    for (let i = 0; i < told; i++) {
      const size = tail.sizeAt?.(view, at) ?? tail.entry.size
      entries.push(answer.slice(at, at + size))
      at += size
    }
    const field = Object.values(form.response.fields)[count.word] as {
      mask?: Readonly<Record<string, number>>
    }
    if (told === 0 || (view.getUint32(8 + count.word * 4, true) & (field.mask?.['remaining'] ?? 0)) === 0)
      break
  }
  return { entries }
}

const isWhole = (answer: Awaited<ReturnType<Query>>): answer is Uint8Array => typeof answer === 'object'

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
