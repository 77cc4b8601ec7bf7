// Uses a resource as a driver would: describes it, switches and sets it, reads back what it set, leaves it on. One
// walk per protocol; what to set comes from what the platform describes.
import { clock } from '../scmi/clock.ts'
import { v2, v3, v4 } from '../scmi/common.ts'
import { performance } from '../scmi/performance.ts'
import { POWER_OFF, POWER_ON, power } from '../scmi/power.ts'
import { CAP_DISABLED, powerCapping } from '../scmi/power-capping.ts'
import { protocolOf } from '../scmi/protocols.ts'
import { reset } from '../scmi/reset.ts'
import { existsAt, type Protocol } from '../scmi/schema.ts'
import { sensor } from '../scmi/sensor.ts'
import { SUCCESS } from '../scmi/status.ts'
import { VOLTAGE_OFF, VOLTAGE_ON, voltage } from '../scmi/voltage.ts'
import { another, choices, readList } from './lists.ts'
import type { Exchange, GuestSession } from './session.ts'

type Ranges = Readonly<Record<string, number>>

/** Uses resource `id`. RangeError for a protocol without resources; what the connection throws ends it. */
export async function useResource(session: GuestSession, protocol: number, id: number): Promise<void> {
  const walk = walks.get(protocol)
  if (walk === undefined)
    throw new RangeError(`${protocolOf(protocol)?.key ?? protocol} has no resources to use`)
  await walk(new Driver(session, protocol, id, await session.version(protocol)))
}

/** One driver at one resource. */
class Driver {
  readonly session: GuestSession
  readonly protocol: number
  readonly id: number
  readonly version: number

  constructor(session: GuestSession, protocol: number, id: number, version: number) {
    this.session = session
    this.protocol = protocol
    this.id = id
    this.version = version
  }

  readonly ask = (message: string, value: Readonly<Record<string, unknown>>): Promise<Exchange> =>
    this.session.ask(this.protocol, message, value)

  /** A word cut in bits of an answer; empty where the answer has none. */
  readonly ranges = ({ value }: Exchange, field = 'attributes'): Ranges =>
    typeof value[field] === 'object' ? (value[field] as Ranges) : {}

  readonly list = (message: string, value: Readonly<Record<string, unknown>>, from = 0) =>
    readList(this.session, this.protocol, message, value, from)

  /** Reads a field back and complains where it is not what was set. */
  async expect(message: string, value: Readonly<Record<string, unknown>>, field: string, wanted: number) {
    const read = await this.ask(message, value)
    const got = read.value[field]
    const plain = typeof got === 'object' ? Object.values(got as Ranges)[0] : got
    if (read.status === SUCCESS && Number(plain) !== wanted)
      this.session.listener.mismatch(
        `${protocolOf(this.protocol)?.key} ${this.id}: ${message} reads ${plain}, ${wanted} was set`,
      )
  }

  /** Whether an optional message is there for this guest: asked as Linux asks before it uses one. */
  async offers(message: string): Promise<boolean> {
    const declared = (protocolOf(this.protocol) as Protocol).messages[message]
    if (declared === undefined || !existsAt(declared, this.version)) return false
    const { status } = await this.ask('PROTOCOL_MESSAGE_ATTRIBUTES', { message_id: declared.id })
    return status === SUCCESS
  }
}

/** A number of an answer; 0 where it was refused. */
const numberIn = ({ value }: Exchange, field: string): number => Number(value[field] ?? 0)

