// Looks around as Linux does when its SCMI drivers probe: Base first, then every protocol it is offered, with all
// resources those count. What it gives is what a guest believes to have.
import { base, SELF } from '../scmi/base.ts'
import { clock } from '../scmi/clock.ts'
import { performance } from '../scmi/performance.ts'
import { FUNCTION, GROUP, PIN, pinControl } from '../scmi/pin-control.ts'
import { power } from '../scmi/power.ts'
import { powerCapping } from '../scmi/power-capping.ts'
import { protocolOf } from '../scmi/protocols.ts'
import { reset } from '../scmi/reset.ts'
import { sensor } from '../scmi/sensor.ts'
import { SUCCESS } from '../scmi/status.ts'
import { voltage } from '../scmi/voltage.ts'
import { numbersOf, readList } from './lists.ts'
import type { Exchange, GuestSession } from './session.ts'

/** A resource as the guest sees it. */
export interface SeenResource {
  readonly id: number
  readonly name: string
  /** What else was told, in the standard's words. */
  readonly facts: Readonly<Record<string, unknown>>
}

export interface SeenProtocol {
  readonly id: number
  readonly key: string
  /** 0 where the platform did not tell. */
  readonly version: number
  readonly resources: readonly SeenResource[]
}

export interface Seen {
  readonly vendor: string
  readonly subVendor?: string
  readonly implementationVersion: number
  /** Agents by id, the platform's 0 included; this guest is `self`. */
  readonly agents: readonly { readonly id: number; readonly name: string }[]
  readonly self?: number
  readonly protocols: readonly SeenProtocol[]
}

/** Resources of one protocol that are looked at; no platform of this world has more. */
const maxResources = 0xffff

/** Walks all there is. What the connection throws ends it. */
export async function discover(session: GuestSession): Promise<Seen> {
  const ask = (message: string, value = {}): Promise<Exchange> => session.ask(base.id, message, value)
  await session.version(base.id)
  const counts = ((await ask('PROTOCOL_ATTRIBUTES')).value['attributes'] ?? {}) as Record<string, number>
  const vendor = (await ask('BASE_DISCOVER_VENDOR')).value['vendor_identifier']
  const subVendor = (await ask('BASE_DISCOVER_SUB_VENDOR')).value['sub_vendor_identifier']
  const { implementation_version } = (await ask('BASE_DISCOVER_IMPLEMENTATION_VERSION')).value
  const listed = await listProtocols(session)
  const agents: { id: number; name: string }[] = []
  for (let id = 0; id <= (counts['num_agents'] ?? 0); id++) {
    const { status, value } = await ask('BASE_DISCOVER_AGENT', { agent_id: id })
    if (status === SUCCESS) agents.push({ id, name: String(value['name']) })
  }
  const self = (await ask('BASE_DISCOVER_AGENT', { agent_id: SELF })).value['agent_id']
  const protocols: SeenProtocol[] = []
  for (const id of listed) protocols.push(await lookAt(session, id))
  return {
    vendor: String(vendor ?? ''),
    ...(typeof subVendor === 'string' ? { subVendor } : {}),
    implementationVersion: Number(implementation_version ?? 0),
    agents,
    ...(typeof self === 'number' ? { self } : {}),
    protocols,
  }
}

/** BASE_DISCOVER_LIST_PROTOCOLS tells how many it returned, not how many are left: until none come. */
async function listProtocols(session: GuestSession): Promise<readonly number[]> {
  const found: number[] = []
  for (;;) {
    const { entries } = await session.ask(base.id, 'BASE_DISCOVER_LIST_PROTOCOLS', { skip: found.length })
    const ids = entries.map(entry => Number(entry['protocol_id']))
    if (ids.length === 0 || found.length + ids.length > 0xff) return found
    found.push(...ids)
  }
}

async function lookAt(session: GuestSession, id: number): Promise<SeenProtocol> {
  const protocol = protocolOf(id)
  if (protocol === undefined) return { id, key: `0x${id.toString(16)}`, version: 0, resources: [] }
  const version = await session.version(id)
  const { value } = await session.ask(id, 'PROTOCOL_ATTRIBUTES')
  const counts = Object.entries((value['attributes'] ?? {}) as Record<string, number>)
  const count = counts.find(([name]) => name.startsWith('num_'))?.[1] ?? 0
  if (id === pinControl.id)
    return { id, key: protocol.key, version, resources: await lookAtPins(session, value) }
  const look = looks.get(id)
  const resources = look === undefined ? [] : await look(session, Math.min(count, maxResources))
  return { id, key: protocol.key, version, resources }
}

type Look = (session: GuestSession, count: number) => Promise<readonly SeenResource[]>

/** A look at each resource: its attributes, and lists of what it can be set to. */
function each(
  protocol: number,
  attributes: string,
  resource: string,
  more: (session: GuestSession, id: number) => Promise<Readonly<Record<string, unknown>>>,
): Look {
  return async (session, count) => {
    const seen: SeenResource[] = []
    for (let id = 0; id < count; id++) {
      const { value } = await session.ask(protocol, attributes, { [resource]: id })
      const { name = '', ...facts } = value
      // Linux registers nothing without a name and asks no further.
      const further = name === '' ? {} : await more(session, id)
      seen.push({ id, name: String(name), facts: { ...facts, ...further } })
    }
    return seen
  }
}

