// What one level of a device names of SCMI: its device ids, and the resources its phandle lists, supplies and pin
// states lead to. Which nodes make a device is devices.ts's.
import { errorText } from '../errors.ts'
import { FUNCTION, GROUP, PIN } from '../scmi/pin-control.ts'
import type { DeviceNode } from './fdt.ts'
import { propertyFault, stringList, u32, u32Array } from './node.ts'
import type { Report } from './problem.ts'
import {
  attempt,
  blameProvider,
  maxEntries,
  type PhandleEntry,
  phandleEntries,
  type Scope,
} from './references.ts'
import { scmiAround } from './scmi-node.ts'

/** Where something was read: `node`'s property, as `name[index]` (supplies: `name`). */
export interface Origin {
  readonly property: string
  readonly node: DeviceNode
  /** Whether it comes from the host node behind a partial one that is silent on it. */
  readonly inherited: boolean
}

export interface DeviceId extends Origin {
  /** As the firmware knows the device in BASE_SET_DEVICE_PERMISSIONS. */
  readonly id: number
}

export interface Resource extends Origin {
  /** Protocol number: the `reg` of the provider below its SCMI node. */
  readonly protocol: number
  /** Null for pin control states: only the firmware knows the ids behind the names. */
  readonly id: number | null
  /** Which of the protocol's namespaces the id is from; absent for the first. */
  readonly namespace?: number
  /** Names that a pin control state carries: groups, pins and functions. */
  readonly names: readonly string[] | undefined
  /** The same, each with the namespace that its property is about. */
  readonly pins?: readonly PinName[]
  /** The SCMI node that provides it. */
  readonly scmi: DeviceNode
}

/** A name in a pin control state. */
export interface PinName {
  readonly namespace: number
  readonly name: string
}

export interface Holdings {
  readonly deviceIds: readonly DeviceId[]
  readonly resources: readonly Resource[]
}

/** A node that speaks for the device at this level; earlier ones win property by property. */
export interface Layer {
  readonly node: DeviceNode
  readonly scope: Scope
  readonly inherited: boolean
}

const consumers: readonly (readonly [property: string, cells: string])[] = [
  ['clocks', '#clock-cells'],
  ['assigned-clocks', '#clock-cells'],
  ['power-domains', '#power-domain-cells'],
  ['resets', '#reset-cells'],
  ['thermal-sensors', '#thermal-sensor-cells'],
  ['io-channels', '#io-channel-cells'],
]
const supply = /.-supply$/
const pinState = /^pinctrl-\d+$/

/** Whether a property of this name may name SCMI resources. */
export const isConsumer = (name: string): boolean =>
  consumerCells(name) !== undefined || supply.test(name) || pinState.test(name)
/** What counts the arguments of a list that may name SCMI resources; undefined for supplies, pin states and others. */
export const consumerCells = (name: string): string | undefined =>
  consumers.find(([property]) => property === name)?.[1]
const VOLTAGE = 0x17
const PINCTRL = 0x19

/** What the nodes of one level name together; providers that are not SCMI are passed over in silence. */
export function holdingsOf(level: readonly Layer[], report: Report): Holdings {
  const speaker = (name: string) => level.find(layer => layer.node.properties.has(name))
  const names = new Set(level.flatMap(layer => [...layer.node.properties.keys()]))
  const deviceIds: DeviceId[] = []
  const resources: Resource[] = []

  const read = (name: string, take: (layer: Layer) => void) => {
    const layer = speaker(name)
    if (layer !== undefined) take(layer)
  }
  read('scmi_devid', layer => deviceIds.push(...plainIds(layer, report)))
  read('access-controllers', layer => deviceIds.push(...controlledIds(layer, report)))
  for (const [property, cells] of consumers)
    read(property, layer => resources.push(...listed(layer, property, cells, report)))
  for (const name of names) {
    if (supply.test(name)) read(name, layer => resources.push(...supplied(layer, name, report)))
    if (pinState.test(name)) read(name, layer => resources.push(...pinned(layer, name, report)))
  }
  return { deviceIds, resources }
}

function plainIds(layer: Layer, report: Report): readonly DeviceId[] {
  const name = 'scmi_devid'
  const ids = attempt(layer.node, report, () => u32Array(layer.node, name)) ?? []
  if (ids.length > maxEntries) {
    report('property-malformed', layer.node, `property "${name}": more than ${maxEntries} ids`)
    return []
  }
  return ids.map((id, index) => ({ id, ...origin(layer, `${name}[${index}]`) }))
}

