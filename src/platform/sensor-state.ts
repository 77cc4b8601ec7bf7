// Sensors: readings, trip points, update intervals, and which are enabled. Physical state; no message.
import type { SensorConfig } from './config-protocols.ts'
import { two32 } from './words.ts'

type Interval = { readonly seconds: number; readonly exponent?: number }
const nobody = -1

/** Rounding of an update interval: bits 10:9 of sensor_config. */
const ROUND_UP = 1
const ROUND_AUTO = 2

/** 10^e for e from -16 to 15. */
const powers = Float64Array.from({ length: 32 }, (_, i) => 10 ** (i - 16))
/** Seconds that a mantissa and an exponent make. */
const duration = (seconds: number, exponent: number): number => seconds * (powers[exponent + 16] as number)
/** An interval as SENSOR_LIST_UPDATE_INTERVALS tells it: exponent in 4:0, seconds in 20:5. */
const packInterval = (seconds: number, exponent: number): number => (seconds << 5) | (exponent & 31)

/** Hears of a new reading; `before` is the one it replaces. */
export type ReadingWatch = (sensor: number, before: number, now: number) => void

export class SensorState {
  readonly count: number
  /** Whether a sensor's intervals are told as shortest, longest, step. */
  readonly range: Uint8Array
  /** Update intervals of a sensor, packed. */
  readonly intervals: readonly Uint32Array[]
  readonly tripPoints: Uint8Array
  /** Told of each reading that `setReading` makes. */
  watch: ReadingWatch | undefined = undefined
  /** How many values a sensor reads: one, or one for each axis. */
  readonly values: Uint8Array
  /** Values of all sensors: where each sensor's begin, and what they are. */
  readonly #firstValue: Uint32Array
  readonly #value: Float64Array
  readonly #enabledAtBoot: Uint8Array
  readonly #enabled: Uint8Array
  readonly #interval: Uint32Array
  /** Index of the agent whose configuration is in force; -1 for the file's. */
  readonly #configuredBy: Int16Array
  /** Trip points of all sensors: where each sensor's begin. */
  readonly #firstTrip: Uint32Array
  readonly #tripEvent: Uint8Array
  readonly #tripValue: Float64Array
  readonly #tripBy: Int16Array

  constructor(sensors: SensorConfig['sensors']) {
    this.count = sensors.length
    this.range = Uint8Array.from(sensors, s => (Array.isArray(s.intervals) ? 0 : 1))
    this.intervals = sensors.map(s => {
      const list: readonly Interval[] = Array.isArray(s.intervals)
        ? s.intervals
        : [s.intervals.min, s.intervals.max, s.intervals.step]
      return Uint32Array.from(list, i => packInterval(i.seconds, i.exponent ?? 0))
    })
    this.tripPoints = Uint8Array.from(sensors, s => s.tripPoints)
    const values = sensors.map(s => (s.axes.length > 0 ? s.axes : [s]))
    this.values = Uint8Array.from(values, list => list.length)
    this.#firstValue = new Uint32Array(sensors.length)
    for (let i = 1; i < sensors.length; i++)
      this.#firstValue[i] = (this.#firstValue[i - 1] as number) + (this.values[i - 1] as number)
    this.#value = Float64Array.from(values.flat(), each => each.value)
    this.#enabledAtBoot = Uint8Array.from(sensors, s => (s.enabled ? 1 : 0))
    this.#enabled = Uint8Array.from(this.#enabledAtBoot)
    this.#interval = Uint32Array.from(this.intervals, list => list[0] ?? 0)
    this.#configuredBy = new Int16Array(sensors.length).fill(nobody)
    this.#firstTrip = new Uint32Array(sensors.length)
    let trips = 0
    for (const [i, sensor] of sensors.entries()) {
      this.#firstTrip[i] = trips
      trips += sensor.tripPoints
    }
    this.#tripEvent = new Uint8Array(trips)
    this.#tripValue = new Float64Array(trips)
    this.#tripBy = new Int16Array(trips).fill(nobody)
  }

  /** The reading, in the sensor's unit; of several axes the first one's. */
  reading(sensor: number): number {
    return this.#value[this.#firstValue[sensor] as number] as number
  }