const listOf =
  (protocol: number, message: string, resource: string, name: string, field: string) =>
  async (session: GuestSession, id: number): Promise<Readonly<Record<string, unknown>>> => {
    const listed = await readList(session, protocol, message, { [resource]: id })
    return { [name]: numbersOf(listed, field), ...(listed.triplet ? { triplet: 1 } : {}) }
  }

const nothingMore = async (): Promise<Readonly<Record<string, unknown>>> => ({})

const lookAtSensors: Look = async (session, count) => {
  const { entries } =
    count === 0 ? { entries: [] } : await readList(session, sensor.id, 'SENSOR_DESCRIPTION_GET', {})
  return entries.map(({ sensor_id, name, ...facts }) => ({
    id: Number(sensor_id),
    name: String(name),
    facts,
  }))
}

/** Pins, then groups, then functions: each kind is numbered apart, so `facts` say of which it is. */
async function lookAtPins(
  session: GuestSession,
  attributes: Readonly<Record<string, unknown>>,
): Promise<readonly SeenResource[]> {
  const { num_pins = 0, num_groups = 0 } = (attributes['attributes_low'] ?? {}) as Record<string, number>
  const { num_functions = 0 } = (attributes['attributes_high'] ?? {}) as Record<string, number>
  const seen: SeenResource[] = []
  for (const [selector, kind, count] of [
    [PIN, 'pin', num_pins],
    [GROUP, 'group', num_groups],
    [FUNCTION, 'function', num_functions],
  ] as const) {
    for (let id = 0; id < count; id++) {
      const asked = { identifier: id, flags: { selector } }
      const { status, value } = await session.ask(pinControl.id, 'PINCTRL_ATTRIBUTES', asked)
      if (status !== SUCCESS) continue
      const { name, ...facts } = value
      const listed =
        selector === PIN
          ? undefined
          : await readList(session, pinControl.id, 'PINCTRL_LIST_ASSOCIATIONS', asked)
      const more = listed === undefined ? {} : { associations: numbersOf(listed, 'identifier') }
      seen.push({ id, name: String(name), facts: { kind, ...facts, ...more } })
    }
  }
  return seen
}

const looks = new Map<number, Look>([
  [
    clock.id,
    each(
      clock.id,
      'CLOCK_ATTRIBUTES',
      'clock_id',
      listOf(clock.id, 'CLOCK_DESCRIBE_RATES', 'clock_id', 'rates', 'rate'),
    ),
  ],
  [
    power.id,
    each(power.id, 'POWER_DOMAIN_ATTRIBUTES', 'domain_id', async (session, id) => {
      const { power_state } = (await session.ask(power.id, 'POWER_STATE_GET', { domain_id: id })).value
      return { power_state }
    }),
  ],
  [
    performance.id,
    each(
      performance.id,
      'PERFORMANCE_DOMAIN_ATTRIBUTES',
      'domain_id',
      listOf(performance.id, 'PERFORMANCE_DESCRIBE_LEVELS', 'domain_id', 'levels', 'performance_level'),
    ),
  ],
  [sensor.id, lookAtSensors],
  [reset.id, each(reset.id, 'RESET_DOMAIN_ATTRIBUTES', 'domain_id', nothingMore)],
  [
    voltage.id,
    each(
      voltage.id,
      'VOLTAGE_DOMAIN_ATTRIBUTES',
      'domain_id',
      listOf(voltage.id, 'VOLTAGE_DESCRIBE_LEVELS', 'domain_id', 'levels', 'level'),
    ),
  ],
  [
    powerCapping.id,
    each(powerCapping.id, 'POWERCAP_DOMAIN_ATTRIBUTES', 'domain_id', async (session, id) => {
      const { power_cap } = (await session.ask(powerCapping.id, 'POWERCAP_CAP_GET', { domain_id: id })).value
      return { power_cap }
    }),
  ],
])

/** What was seen, as lines for people. */
export function seenLines(seen: Seen): readonly string[] {
  const { vendor, subVendor, implementationVersion, agents, self, protocols } = seen
  const version = (word: number): string => `${word >>> 16}.${word & 0xffff}`
  return [
    `platform ${[vendor, subVendor].filter(Boolean).join(' ')}, implementation version 0x${implementationVersion.toString(16)}`,
    ...agents.map(({ id, name }) => `agent ${id} ${name}${id === self ? ' (this guest)' : ''}`),
    ...protocols.flatMap(protocol => [
      `protocol 0x${protocol.id.toString(16)} ${protocol.key} version ${version(protocol.version)}`,
      ...protocol.resources.map(
        ({ id, name, facts }) =>
          `  ${String(id).padStart(3)} ${(name || '-').padEnd(15)} ${factsText(facts)}`,
      ),
    ]),
  ]
}

function factsText(facts: Readonly<Record<string, unknown>>): string {
  const texts = Object.entries(facts).flatMap(([name, value]) => {
    if (Array.isArray(value)) return value.length === 0 ? [] : [`${name} ${value.join(',')}`]
    if (typeof value === 'object' && value !== null) {
      const set = Object.entries(value).filter(([, part]) => part !== 0)
      return set.map(([range, part]) => (part === 1 ? range : `${range}=${part}`))
    }
    if (name === 'kind') return [String(value)]
    return Number(value) === 0 ? [] : [`${name}=${name === 'power_state' ? hex(value) : value}`]
  })
  return texts.join(' ')
}

const hex = (value: unknown): string => `0x${Number(value).toString(16)}`
