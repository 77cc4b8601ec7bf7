// Sensor management protocol, 0x15, of the virtual SCP: messages to and from SensorState.
import { v2, v3 } from '../scmi/common.ts'
import { formAt, type Layout } from '../scmi/schema.ts'
import { sensor as protocol } from '../scmi/sensor.ts'
import { INVALID_PARAMETERS, NOT_SUPPORTED, OUT_OF_RANGE, PROTOCOL_ERROR, SUCCESS } from '../scmi/status.ts'
import { BODY, type Call } from './call.ts'
import type { SensorConfig } from './config-protocols.ts'
import { DELAYED_BODY } from './delayed.ts'
import { Delays } from './delays.ts'
import { Subscriptions } from './events.ts'
import { flags, type Implementation, type Shared, subscribe } from './implementation.ts'
import { Names } from './names.ts'
import { SENSOR } from './numbering.ts'
import { SensorAxes } from './sensor-axes.ts'
import type { SensorState } from './sensor-state.ts'
import { arg, argBits, layoutBits, outBits, shiftOf, two32 } from './words.ts'

const m = protocol.messages
/** A descriptor's layout: the longer one has all fields of the shorter at the same places. */
const entryAt = (version: number): Layout =>
  formAt(m.SENSOR_DESCRIPTION_GET, version).response.tail?.entry as Layout
const shortBytes = entryAt(0x1_0000).size
const longBytes = entryAt(v2).size
/** A descriptor of a sensor with axes ends behind its power: resolution and ranges are the axes'. */
const axesBytes = entryAt(v2).at['resolution'] as number
const fieldAt = (name: string): number => entryAt(v2).word[name] as number
const bitsOf = (field: string, name: string): number => layoutBits(entryAt(v2), field, name)
const LOW = fieldAt('attributes_low')
const HIGH = fieldAt('attributes_high')
const NAME = fieldAt('name')
const POWER = fieldAt('sensor_power')
const RESOLUTION = fieldAt('resolution')
const MIN = fieldAt('min_range')
const MAX = fieldAt('max_range')
const ASYNC_READ = bitsOf('attributes_low', 'async')
const EXTENDED = bitsOf('attributes_low', 'extended')
const EXT_NAME = bitsOf('attributes_low', 'ext_name')
const CONTINUOUS = bitsOf('attributes_low', 'continuous_update')
const AXIS_SUPPORT = bitsOf('attributes_high', 'axis_support')
const AXES = shiftOf(bitsOf('attributes_high', 'axes'))
const UNIT_EXPONENT = shiftOf(bitsOf('attributes_high', 'unit_exponent'))
const SENSORS_LEFT = shiftOf(outBits(m.SENSOR_DESCRIPTION_GET, 'num_sensor_flags', 'remaining'))
const MAX_ASYNC = shiftOf(outBits(m.PROTOCOL_ATTRIBUTES, 'attributes', 'max_async'))
const TRIP_CONTROL = arg(m.SENSOR_TRIP_POINT_CONFIG, 'trip_point_ev_ctrl')
const TRIP_VALUE = arg(m.SENSOR_TRIP_POINT_CONFIG, 'value')
const TRIP_EVENT = argBits(m.SENSOR_TRIP_POINT_CONFIG, 'trip_point_ev_ctrl', 'event')
const TRIP_POINT = shiftOf(argBits(m.SENSOR_TRIP_POINT_CONFIG, 'trip_point_ev_ctrl', 'trip_point'))
const READ_FLAGS = arg(m.SENSOR_READING_GET, 'flags')
const READ_ASYNC = argBits(m.SENSOR_READING_GET, 'flags', 'async')
const READING_BYTES = formAt(m.SENSOR_READING_GET, v2).response.tail?.entry.size as number
/** A reading of version 1. */
const VALUE_BYTES = 8
const INTERVAL_INDEX = arg(m.SENSOR_LIST_UPDATE_INTERVALS, 'index')
const TRIPLET = outBits(m.SENSOR_LIST_UPDATE_INTERVALS, 'num_intervals_flags', 'triplet')
const INTERVALS_LEFT = shiftOf(outBits(m.SENSOR_LIST_UPDATE_INTERVALS, 'num_intervals_flags', 'remaining'))
const CONFIG = arg(m.SENSOR_CONFIG_SET, 'sensor_config')
const configBits = (name: string): number => argBits(m.SENSOR_CONFIG_SET, 'sensor_config', name)
const TIMESTAMP = configBits('timestamp')
const ROUNDING = shiftOf(configBits('rounding'))
const EXPONENT = shiftOf(configBits('exponent'))
const SECONDS = shiftOf(configBits('seconds'))
const TRIPPED = protocol.notifications.SENSOR_TRIP_POINT_EVENT
const RISING = (TRIPPED.payload.fields['trip_point_desc'] as unknown as { mask: Record<string, number> })
  .mask['rising'] as number