function controlledIds(layer: Layer, report: Report): readonly DeviceId[] {
  const name = 'access-controllers'
  const found: DeviceId[] = []
  for (const entry of phandleEntries(layer.node, name, '#access-controller-cells', layer.scope, report)) {
    const around = scmiAround(entry.provider)
    if (around === undefined) continue
    const [id] = entry.args
    if (id === undefined)
      blameProvider(entry, layer.node, report, '#access-controller-cells is 0: no device id')
    else found.push({ id, ...origin(layer, entry.label) })
  }
  return found
}

function listed(layer: Layer, name: string, cells: string, report: Report): readonly Resource[] {
  const found: Resource[] = []
  for (const entry of phandleEntries(layer.node, name, cells, layer.scope, report)) {
    const provider = scmiProvider(entry, layer.node, report)
    if (provider === undefined) continue
    const [id] = entry.args
    if (provider.protocolNode !== entry.provider)
      blameProvider(entry, layer.node, report, `no protocol of ${provider.scmi.path}`)
    else if (id === undefined) blameProvider(entry, layer.node, report, `${cells} is 0: no id`)
    else found.push(resource(layer, provider, id, entry.label))
  }
  return found
}

function supplied(layer: Layer, name: string, report: Report): readonly Resource[] {
  const length = layer.node.properties.get(name)?.value.length
  if (length !== 4) {
    const fault = propertyFault(layer.node, name, `${length} bytes, a supply is one phandle`)
    report('property-malformed', layer.node, fault.message)
    return []
  }
  const found: Resource[] = []
  for (const entry of phandleEntries(layer.node, name, null, layer.scope, report)) {
    const provider = scmiProvider(entry, layer.node, report)
    if (provider === undefined) continue
    const regulator = entry.provider
    const id = attempt(regulator, report, () => u32(regulator, 'reg'))
    if (provider.protocol !== VOLTAGE || provider.protocolNode === regulator || id === undefined)
      blameProvider(entry, layer.node, report, 'no regulator with a reg below protocol@17')
    else found.push(resource(layer, provider, id, name))
  }
  return found
}

function pinned(layer: Layer, name: string, report: Report): readonly Resource[] {
  const found: Resource[] = []
  for (const entry of phandleEntries(layer.node, name, null, layer.scope, report)) {
    const provider = scmiProvider(entry, layer.node, report)
    if (provider === undefined) continue
    if (provider.protocol !== PINCTRL) {
      blameProvider(entry, layer.node, report, 'no pin state below protocol@19')
      continue
    }
    const pins = pinNames(entry.provider, report)
    const names = [...new Set(pins.map(({ name }) => name))]
    report(
      'pin-states',
      layer.node,
      `${entry.label} names ${names.join(', ') || 'nothing'} at ${entry.provider.path}: ` +
        'the ids are not known until the firmware is asked',
    )
    found.push({ ...resource(layer, provider, null, entry.label, names), pins })
  }
  return found
}

/** Properties of a pin state, and the namespace of what they name. */
const pinProperties = [
  ['groups', GROUP],
  ['pins', PIN],
  ['function', FUNCTION],
] as const

/** The names in a pin state and in the groups of pins below it. */
const pinNames = (state: DeviceNode, report: Report): readonly PinName[] =>
  [state, ...state.children.values()].flatMap(node =>
    pinProperties.flatMap(([property, namespace]) =>
      (attempt(node, report, () => stringList(node, property)) ?? []).map(name => ({ namespace, name })),
    ),
  )

interface Provider {
  readonly scmi: DeviceNode
  readonly protocolNode: DeviceNode
  readonly protocol: number
}

/** The SCMI protocol that an entry's provider is or lies in; undefined, in silence, when the provider is not SCMI. */
function scmiProvider(entry: PhandleEntry, node: DeviceNode, report: Report): Provider | undefined {
  const around = scmiAround(entry.provider)
  if (around === undefined) return undefined
  const { scmi, protocol: protocolNode } = around
  if (protocolNode === undefined) {
    blameProvider(entry, node, report, 'the SCMI node itself, not one of its protocols')
    return undefined
  }
  try {
    const protocol = u32(protocolNode, 'reg')
    if (protocol !== undefined) return { scmi, protocolNode, protocol }
    blameProvider(entry, node, report, `${protocolNode.path} has no reg, so no protocol number`)
  } catch (error) {
    blameProvider(entry, node, report, errorText(error))
  }
  return undefined
}

const origin = ({ node, inherited }: Layer, property: string): Origin => ({ property, node, inherited })

function resource(
  layer: Layer,
  { scmi, protocol }: Provider,
  id: number | null,
  property: string,
  names?: readonly string[],
): Resource {
  return { protocol, id, names, scmi, ...origin(layer, property) }
}
