// A domain's xl.cfg against its partial tree: what the tree's devices need of it, and what stands in the daemon's way.
import { basename } from 'node:path'
import type { MappedFrames, XenAssignment } from '../dt/xen-assignment.ts'
import { addMismatch, type Problems } from '../permissions/plan-problems.ts'
import type { XlValue } from './xl-config.ts'

export interface XlFacts {
  readonly domain: string
  /** The xl.cfg, for messages. */
  readonly file: string
  readonly settings: ReadonlyMap<string, XlValue>
  /** The tree that was planned. */
  readonly tree: string
  readonly assignment: XenAssignment
  /** Guest frames of the shared memory; undefined where the guest has none. */
  readonly shmem: { readonly frame: bigint; readonly count: bigint } | undefined
  /** The agent id that the domain is pinned to. */
  readonly agentId: number | undefined
}

const hex = (value: bigint): string => value.toString(16)

/** Tells every difference. */
export function checkXlConfig(facts: XlFacts, problems: Problems): void {
  const { domain, file, settings, assignment, shmem, tree, agentId } = facts
  const differs = (property: string, expected: string, found: string): void =>
    addMismatch(problems, 'xl-differs', { domain }, { file, property, expected, found })
  const lacks = (property: string, expected: string, found: string): void =>
    addMismatch(problems, 'xl-missing', { domain }, { file, property, expected, found })

  const given = settings.get('device_tree')
  if (given === undefined) differs('device_tree', basename(tree), 'none')
  else if (basename(String(given)) !== basename(tree)) lacks('device_tree', basename(tree), String(given))

  const iomem = strings(settings.get('iomem'))
  const windows = iomem.map(text => ({ text, frames: framesOf(text) }))
  for (const { text, frames } of windows) {
    if (frames === undefined) {
      differs('iomem', 'START,COUNT[@GUEST] in hexadecimal', `"${text}"`)
      continue
    }
    const end = frames.guestFrame + frames.count
    if (shmem !== undefined && frames.guestFrame < shmem.frame + shmem.count && shmem.frame < end)
      differs('iomem', `nothing at frame ${hex(shmem.frame)}, where the daemon puts its page`, `"${text}"`)
  }
  const known = windows.flatMap(({ frames }) => frames ?? [])
  for (const wanted of assignment.iomem)
    if (!known.some(each => covers(each, wanted))) lacks('iomem', `"${framesText(wanted)}"`, list(iomem))

  const written = settings.get('irqs') ?? []
  const irqs: readonly XlValue[] = Array.isArray(written) ? written : [written]
  for (const irq of assignment.irqs)
    if (!irqs.includes(irq)) lacks('irqs', String(irq), list(irqs.map(String)))

  const dtdev = strings(settings.get('dtdev'))
  for (const path of assignment.dtdev) if (!dtdev.includes(path)) lacks('dtdev', `"${path}"`, list(dtdev))
  for (const path of dtdev)
    if (assignment.unconfined.includes(path))
      differs('dtdev', 'devices behind an IOMMU alone: Xen refuses others', `"${path}"`)

  const sci = settings.get('arm_sci')
  if (sci !== undefined && String(sci) !== 'type=none' && String(sci) !== 'none') {
    differs('arm_sci', 'none: the daemon answers the guest, not Xen', `"${sci}"`)
    const id = /agent_id=(\d+)/.exec(String(sci))?.[1]
    if (id !== undefined && agentId !== undefined && Number(id) !== agentId)
      differs('arm_sci', `agent_id=${agentId}, as --agent or the configuration has it`, `agent_id=${id}`)
  }
}

/** xl's notation: `IOMEM_START,NUM_PAGES[@GFN]`, hexadecimal with or without 0x. */
function framesOf(text: string): MappedFrames | undefined {
  const found = /^\s*(?:0x)?([0-9a-f]+)\s*,\s*(?:0x)?([0-9a-f]+)\s*(?:@\s*(?:0x)?([0-9a-f]+)\s*)?$/i.exec(
    text,
  )
  if (found === null) return undefined
  const [, start = '0', count = '0', guest = start] = found
  return { hostFrame: BigInt(`0x${start}`), count: BigInt(`0x${count}`), guestFrame: BigInt(`0x${guest}`) }
}

const framesText = ({ hostFrame, count, guestFrame }: MappedFrames): string =>
  `${hex(hostFrame)},${hex(count)}${guestFrame === hostFrame ? '' : `@${hex(guestFrame)}`}`

const covers = (window: MappedFrames, wanted: MappedFrames): boolean =>
  wanted.hostFrame >= window.hostFrame &&
  wanted.hostFrame + wanted.count <= window.hostFrame + window.count &&
  wanted.hostFrame - window.hostFrame === wanted.guestFrame - window.guestFrame

const strings = (value: XlValue | undefined): readonly string[] =>
  value === undefined ? [] : Array.isArray(value) ? value.map(String) : [String(value)]
const list = (values: readonly string[]): string =>
  values.length === 0 ? 'none' : values.map(each => `"${each}"`).join(', ')
