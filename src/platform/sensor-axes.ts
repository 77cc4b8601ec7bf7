// Axes of sensors that have several values: their descriptors and names, as lists of messages. The values themselves are
// sensor-state.ts's.
import { v3 } from '../scmi/common.ts'
import type { Layout } from '../scmi/schema.ts'
import { sensor as protocol } from '../scmi/sensor.ts'
import { NOT_SUPPORTED, OUT_OF_RANGE, SUCCESS } from '../scmi/status.ts'
import { BODY, type Call } from './call.ts'
import type { SensorConfig } from './config-protocols.ts'
import { Names } from './names.ts'
import { arg, layoutBits, outBits, shiftOf, two32 } from './words.ts'

const { SENSOR_AXIS_DESCRIPTION_GET: DESCRIPTION, SENSOR_AXIS_NAME_GET: NAME_GET } = protocol.messages
const entry = DESCRIPTION.response.tail?.entry as Layout
const named = NAME_GET.response.tail?.entry as Layout
const fieldAt = (name: string): number => entry.word[name] as number
const bitsOf = (field: string, name: string): number => layoutBits(entry, field, name)
const LOW = fieldAt('attributes_low')
const HIGH = fieldAt('attributes_high')
const NAME = fieldAt('name')
const RESOLUTION = fieldAt('resolution')
const RANGE = fieldAt('min_range')
const EXTENDED = bitsOf('attributes_low', 'extended')
const EXT_NAME = bitsOf('attributes_low', 'ext_name')
const UNIT_EXPONENT = shiftOf(bitsOf('attributes_high', 'unit_exponent'))
const INDEX = arg(DESCRIPTION, 'axis_desc_index')
const LEFT = shiftOf(outBits(DESCRIPTION, 'num_axis_flags', 'remaining'))
/** Words that an axis has in `#facts`: attributes_high, resolution, and the range as four. */
const factWords = 6

/** The axes of all sensors, one after the other. */
export class SensorAxes {
  /** How many axes each sensor has; 0 for one with a single value. */
  readonly counts: Uint8Array
  /** Whether the name of any axis is longer than its field in the descriptor. */
  readonly anyExtended: boolean
  /** Where each sensor's begin. */
  readonly #first: Uint32Array
  readonly #names: Names
  readonly #facts: Uint32Array
  /** Axes of each sensor whose names are longer than the descriptor's field. */
  readonly #extended: readonly Uint8Array[]

  constructor(sensors: SensorConfig['sensors']) {
    const all = sensors.flatMap(({ axes }) => axes)
    this.counts = Uint8Array.from(sensors, ({ axes }) => axes.length)
    this.#first = new Uint32Array(sensors.length)
    for (let i = 1; i < sensors.length; i++)
      this.#first[i] = (this.#first[i - 1] as number) + (this.counts[i - 1] as number)
    this.#names = new Names(all.map(({ name }) => name))
    this.anyExtended = all.some((_, axis) => this.#names.extended(axis) !== 0)
    this.#facts = Uint32Array.from(
      all.flatMap(({ type, exponent, resolution, min, max }) => [
        type | ((exponent & 31) << UNIT_EXPONENT),
        resolution | ((exponent & 31) << 27),
        min,
        Math.floor(min / two32),
        max,
        Math.floor(max / two32),
      ]),
      word => word >>> 0,
    )
    this.#extended = sensors.map(({ axes }, sensor) =>
      Uint8Array.from(axes.keys()).filter(
        axis => this.#names.extended((this.#first[sensor] as number) + axis) !== 0,
      ),
    )
  }

  /** Answers SENSOR_AXIS_DESCRIPTION_GET: as many axes from the index on as there is room for. */
  describe(call: Call): number {
    const { words, resource } = call
    const count = this.counts[resource] as number
    if (count === 0) return NOT_SUPPORTED
    const index = call.args[INDEX] as number
    if (index >= count) return OUT_OF_RANGE
    const n = call.fitting(entry.size, count - index)
    for (let i = 0; i < n; i++) {
      const axis = (this.#first[resource] as number) + index + i
      const at = BODY + 1 + (i * entry.size) / 4
      const isNamed = call.version >= v3 && this.#names.extended(axis) !== 0
      words[at] = index + i
      words[at + LOW] = EXTENDED | (isNamed ? EXT_NAME : 0)
      words[at + HIGH] = this.#facts[axis * factWords] as number
      this.#names.short(axis, words, at + NAME)
      words[at + RESOLUTION] = this.#facts[axis * factWords + 1] as number
      for (let word = 0; word < 4; word++)
        words[at + RANGE + word] = this.#facts[axis * factWords + 2 + word] as number
    }
    words[BODY] = n | ((count - index - n) << LEFT)
    call.length += n * entry.size
    return SUCCESS
  }

  /** Answers SENSOR_AXIS_NAME_GET: the names of those axes alone that have longer ones than their descriptors tell. */
  names(call: Call): number {
    const { words, resource } = call
    const list = this.#extended[resource] as Uint8Array
    if (list.length === 0) return NOT_SUPPORTED
    const index = call.args[INDEX] as number
    if (index >= list.length) return OUT_OF_RANGE
    const n = call.fitting(named.size, list.length - index)
    for (let i = 0; i < n; i++) {
      const axis = list[index + i] as number
      const at = BODY + 1 + (i * named.size) / 4
      words[at] = axis
      this.#names.long((this.#first[resource] as number) + axis, words, at + 1)
    }
    words[BODY] = n | ((list.length - index - n) << LEFT)
    call.length += n * named.size
    return SUCCESS
  }
}