  /** Gives a sensor, or one of its axes, a new reading: an integer within ±2^53. */
  setReading(sensor: number, value: number, axis = 0): void {
    const at = (this.#firstValue[sensor] as number) + axis
    const before = this.#value[at] as number
    this.#value[at] = value
    this.watch?.(sensor, before, value)
  }

  /** Writes the reading as two words, low first; of several axes the first one's. */
  writeReading(sensor: number, words: Uint32Array, at: number): void {
    this.#write(this.#firstValue[sensor] as number, words, at)
  }

  /** Writes all readings of a sensor, four words each: the value, and no time stamp. */
  writeReadings(sensor: number, words: Uint32Array, at: number): void {
    const count = this.values[sensor] as number
    for (let axis = 0; axis < count; axis++) {
      this.#write((this.#firstValue[sensor] as number) + axis, words, at + 4 * axis)
      words[at + 4 * axis + 2] = 0
      words[at + 4 * axis + 3] = 0
    }
  }

  #write(which: number, words: Uint32Array, at: number): void {
    const value = this.#value[which] as number
    words[at] = value // modulo 2^32, two's complement
    words[at + 1] = Math.floor(value / two32)
  }

  enabled(sensor: number): boolean {
    return this.#enabled[sensor] !== 0
  }

  /** The update interval in force, packed; 0 where the sensor has none. */
  interval(sensor: number): number {
    return this.#interval[sensor] as number
  }

  /** Index of the described interval that the asked one is rounded to; -1 beyond the ends. Ranges take any within. */
  roundInterval(sensor: number, seconds: number, exponent: number, rounding: number): number {
    const list = this.intervals[sensor] as Uint32Array
    const wanted = duration(seconds, exponent)
    let below = -1
    let above = -1
    for (let i = 0; i < list.length; i++) {
      const packed = list[i] as number
      const value = duration(packed >>> 5, (packed << 27) >> 27)
      const tolerance = value * 1e-9 // decimal exponents are not exact in binary
      if (value <= wanted + tolerance) below = i
      if (above < 0 && value >= wanted - tolerance) above = i
    }
    if (below < 0 || above < 0) return -1
    if (rounding === ROUND_UP) return above
    if (rounding < ROUND_AUTO || below === above) return below
    const low = list[below] as number
    const high = list[above] as number
    const under = wanted - duration(low >>> 5, (low << 27) >> 27)
    const over = duration(high >>> 5, (high << 27) >> 27) - wanted
    return under <= over ? below : above
  }

  /** Whether an interval lies within a sensor's shortest and longest. */
  withinRange(sensor: number, seconds: number, exponent: number): boolean {
    const list = this.intervals[sensor] as Uint32Array
    const wanted = duration(seconds, exponent)
    const shortest = list[0] as number
    const longest = list[1] as number
    return (
      wanted >= duration(shortest >>> 5, (shortest << 27) >> 27) * (1 - 1e-9) &&
      wanted <= duration(longest >>> 5, (longest << 27) >> 27) * (1 + 1e-9)
    )
  }

  configure(agent: number, sensor: number, enabled: number, interval: number): void {
    this.#enabled[sensor] = enabled
    this.#interval[sensor] = interval
    this.#configuredBy[sensor] = agent
  }

  /** Sets a trip point: event 0 none, 1 rising, 2 falling, 3 both. */
  setTrip(agent: number, sensor: number, trip: number, event: number, low: number, high: number): void {
    const at = (this.#firstTrip[sensor] as number) + trip
    this.#tripEvent[at] = event
    this.#tripValue[at] = high * two32 + (low < 0 ? low + two32 : low)
    this.#tripBy[at] = event === 0 ? nobody : agent
  }

  /** 1 when the step from `before` to `now` rises over the trip point and that is watched for, -1 when it falls, else 0. */
  crossing(sensor: number, trip: number, before: number, now: number): number {
    const at = (this.#firstTrip[sensor] as number) + trip
    const event = this.#tripEvent[at] as number
    const value = this.#tripValue[at] as number
    if ((event & 1) !== 0 && before < value && now >= value) return 1
    return (event & 2) !== 0 && before >= value && now < value ? -1 : 0
  }

  /** Clears the agent's trip points and restores the file's configuration where the agent's is in force. */
  release(agent: number): void {
    for (let at = 0; at < this.#tripBy.length; at++) {
      if (this.#tripBy[at] !== agent) continue
      this.#tripEvent[at] = 0
      this.#tripBy[at] = nobody
    }
    for (let sensor = 0; sensor < this.count; sensor++) {
      if (this.#configuredBy[sensor] !== agent) continue
      this.#configuredBy[sensor] = nobody
      this.#enabled[sensor] = this.#enabledAtBoot[sensor] as number
      this.#interval[sensor] = (this.intervals[sensor] as Uint32Array)[0] ?? 0
    }
  }
}