async function useClock(driver: Driver): Promise<void> {
  const { ask, id: clock_id, version } = driver
  const attributes = driver.ranges(await ask('CLOCK_ATTRIBUTES', { clock_id }))
  if (attributes['ext_name'] === 1) await ask('CLOCK_NAME_GET', { clock_id })
  if (version >= v3 && (await driver.offers('CLOCK_GET_PERMISSIONS')))
    await ask('CLOCK_GET_PERMISSIONS', { clock_id })
  const rates = choices(await driver.list('CLOCK_DESCRIBE_RATES', { clock_id }), 'rate')
  const rate = numberIn(await ask('CLOCK_RATE_GET', { clock_id }), 'rate')
  if (attributes['has_parent'] === 1) {
    await driver.list('CLOCK_POSSIBLE_PARENTS_GET', { clock_id })
    const { parent_id } = (await ask('CLOCK_PARENT_GET', { clock_id })).value
    if (parent_id !== undefined) await ask('CLOCK_PARENT_SET', { clock_id, parent_id })
  }
  const enable = async (on: number): Promise<void> => {
    const more = version >= v3 ? { extended_config_val: 0 } : {}
    await ask('CLOCK_CONFIG_SET', { clock_id, attributes: on, ...more })
    if (version >= v3) await driver.expect('CLOCK_CONFIG_GET', { clock_id, flags: 0 }, 'config', on)
    else await driver.expect('CLOCK_ATTRIBUTES', { clock_id }, 'attributes', on)
  }
  await enable(1)
  for (const wanted of [another(rates, rate), rate]) {
    await ask('CLOCK_RATE_SET', { clock_id, flags: 0, rate: wanted })
    await driver.expect('CLOCK_RATE_GET', { clock_id }, 'rate', wanted)
  }
  await enable(0)
  await enable(1)
}

async function usePower(driver: Driver): Promise<void> {
  const { ask, id: domain_id } = driver
  const attributes = driver.ranges(await ask('POWER_DOMAIN_ATTRIBUTES', { domain_id }))
  if (attributes['ext_name'] === 1) await ask('POWER_DOMAIN_NAME_GET', { domain_id })
  await ask('POWER_STATE_GET', { domain_id })
  if (attributes['set_sync'] !== 1) return
  for (const power_state of [POWER_ON, POWER_OFF, POWER_ON]) {
    await ask('POWER_STATE_SET', { flags: 0, domain_id, power_state })
    await driver.expect('POWER_STATE_GET', { domain_id }, 'power_state', power_state)
  }
}

async function usePerformance(driver: Driver): Promise<void> {
  const { ask, id: domain_id, version } = driver
  const attributes = driver.ranges(await ask('PERFORMANCE_DOMAIN_ATTRIBUTES', { domain_id }))
  if (attributes['ext_name'] === 1) await ask('PERFORMANCE_DOMAIN_NAME_GET', { domain_id })
  const byIndex = version >= v4 && attributes['level_indexing'] === 1
  const described = await driver.list('PERFORMANCE_DESCRIBE_LEVELS', { domain_id })
  const levels = choices(described, byIndex ? 'level_index' : 'performance_level')
  const level = numberIn(await ask('PERFORMANCE_LEVEL_GET', { domain_id }), 'performance_level')
  const limits = { range_max: 0, range_min: 0, ...(await ask('PERFORMANCE_LIMITS_GET', { domain_id })).value }
  if (attributes['set_limits'] === 1 && levels.length > 0) {
    const range = { range_max: Math.max(...levels), range_min: Math.min(...levels) }
    await ask('PERFORMANCE_LIMITS_SET', { domain_id, ...range })
    await driver.expect('PERFORMANCE_LIMITS_GET', { domain_id }, 'range_max', range.range_max)
    await ask('PERFORMANCE_LIMITS_SET', { domain_id, ...limits })
  }
  if (attributes['set_level'] !== 1) return
  for (const performance_level of [another(levels, level), level]) {
    await ask('PERFORMANCE_LEVEL_SET', { domain_id, performance_level })
    await driver.expect('PERFORMANCE_LEVEL_GET', { domain_id }, 'performance_level', performance_level)
  }
}

async function useSensor(driver: Driver): Promise<void> {
  const { ask, id: sensor_id, version } = driver
  const { entries } = await ask('SENSOR_DESCRIPTION_GET', { desc_index: sensor_id })
  const descriptor = entries.find(entry => entry['sensor_id'] === sensor_id) ?? {}
  const low = (descriptor['attributes_low'] ?? {}) as Ranges
  const high = (descriptor['attributes_high'] ?? {}) as Ranges
  if (low['ext_name'] === 1) await ask('SENSOR_NAME_GET', { sensor_id })
  if (version >= v2) {
    await driver.list('SENSOR_LIST_UPDATE_INTERVALS', { sensor_id })
    if (high['axis_support'] === 1) await driver.list('SENSOR_AXIS_DESCRIPTION_GET', { sensor_id })
    const config = driver.ranges(await ask('SENSOR_CONFIG_GET', { sensor_id }), 'sensor_config')
    await ask('SENSOR_CONFIG_SET', { sensor_id, sensor_config: { ...config, enabled: 1 } })
    await driver.expect('SENSOR_CONFIG_GET', { sensor_id }, 'sensor_config', 1)
  }
  for (let trip_point = 0; trip_point < (low['trip_points'] ?? 0); trip_point++)
    await ask('SENSOR_TRIP_POINT_CONFIG', {
      sensor_id,
      trip_point_ev_ctrl: { event: 0, trip_point },
      value: 0,
    })
  await ask('SENSOR_READING_GET', { sensor_id, flags: 0 })
}

