// A guest's tree from its grants: which protocols it holds, under which ids, and the nodes that say so. Pure, like the
// plan it starts from; nothing is granted or written here.
import { denseTree, namesProperties } from '../dt/dense-tree.ts'
import { passedDevices } from '../dt/devices.ts'
import type { DraftNode, Value } from '../dt/draft.ts'
import { type DeviceNode, type DeviceTree, readDeviceTree } from '../dt/fdt.ts'
import { guestTree } from '../dt/guest-tree.ts'
import { consumerCells } from '../dt/holdings.ts'
import { partialTree } from '../dt/host-device.ts'
import { regulatorProperties } from '../dt/imported.ts'
import { u32, walk } from '../dt/node.ts'
import { type Conduit, type Fragment, type GuestProtocol, scmiFragment } from '../dt/scmi-fragment.ts'
import { scmiNodes } from '../dt/scmi-node.ts'
import { writeFdt } from '../dt/write-fdt.ts'
import { type XenAssignment, xenAssignment } from '../dt/xen-assignment.ts'
import { MediatorError } from '../errors.ts'
import { spaceOf } from '../scmi/space.ts'
import { denseNumbering, HOLE, type LabelOrder, type Numbering, type ResourceNames } from './numbering.ts'
import { plan } from './plan.ts'
import { type PlanProblem, Problems } from './plan-problems.ts'
import type { PlanDevice, PlanResource } from './plan-shape.ts'

export interface GenerateInput {
  /** The domain's name. */
  readonly name: string
  readonly host: DeviceTree | undefined
  /** The domain's partial tree, where it has one. */
  readonly partial: DeviceTree | undefined
  /** Host nodes to pass beside those of the partial tree. */
  readonly devices: readonly DeviceNode[]
  readonly conduit: Conduit
  readonly discovery: 'dense' | 'identity'
  /** What the firmware calls its resources, as far as it is known: marks of dense trees survive new numbers by it. */
  readonly names?: ResourceNames
  /** How a guest that is there already counts; else as its tree does, and by the firmware's ids. */
  readonly order?: LabelOrder | undefined
}

export interface Generated {
  readonly fragment: Fragment
  /** The partial tree, root first. */
  readonly root: DraftNode
  /** What the plan says of the domain alone. */
  readonly problems: readonly PlanProblem[]
  /** What could not be taken along; each with the node it is about. */
  readonly notes: readonly string[]
  readonly devices: readonly PlanDevice[]
  readonly assignment: XenAssignment
}

const VOLTAGE = 0x17
const PINCTRL = 0x19

/**
 * The tree of one guest, with only the protocols and resources that its devices come to.
 * @throws MediatorError DTB_REFUSED for devices that cannot be passed together
 */
export function generate(input: GenerateInput): Generated {
  const { host, conduit, discovery } = input
  const notes = new Set<string>()
  const note = (node: DeviceNode, text: string): unknown => notes.add(`${node.file}: ${node.path}: ${text}`)
  const partial = wholePartial(input, note)
  const made = plan(host, [{ name: input.name, tree: partial }])
  const devices = made.domains[0]?.devices ?? []
  const resources = devices.flatMap(device => device.resources)
  const regulators = hostRegulators(host ?? partial)
  const protocols = new Map<number, PlanResource[]>()
  for (const each of resources) protocols.set(each.protocol, [...(protocols.get(each.protocol) ?? []), each])

  const numbers = new GuestNumbers(input, partial, resources)
  const fragment = scmiFragment({
    conduit,
    discovery,
    accessController: [...walk(partial.root)].some(node => node.properties.has('access-controllers')),
    protocols: Array.from(protocols, ([protocol, named]) =>
      guestProtocol(protocol, named, numbers, regulators),
    ),
  })
  const guestId = numbers.guestId.bind(numbers)
  const root = guestTree({ partial, host, fragment, note, guestId })
  // In a dense tree rights are the host's node's: what the partial tree alone names is not granted.
  const problems = new Problems()
  for (const each of made.problems) problems.take(each)
  if (discovery === 'dense') {
    const again = plan(host, [{ name: input.name, tree: readDeviceTree(writeFdt(root), partial.file) }])
    for (const each of again.problems) problems.take(each)
  }
  const passed = passedDevices(partial, host, () => {})
  return {
    fragment,
    root,
    problems: problems.list,
    notes: [...notes],
    devices,
    assignment: xenAssignment(passed, host),
  }
}

