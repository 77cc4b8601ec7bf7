// What must agree within a platform file beyond the types of its properties: ids, names, references, orders, cycles.
import { protocols, versionIn } from '../scmi/protocols.ts'
import type { PlatformConfig } from './config.ts'
import type { Fault, Faults } from './fault.ts'
import {
  CLOCK,
  FUNCTIONS,
  GROUPS,
  PERFORMANCE,
  PIN_CONTROL,
  POWER,
  POWER_CAPPING,
  RESET,
  SENSOR,
  sectionOf,
  VOLTAGE,
} from './numbering.ts'
import { pinControl } from './pin-control-checks.ts'
import { powerCapping } from './power-capping-checks.ts'

type Named = readonly { readonly id: number; readonly name: string }[]
type Range = { readonly min: number; readonly max: number; readonly step: number }

/** Resources of one kind: their list, the property it stands in, and the property of devices that names them. */
interface ResourceList {
  readonly key: ResourceKey
  readonly kind: number
  readonly property: string
  readonly list: Named
}

export type ResourceKey = Exclude<keyof PlatformConfig['devices'][number], 'id' | 'name'>

/** The resource lists of a platform file. */
export function resourceLists(config: PlatformConfig): ResourceList[] {
  const of = (key: ResourceKey, kind: number, property: string, list: Named = []): ResourceList => ({
    key,
    kind,
    property,
    list,
  })
  return [
    of('power', POWER, 'power.domains', config.power?.domains),
    of('performance', PERFORMANCE, 'performance.domains', config.performance?.domains),
    of('clock', CLOCK, 'clock.clocks', config.clock?.clocks),
    of('sensor', SENSOR, 'sensor.sensors', config.sensor?.sensors),
    of('reset', RESET, 'reset.domains', config.reset?.domains),
    of('voltage', VOLTAGE, 'voltage.domains', config.voltage?.domains),
    of('powerCapping', POWER_CAPPING, 'powerCapping.domains', config.powerCapping?.domains),
    of('pins', PIN_CONTROL, 'pinControl.pins', config.pinControl?.pins),
    of('groups', GROUPS, 'pinControl.groups', config.pinControl?.groups),
    of('functions', FUNCTIONS, 'pinControl.functions', config.pinControl?.functions),
  ]
}

function* dense(list: Named, property: string): Faults {
  const names = new Map<string, number>()
  for (const [at, { id, name }] of list.entries()) {
    if (id !== at)
      yield {
        property: `${property}[${at}].id`,
        expected: `must be ${at}: ids are dense, in list order; found ${id}`,
      }
    const earlier = names.get(name)
    if (earlier !== undefined)
      yield { property: `${property}[${at}].name`, expected: `must be unique; ${earlier} is ${name} too` }
    names.set(name, id)
  }
}

function* agents(config: PlatformConfig): Faults {
  const n = config.agents.length
  const ids = new Set<number>()
  const names = new Set<string>()
  for (const [at, agent] of config.agents.entries()) {
    const property = `agents[${at}]`
    if (agent.id > n)
      yield {
        property: `${property}.id`,
        expected: `must be 1 to ${n}: agent ids are consecutive; found ${agent.id}`,
      }
    if (ids.has(agent.id))
      yield { property: `${property}.id`, expected: `must be unique; found ${agent.id} again` }
    if (names.has(agent.name))
      yield { property: `${property}.name`, expected: `must be unique; found ${agent.name} again` }
    ids.add(agent.id)
    names.add(agent.name)
    for (const [i, id] of agent.devices.entries()) {
      if (!config.devices.some(device => device.id === id))
        yield {
          property: `${property}.devices[${i}]`,
          expected: `must be a device; there is no device ${id}`,
        }
    }
  }
  const references: [string, readonly number[]][] = [
    ['system.agents', config.system?.agents ?? []],
    ...(config.power?.domains ?? []).map((d, i): [string, readonly number[]] => [
      `power.domains[${i}].onBy`,
      d.onBy,
    ]),
    ...(config.voltage?.domains ?? []).map((d, i): [string, readonly number[]] => [
      `voltage.domains[${i}].onBy`,
      d.onBy,
    ]),
    ...(config.clock?.clocks ?? []).map((c, i): [string, readonly number[]] => [
      `clock.clocks[${i}].enabledBy`,
      c.enabledBy,
    ]),
    ...(config.clock?.clocks ?? []).flatMap((clock, c) =>
      clock.restrict.map((r, i): [string, readonly number[]] => [
        `clock.clocks[${c}].restrict[${i}].agents`,
        r.agents,
      ]),
    ),
  ]
  for (const [property, list] of references) {
    for (const [i, id] of list.entries())
      if (!ids.has(id))
        yield { property: `${property}[${i}]`, expected: `must be an agent; there is no agent ${id}` }
  }
  for (const [i, channel] of (config.channels ?? []).entries())
    if (!ids.has(channel.agent))
      yield {
        property: `channels[${i}].agent`,
        expected: `must be an agent; there is no agent ${channel.agent}`,
      }
}