async function useReset(driver: Driver): Promise<void> {
  const { ask, id: domain_id } = driver
  const attributes = driver.ranges(await ask('RESET_DOMAIN_ATTRIBUTES', { domain_id }))
  if (attributes['ext_name'] === 1) await ask('RESET_DOMAIN_NAME_GET', { domain_id })
  await ask('RESET', { domain_id, flags: { autonomous: 1 }, reset_state: 0 })
}

async function useVoltage(driver: Driver): Promise<void> {
  const { ask, id: domain_id } = driver
  const attributes = driver.ranges(await ask('VOLTAGE_DOMAIN_ATTRIBUTES', { domain_id }))
  if (attributes['ext_name'] === 1) await ask('VOLTAGE_DOMAIN_NAME_GET', { domain_id })
  const levels = choices(await driver.list('VOLTAGE_DESCRIBE_LEVELS', { domain_id }), 'level')
  const level = numberIn(await ask('VOLTAGE_LEVEL_GET', { domain_id }), 'level')
  const switched = async (config: number): Promise<void> => {
    await ask('VOLTAGE_CONFIG_SET', { domain_id, config })
    await driver.expect('VOLTAGE_CONFIG_GET', { domain_id }, 'config', config)
  }
  await switched(VOLTAGE_ON)
  for (const wanted of [another(levels, level), level]) {
    await ask('VOLTAGE_LEVEL_SET', { domain_id, flags: 0, level: wanted })
    await driver.expect('VOLTAGE_LEVEL_GET', { domain_id }, 'level', wanted)
  }
  await switched(VOLTAGE_OFF)
  await switched(VOLTAGE_ON)
}

async function usePowerCapping(driver: Driver): Promise<void> {
  const { ask, id: domain_id, version } = driver
  const described = await ask('POWERCAP_DOMAIN_ATTRIBUTES', { domain_id })
  const attributes = driver.ranges(described)
  if (attributes['ext_name'] === 1) await ask('POWERCAP_DOMAIN_NAME_GET', { domain_id })
  if (attributes['monitoring'] === 1) await ask('POWERCAP_MEASUREMENTS_GET', { domain_id })
  const lowest = numberIn(described, 'min_power_cap')
  await ask('POWERCAP_CAP_GET', { domain_id })
  if (attributes['cap_config'] === 1) {
    await ask('POWERCAP_CAP_SET', { domain_id, flags: 0, power_cap: lowest })
    await driver.expect('POWERCAP_CAP_GET', { domain_id }, 'power_cap', lowest)
    const lifted = version >= v2 ? CAP_DISABLED : numberIn(described, 'max_power_cap')
    await ask('POWERCAP_CAP_SET', { domain_id, flags: 0, power_cap: lifted }) // others' caps stay in force
  }
  const pai = numberIn(await ask('POWERCAP_PAI_GET', { domain_id }), 'pai')
  if (attributes['pai_config'] !== 1) return
  for (const wanted of [numberIn(described, 'max_pai'), pai]) {
    await ask('POWERCAP_PAI_SET', { domain_id, flags: 0, pai: wanted })
    await driver.expect('POWERCAP_PAI_GET', { domain_id }, 'pai', wanted)
  }
}

const walks = new Map<number, (driver: Driver) => Promise<void>>([
  [clock.id, useClock],
  [power.id, usePower],
  [performance.id, usePerformance],
  [sensor.id, useSensor],
  [reset.id, useReset],
  [voltage.id, useVoltage],
  [powerCapping.id, usePowerCapping],
])
