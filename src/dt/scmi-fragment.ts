// A guest's own SCMI nodes: shared memory, the SCMI node, a child for each protocol the guest holds. What devices refer
// to is found by protocol and id; where the nodes go is guest-tree.ts's.
import { discoveryProperty } from './dense-tree.ts'
import { cells, childOf, type DraftNode, draft, flag, strings, type Value, wide } from './draft.ts'

/** How the guest's driver reaches us. */
export type Conduit =
  | {
      readonly kind: 'smc'
      /** Function id of the call. */
      readonly smcId: number
      /** Guest physical address of the shared memory. */
      readonly shmemAddress: bigint
      /** Its size in bytes. */
      readonly shmemBytes: number
    }
  | { readonly kind: 'virtio' }

/** One resource of a protocol as the guest has it. */
export interface GuestResource {
  /** The guest's own id. */
  readonly id: number
  /** Voltage domains: the regulator's properties, from the host's tree or made up. */
  readonly regulator?: ReadonlyMap<string, Value>
}

/** A protocol that the guest holds. */
export interface GuestProtocol {
  /** Protocol number. */
  readonly protocol: number
  readonly resources: readonly GuestResource[]
  /** `#…-cells` beside the usual ones, for properties that devices use on it. */
  readonly cells: readonly string[]
  /** Properties that say what the ids stand for, as dense-tree.ts reads them. */
  readonly marks: ReadonlyMap<string, readonly string[]>
}

export interface FragmentSpec {
  readonly conduit: Conduit
  /** The marker's value. */
  readonly discovery: 'dense' | 'identity'
  readonly protocols: readonly GuestProtocol[]
  /** Whether devices name their SCMI device id by access-controllers. */
  readonly accessController: boolean
}

export interface Fragment {
  /** Undefined for virtio, which has none. */
  readonly shmem: DraftNode | undefined
  readonly scmi: DraftNode
  /** By protocol number. */
  readonly providers: ReadonlyMap<number, DraftNode>
  /** By the guest's id of the voltage domain. */
  readonly regulators: ReadonlyMap<number, DraftNode>
}

/** Where the page appears to a Xen guest: outside its RAM, behind the virtual UART's page (0x22000000). */
export const defaultShmemAddress = 0x2200_1000n
/** A page: less cannot be mapped for one guest alone. */
export const defaultShmemBytes = 0x1000

const VOLTAGE = 0x17

/** Label and the #…-cells that Linux's arm,scmi binding asks for; 0x13 has those that its devices use. */
const protocolNodes: ReadonlyMap<number, { readonly label: string; readonly cells: readonly string[] }> =
  new Map([
    [0x11, { label: 'scmi_power', cells: ['#power-domain-cells'] }],
    [0x12, { label: 'scmi_system', cells: [] }],
    [0x13, { label: 'scmi_perf', cells: [] }],
    [0x14, { label: 'scmi_clk', cells: ['#clock-cells'] }],
    [0x15, { label: 'scmi_sensor', cells: ['#thermal-sensor-cells'] }],
    [0x16, { label: 'scmi_reset', cells: ['#reset-cells'] }],
    [VOLTAGE, { label: 'scmi_voltage', cells: [] }],
    [0x18, { label: 'scmi_powercap', cells: [] }],
    [0x19, { label: 'scmi_pinctrl', cells: [] }],
  ])

/** The nodes of one guest. Protocols come in ascending order, whatever the order given. */
export function scmiFragment(spec: FragmentSpec): Fragment {
  const { conduit, protocols } = spec
  const shmem = conduit.kind === 'smc' ? shmemNode(conduit.shmemAddress, conduit.shmemBytes) : undefined
  const scmi = draft('scmi', {}, [], 'scmi')
  const set = (name: string, value: Value): unknown => scmi.properties.set(name, value)
  set('compatible', strings(conduit.kind === 'smc' ? 'arm,scmi-smc' : 'arm,scmi-virtio'))
  if (conduit.kind === 'smc') set('arm,smc-id', cells(conduit.smcId))
  if (shmem !== undefined) set('shmem', cells(shmem))
  set(discoveryProperty, strings(spec.discovery))
  if (spec.accessController) set('#access-controller-cells', cells(1))
  set('#address-cells', cells(1))
  set('#size-cells', cells(0))

  const providers = new Map<number, DraftNode>()
  const regulators = new Map<number, DraftNode>()
  for (const each of [...protocols].sort((a, b) => a.protocol - b.protocol)) {
    const node = protocolNode(each)
    providers.set(each.protocol, node)
    scmi.children.set(node.name, node)
    if (each.protocol === VOLTAGE) addRegulators(node, each.resources, regulators)
  }
  return { shmem, scmi, providers, regulators }
}

function shmemNode(address: bigint, bytes: number): DraftNode {
  return draft(
    `scmi-shmem@${address.toString(16)}`,
    { compatible: strings('arm,scmi-shmem'), reg: cells(...wide(address), ...wide(BigInt(bytes))) },
    [],
    'scmi_shm',
  )
}

function protocolNode({ protocol, cells: used, marks }: GuestProtocol): DraftNode {
  const known = protocolNodes.get(protocol)
  const hex = protocol.toString(16)
  const node = draft(`protocol@${hex}`, { reg: cells(protocol) }, [], known?.label ?? `scmi_${hex}`)
  const counts = new Set([...(known?.cells ?? []), ...used])
  // The binding wants exactly one of the two of a performance node; without any device it is the newer one.
  if (protocol === 0x13 && counts.size === 0) counts.add('#power-domain-cells')
  for (const name of counts) node.properties.set(name, cells(1))
  for (const [name, list] of marks) node.properties.set(name, list.length === 0 ? flag : strings(...list))
  return node
}

function addRegulators(
  protocol: DraftNode,
  resources: readonly GuestResource[],
  regulators: Map<number, DraftNode>,
): void {
  const list = childOf(protocol, 'regulators', () =>
    draft('regulators', { '#address-cells': cells(1), '#size-cells': cells(0) }),
  )
  for (const { id, regulator } of [...resources].sort((a, b) => a.id - b.id)) {
    const node = draft(`regulator@${id.toString(16)}`, { reg: cells(id) })
    for (const [name, value] of regulator ?? []) node.properties.set(name, value)
    node.label = labelOf(node.properties.get('regulator-name')) ?? `scmi_regulator_${id}`
    list.children.set(node.name, node)
    regulators.set(id, node)
  }
}

const labelOf = (name: Value | undefined): string | undefined => {
  if (name === undefined || !('bytes' in name)) return undefined
  return new TextDecoder('latin1').decode(name.bytes).replace(/\0.*$/s, '') || undefined
}