/** Ids of devices may have holes and stand in any order: a guest never counts them. */
function* unique(list: PlatformConfig['devices']): Faults {
  const names = new Map<string, number>()
  const ids = new Set<number>()
  for (const [at, { id, name }] of list.entries()) {
    if (ids.has(id)) yield { property: `devices[${at}].id`, expected: `must be unique; found ${id} again` }
    const earlier = names.get(name)
    if (earlier !== undefined)
      yield { property: `devices[${at}].name`, expected: `must be unique; ${earlier} is ${name} too` }
    ids.add(id)
    names.set(name, id)
  }
}

function* devices(config: PlatformConfig): Faults {
  yield* unique(config.devices)
  for (const { key, list } of resourceLists(config)) {
    for (const [at, device] of config.devices.entries()) {
      for (const [i, id] of device[key].entries())
        if (id >= list.length)
          yield {
            property: `devices[${at}].${key}[${i}]`,
            expected: `must exist; the platform has ${list.length} of that kind, found ${id}`,
          }
    }
  }
}

/** A list in ascending order, or a range with at least two steps' ends in it. */
function* values(form: readonly number[] | Range, property: string): Faults {
  if (Array.isArray(form)) {
    for (let i = 1; i < form.length; i++)
      if (form[i] <= form[i - 1])
        yield { property: `${property}[${i}]`, expected: `must be above ${form[i - 1]}: the list ascends` }
    return
  }
  const { min, max, step } = form as Range
  if (max < min)
    yield { property: `${property}.max`, expected: `must not be below min, ${min}; found ${max}` }
  if (max > min && step > max - min)
    yield { property: `${property}.step`, expected: `must not exceed max - min, ${max - min}; found ${step}` }
}

function* initial(value: number | undefined, form: readonly number[] | Range, property: string): Faults {
  if (value === undefined) return
  const range = form as Range
  const held = Array.isArray(form)
    ? form.includes(value)
    : value >= range.min && value <= range.max && (value - range.min) % range.step === 0
  if (!held) yield { property, expected: `must be one of the values described; found ${value}` }
}

function* clocks(config: PlatformConfig): Faults {
  const list = config.clock?.clocks ?? []
  for (const [at, clock] of list.entries()) {
    const property = `clock.clocks[${at}]`
    yield* values(clock.rates, `${property}.rates`)
    yield* initial(clock.rate, clock.rates, `${property}.rate`)
    for (const [i, id] of clock.parents.entries())
      if (id >= list.length)
        yield { property: `${property}.parents[${i}]`, expected: `must be a clock; there is no clock ${id}` }
    if (clock.parent !== undefined && !clock.parents.includes(clock.parent))
      yield { property: `${property}.parent`, expected: `must be one of parents; found ${clock.parent}` }
    for (const [i, { type, value }] of clock.extended.entries()) {
      if (type > 2 && type < 0x80)
        yield { property: `${property}.extended[${i}].type`, expected: `must be 1, 2, or 0x80 to 0xFF` }
      if ((type === 1 && value > 100) || (type === 2 && value > 359))
        yield {
          property: `${property}.extended[${i}].value`,
          expected: 'must be 0 to 100 % for a duty cycle, 0 to 359 degrees for a phase',
        }
      if (clock.extended.findIndex(e => e.type === type) !== i)
        yield { property: `${property}.extended[${i}].type`, expected: `must be unique; found ${type} again` }
    }
  }
  yield* cycles(list)
}