const UPDATE = protocol.notifications.SENSOR_UPDATE
/** agent_id of what nobody but the platform caused. */
const PLATFORM = 0

export function sensorProtocol(
  { sensors, maxAsync }: SensorConfig,
  state: SensorState,
  shared: Shared,
): Implementation<typeof protocol> {
  const names = new Names(sensors.map(s => s.name))
  const axes = new SensorAxes(sensors)
  const trips = flags(sensors, s => s.tripPoints > 0)
  const continuous = flags(sensors, s => s.continuousUpdate)
  const high = Uint32Array.from(sensors, s => s.type | ((s.exponent & 31) << UNIT_EXPONENT))
  const power = Uint32Array.from(sensors, s => s.power)
  const resolution = Uint32Array.from(sensors, s => s.resolution | ((s.exponent & 31) << 27))
  /** min low, min high, max low, max high of each. */
  const ranges = Uint32Array.from(
    sensors.flatMap(s => [s.min, Math.floor(s.min / two32), s.max, Math.floor(s.max / two32)]),
    word => word >>> 0,
  )
  const delays = new Delays(sensors, maxAsync)
  const subscriptions = new Subscriptions(2, sensors.length, shared.agents)

  /** Bytes of all readings of a sensor, version 2 on. */
  const readingBytes = (sensor: number): number => (state.values[sensor] as number) * READING_BYTES

  state.watch = (sensor, before, now) => {
    for (let agent = 0; agent < shared.agents; agent++) {
      if (subscriptions.has(TRIPPED.id, sensor, agent)) {
        for (let trip = 0; trip < (state.tripPoints[sensor] as number); trip++) {
          const crossing = state.crossing(sensor, trip, before, now)
          if (crossing === 0) continue
          const words = shared.events.notify(agent, protocol.id, TRIPPED.id, TRIPPED.payload.size)
          words[1] = PLATFORM
          words[2] = sensor
          words[3] = trip | (crossing > 0 ? RISING : 0)
        }
      }
      // An agent that negotiated version 1 after subscribing knows no such notification.
      if (
        state.enabled(sensor) &&
        subscriptions.has(UPDATE.id, sensor, agent) &&
        shared.versions.inForce(agent, SENSOR) >= v2
      ) {
        const bytes = UPDATE.payload.size + readingBytes(sensor)
        const words = shared.events.notify(agent, protocol.id, UPDATE.id, bytes)
        words[1] = PLATFORM
        words[2] = sensor
        state.writeReadings(sensor, words, 3)
      }
    }
  }

  /** Bytes of a sensor's descriptor. */
  const descriptorBytes = (id: number, version: number): number =>
    version < v2 ? shortBytes : axes.counts[id] === 0 ? longBytes : axesBytes

  /** Writes the descriptor of a sensor at a word of the frame. */
  const describe = (call: Call, id: number, at: number): void => {
    const { words } = call
    let low = state.tripPoints[id] as number
    words[at] = id
    words[at + HIGH] = high[id] as number
    names.short(id, words, at + NAME)
    if (call.p2a && delays.has(id)) low |= ASYNC_READ
    if (call.version >= v2) {
      low |= EXTENDED // always, as SCP does: 52 bytes
      if (call.p2a && continuous[id] !== 0) low |= CONTINUOUS
      if (call.version >= v3 && names.extended(id) !== 0) low |= EXT_NAME
      words[at + POWER] = power[id] as number
      const count = axes.counts[id] as number
      if (count > 0) words[at + HIGH] = (high[id] as number) | AXIS_SUPPORT | (count << AXES)
      else {
        words[at + RESOLUTION] = resolution[id] as number
        words[at + MIN] = ranges[4 * id] as number
        words[at + MIN + 1] = ranges[4 * id + 1] as number
        words[at + MAX] = ranges[4 * id + 2] as number
        words[at + MAX + 1] = ranges[4 * id + 3] as number
      }
    }
    words[at + LOW] = low
  }

  return {
    protocol,
    resources: sensors.length,
    subscriptions,
    absent: axes.anyExtended ? [] : [m.SENSOR_AXIS_NAME_GET.id],
    release: agent => state.release(agent),
    complete(due, words) {
      if (due.version >= v2 && !state.enabled(due.resource)) return PROTOCOL_ERROR // switched off meanwhile
      words[DELAYED_BODY] = due.resource
      if (due.version >= v2) state.writeReadings(due.resource, words, DELAYED_BODY + 1)
      else state.writeReading(due.resource, words, DELAYED_BODY + 1)
      due.length = 4 + (due.version >= v2 ? readingBytes(due.resource) : VALUE_BYTES)
      return SUCCESS
    },
    attributes(call) {
      call.words[BODY] = sensors.length | (call.p2a ? delays.limit << MAX_ASYNC : 0) // no register area
      return SUCCESS
    },
    handlers: {
      SENSOR_DESCRIPTION_GET(call) {
        const index = call.args[0] as number
        if (index >= sensors.length) return shared.deviations.indexBeyond
        let next = index
        while (next < sensors.length) {
          const bytes = descriptorBytes(next, call.version)
          if (call.fitting(bytes, 1) < 1) break
          describe(call, next++, call.length / 4)
          call.length += bytes
        }
        call.words[BODY] = (next - index) | ((sensors.length - next) << SENSORS_LEFT)
        return SUCCESS
      },
      SENSOR_TRIP_POINT_NOTIFY: subscribe(subscriptions, TRIPPED.id, trips),
      SENSOR_TRIP_POINT_CONFIG(call) {
        const control = call.args[TRIP_CONTROL] as number
        const trip = control >>> TRIP_POINT
        if (trip >= (state.tripPoints[call.resource] as number)) return INVALID_PARAMETERS
        state.setTrip(
          call.agent,
          call.resource,
          trip,
          control & TRIP_EVENT,
          call.signedArgs[TRIP_VALUE] as number,
          call.signedArgs[TRIP_VALUE + 1] as number,
        )
        return SUCCESS
      },
      SENSOR_READING_GET(call) {
        const async = ((call.args[READ_FLAGS] as number) & READ_ASYNC) !== 0
        if (async && (!call.p2a || !delays.has(call.resource))) return NOT_SUPPORTED
        if (call.version >= v2 && !state.enabled(call.resource)) return PROTOCOL_ERROR
        if (async) {
          call.length = 8 // the reading comes later
          return shared.delayed.accept(call, SENSOR, delays)
        }
        if (call.version >= v2) {
          state.writeReadings(call.resource, call.words, BODY)
          call.length += readingBytes(call.resource)
        } else state.writeReading(call.resource, call.words, BODY)
        return SUCCESS
      },
      SENSOR_AXIS_DESCRIPTION_GET: call => axes.describe(call),
      SENSOR_LIST_UPDATE_INTERVALS(call) {
        const list = state.intervals[call.resource] as Uint32Array
        const range = state.range[call.resource] !== 0
        const index = call.args[INTERVAL_INDEX] as number
        if (index >= (range ? 1 : list.length) && (index > 0 || list.length > 0)) return OUT_OF_RANGE
        const n = call.fitting(4, list.length - index)
        for (let i = 0; i < n; i++) call.words[BODY + 1 + i] = list[index + i] as number
        call.words[BODY] = n | (range ? TRIPLET : 0) | ((list.length - index - n) << INTERVALS_LEFT)
        call.length += 4 * n
        return SUCCESS
      },
      SENSOR_CONFIG_GET(call) {
        const interval = state.interval(call.resource)
        call.words[BODY] =
          (state.enabled(call.resource) ? 1 : 0) |
          ((interval & 31) << EXPONENT) |
          ((interval >>> 5) << SECONDS)
        return SUCCESS
      },
      SENSOR_CONFIG_SET(call) {
        const config = call.signedArgs[CONFIG] as number
        const list = state.intervals[call.resource] as Uint32Array
        if ((config & TIMESTAMP) !== 0) return NOT_SUPPORTED
        const seconds = config >>> SECONDS
        let interval = state.interval(call.resource)
        // Linux enables a sensor without naming an interval: it stays as it is.
        if (seconds !== 0) {
          if (list.length === 0) return NOT_SUPPORTED
          const packedExponent = (config >>> EXPONENT) & 31
          const exponent = (packedExponent << 27) >> 27
          if (state.range[call.resource] !== 0) {
            if (!state.withinRange(call.resource, seconds, exponent)) return INVALID_PARAMETERS
            interval = (seconds << 5) | packedExponent
          } else {
            const index = state.roundInterval(call.resource, seconds, exponent, (config >>> ROUNDING) & 3)
            if (index < 0) return INVALID_PARAMETERS
            interval = list[index] as number
          }
        }
        state.configure(call.agent, call.resource, config & 1, interval)
        return SUCCESS
      },
      SENSOR_CONTINUOUS_UPDATE_NOTIFY: subscribe(subscriptions, UPDATE.id, continuous),
      SENSOR_NAME_GET: call => call.nameAnswer(names),
      SENSOR_AXIS_NAME_GET: call => axes.names(call),
    },
  }
}