/** The operator's partial tree with the further devices in it, as a tree that can be planned. */
function wholePartial(
  { name, host, partial, devices }: GenerateInput,
  note: (node: DeviceNode, text: string) => void,
): DeviceTree {
  if (partial !== undefined && devices.length === 0) return partial
  if (host === undefined)
    throw new MediatorError('REQUEST_INVALID', 'devices are taken from a host tree, and there is none')
  return readDeviceTree(writeFdt(partialTree(host, devices, partial, note)), partial?.file ?? name)
}

/** What the guest calls its resources, and what its tree calls them now. */
class GuestNumbers {
  readonly #held: ReadonlySet<string>
  /** Undefined where the guest has the firmware's ids. */
  readonly #dense: Numbering | undefined
  /** How the partial tree counts, where it is a dense one already. */
  readonly #partial: Numbering | undefined

  constructor(
    { discovery, names = new Map(), order }: GenerateInput,
    partial: DeviceTree,
    named: readonly PlanResource[],
  ) {
    const resources = named.flatMap(({ protocol, id, namespace }) =>
      id === null ? [] : [{ protocol, id, ...(namespace === undefined ? {} : { namespace }) }],
    )
    const tree = readable(() => denseTree(partial))?.names
    this.#held = new Set(resources.map(({ protocol, id }) => `${protocol}/${id}`))
    this.#partial = tree === undefined ? undefined : denseNumbering(resources, names, tree)
    this.#dense = discovery === 'dense' ? denseNumbering(resources, names, order ?? tree) : undefined
  }

  guestId(protocol: number, id: number, from: 'partial' | 'host'): number | undefined {
    const space = spaceOf(protocol)
    const counted = from === 'partial' && this.#partial !== undefined
    const firmwareId = counted ? this.#partial?.get(space)?.toFirmware[id] : id
    if (firmwareId === undefined || !this.#held.has(`${protocol}/${firmwareId}`)) return undefined
    if (this.#dense === undefined) return firmwareId
    const guest = this.#dense.get(space)?.toGuest[firmwareId] ?? HOLE
    return guest === HOLE ? undefined : guest
  }

  /** Properties of a protocol node that tell what the guest's ids stand for. */
  marks(protocol: number): ReadonlyMap<string, readonly string[]> {
    const marks = new Map<string, readonly string[]>()
    for (const [namespace, property] of namesProperties.entries()) {
      const labels = this.#dense?.get(spaceOf(protocol, namespace))?.labels
      if (labels !== undefined && labels.length > 0) marks.set(property, labels)
    }
    return marks
  }
}

function guestProtocol(
  protocol: number,
  named: readonly PlanResource[],
  numbers: GuestNumbers,
  regulators: ReadonlyMap<number, DeviceNode>,
): GuestProtocol {
  const ids = new Set(named.flatMap(({ id }) => id ?? []))
  const isListed = protocol !== VOLTAGE && protocol !== PINCTRL
  const used = named.flatMap(({ property }) => consumerCells(property.replace(/\[\d+\]$/, '')) ?? [])
  return {
    protocol,
    cells: isListed ? [...new Set(used)] : [],
    marks: numbers.marks(protocol),
    resources: [...ids].map(id => ({
      id: numbers.guestId(protocol, id, 'host') ?? id,
      ...(protocol === VOLTAGE ? { regulator: regulatorOf(id, regulators.get(id)) } : {}),
    })),
  }
}

function regulatorOf(id: number, node: DeviceNode | undefined): ReadonlyMap<string, Value> {
  const properties = new Map(node === undefined ? [] : regulatorProperties(node))
  if (!properties.has('regulator-name')) properties.set('regulator-name', { strings: [`voltage-${id}`] })
  return properties
}

/** The regulators that a tree's SCMI nodes describe, by voltage domain. */
function hostRegulators(tree: DeviceTree): ReadonlyMap<number, DeviceNode> {
  const found = new Map<number, DeviceNode>()
  for (const { node } of readable(() => scmiNodes(tree)) ?? [])
    for (const protocol of node.children.values())
      if (readable(() => u32(protocol, 'reg')) === VOLTAGE)
        for (const regulator of walk(protocol)) {
          const id = regulator === protocol ? undefined : readable(() => u32(regulator, 'reg'))
          if (id !== undefined && !found.has(id)) found.set(id, regulator)
        }
  return found
}

/** What cannot be read has been told by the plan. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof MediatorError) return undefined
    throw error
  }
}