/** Whatever parents agents choose, no clock may ever feed itself. */
function* cycles(list: readonly { readonly parents: readonly number[] }[]): Faults {
  const state = new Uint8Array(list.length) // 1 on the way, 2 done
  const trail: number[] = []
  function* visit(id: number): Faults {
    if (state[id] === 2) return
    if (state[id] === 1) {
      const loop = [...trail.slice(trail.indexOf(id)), id].join(' <- ')
      yield { property: `clock.clocks[${id}].parents`, expected: `must not lead back to the clock: ${loop}` }
      return
    }
    state[id] = 1
    trail.push(id)
    for (const parent of list[id]?.parents ?? []) yield* visit(parent)
    trail.pop()
    state[id] = 2
  }
  for (let id = 0; id < list.length; id++) yield* visit(id)
}

function* performances(config: PlatformConfig): Faults {
  for (const [at, domain] of (config.performance?.domains ?? []).entries()) {
    const property = `performance.domains[${at}]`
    const levels = domain.levels.map(l => l.level)
    yield* values(levels, `${property}.levels`)
    yield* initial(domain.initial, levels, `${property}.initial`)
    for (const [i, { message }] of domain.fastChannels.entries())
      if (domain.fastChannels.findIndex(f => f.message === message) !== i)
        yield {
          property: `${property}.fastChannels[${i}].message`,
          expected: `must be unique; found ${message} again`,
        }
  }
}

function* voltages(config: PlatformConfig): Faults {
  for (const [at, domain] of (config.voltage?.domains ?? []).entries()) {
    yield* values(domain.levels, `voltage.domains[${at}].levels`)
    yield* initial(domain.level, domain.levels, `voltage.domains[${at}].level`)
  }
}

function* readings(
  one: { readonly value: number; readonly min: number; readonly max: number },
  property: string,
): Faults {
  for (const key of ['value', 'min', 'max'] as const)
    if (!Number.isSafeInteger(one[key]))
      yield {
        property: `${property}.${key}`,
        expected: `must be an integer within ±2^53; found ${one[key]}`,
      }
  if (one.max < one.min) yield { property: `${property}.max`, expected: `must not be below min, ${one.min}` }
}

function* sensors(config: PlatformConfig): Faults {
  const length = (i: { seconds: number; exponent?: number }) => i.seconds * 10 ** (i.exponent ?? 0)
  for (const [at, sensor] of (config.sensor?.sensors ?? []).entries()) {
    const property = `sensor.sensors[${at}]`
    yield* readings(sensor, property)
    for (const [i, axis] of sensor.axes.entries()) yield* readings(axis, `${property}.axes[${i}]`)
    if (sensor.axes.length > 0 && sensor.tripPoints > 0)
      yield {
        property: `${property}.tripPoints`,
        expected: 'must be 0: they are of a single value, not of axes',
      }
    if (Array.isArray(sensor.intervals)) yield* values(sensor.intervals.map(length), `${property}.intervals`)
  }
}

function* versions(config: PlatformConfig): Faults {
  for (const protocol of protocols) {
    const key = sectionOf(protocol.key) as keyof PlatformConfig['versions']
    const declared = config.versions[key]
    const known = protocol.versions.map(v => `0x${v.version.toString(16)}`)
    if (declared !== undefined && !protocol.versions.some(v => v.version === declared))
      yield {
        property: `versions.${key}`,
        expected: `must be one of ${known.join(', ')}; found 0x${declared.toString(16)}`,
      }
    if (
      key !== 'base' &&
      config[key] !== undefined &&
      declared === undefined &&
      versionIn(protocol, config.release) === undefined
    )
      yield {
        property: key,
        expected: `must be absent, or its version declared: release ${config.release} has no such protocol`,
      }
  }
}

/** The first thing in the file that does not agree with the rest, or undefined. */
export function crossCheck(config: PlatformConfig): Fault | undefined {
  for (const { property, list } of resourceLists(config)) {
    for (const fault of dense(list, property)) return fault
  }
  for (const part of [
    agents,
    devices,
    clocks,
    performances,
    voltages,
    sensors,
    powerCapping,
    pinControl,
    versions,
  ]) {
    for (const fault of part(config)) return fault
  }
  return undefined
}
