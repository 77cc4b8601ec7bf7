// Sensor management protocol, 0x15.
import { common, name16, name64, nameGet, v2, v3, v3_1 } from './common.ts'
import {
  agentId,
  bits,
  hidden,
  int64,
  layout,
  list,
  message,
  notification,
  protocol,
  resourceId,
  uint32,
  uint64,
} from './schema.ts'
import { INVALID_PARAMETERS, OUT_OF_RANGE } from './status.ts'

/** What a sensor is called, before a number, that is not the guest's or not there: its descriptor is zeros beside. */
export const unusedSensor = 'unused-s'

const enable = bits({ enable: [0, 1] })
/** One reading, version 2 on: a signed value and the time it was taken. */
const reading = layout({ value: int64, timestamp: uint64 })
const readings = list('readings', reading)
const async = { field: 'flags', mask: 0x1 } as const

const descriptorFlags = bits({ returned: [0, 12], remaining: [16, 16] })
const descriptorV1 = layout({
  sensor_id: resourceId,
  attributes_low: bits({ trip_points: [0, 8], async: [31, 1] }, { p2a: ['async'] }),
  attributes_high: bits({
    type: [0, 8],
    unit_exponent: [11, 5, 'signed'],
    update_exponent: [22, 5, 'signed'],
    update_interval: [27, 5],
  }),
  name: name16,
})
/** Version 2 on, of a scalar sensor with extended attributes: what SCP sends and Linux accepts. */
const descriptorV2 = layout({
  sensor_id: resourceId,
  attributes_low: bits(
    {
      trip_points: [0, 8],
      extended: [8, 1],
      timestamp: [9, 1],
      timestamp_exponent: [10, 5, 'signed'],
      ext_name: [29, 1],
      continuous_update: [30, 1],
      async: [31, 1],
    },
    { p2a: ['continuous_update', 'async'] },
  ),
  attributes_high: bits({
    type: [0, 8],
    axis_support: [8, 1],
    unit_exponent: [11, 5, 'signed'],
    axes: [16, 6],
  }),
  name: name16,
  sensor_power: uint32,
  resolution: bits({ value: [0, 27], exponent: [27, 5, 'signed'] }),
  min_range: int64,
  max_range: int64,
})
const axisFlags = bits({ returned: [0, 6], remaining: [26, 6] })
const axis = layout({
  axis_id: uint32,
  attributes_low: bits({ extended: [8, 1], ext_name: [9, 1] }),
  attributes_high: bits({ type: [0, 8], unit_exponent: [11, 5, 'signed'] }),
  name: name16,
  resolution: bits({ value: [0, 27], exponent: [27, 5, 'signed'] }),
  min_range: int64,
  max_range: int64,
})

/** Bytes of the version 2 descriptor at `at`: extended attributes are optional, and axis sensors have no ranges. */
function descriptorSize(frame: DataView, at: number): number {
  if (at + 12 > frame.byteLength) return descriptorV2.size
  const extended = (frame.getUint32(at + 4, true) >>> 8) & 1
  const high = frame.getUint32(at + 8, true)
  const axes = (high & 0x100) === 0 ? 0 : (high >>> 16) & 0x3f // a number without the support bit means nothing
  return extended === 0 ? 28 : axes === 0 ? 52 : 32
}
/** Bytes of the axis descriptor at `at`: extended attributes are optional. */
const axisSize = (frame: DataView, at: number): number =>
  at + 8 <= frame.byteLength && ((frame.getUint32(at + 4, true) >>> 8) & 1) === 0 ? 28 : axis.size

export const sensor = protocol({
  id: 0x15,
  name: 'Sensor management',
  key: 'sensor',
  resource: 'sensor',
  versions: [
    { release: '1.0', version: 0x1_0000 },
    { release: '3.0', version: 0x2_0000 },
    { release: '3.1', version: 0x3_0000 },
    { release: '3.2', version: 0x3_0001 },
  ],
  messages: {
    ...common({
      attributes: layout({
        attributes: bits({ num_sensors: [0, 16], max_async: [16, 8] }, { p2a: ['max_async'] }),
        sensor_reg_address_low: hidden(uint32),
        sensor_reg_address_high: hidden(uint32),
        sensor_reg_len: hidden(uint32),
      }),
      negotiateSince: v3_1,
    }),
    SENSOR_DESCRIPTION_GET: message({
      id: 0x3,
      doc: 'Describes sensors from an index on: type, unit, name, range.',
      effect: 'query',
      lists: 'resources',
      index: { field: 'desc_index', beyond: INVALID_PARAMETERS },
      command: layout({ desc_index: uint32 }),
      response: layout({ num_sensor_flags: descriptorFlags }, list('descriptors', descriptorV1, [0, 0xfff])),
      changes: [
        {
          since: v2,
          response: layout(
            { num_sensor_flags: descriptorFlags },
            list('descriptors', descriptorV2, [0, 0xfff], { sizeAt: descriptorSize }),
          ),
        },
      ],
    }),
    SENSOR_TRIP_POINT_NOTIFY: message({
      id: 0x4,
      doc: 'Subscribes to the trip points of a sensor.',
      effect: 'control',
      optional: true,
      resource: 'sensor_id',
      subscribes: 0x0,
      command: layout({ sensor_id: resourceId, sensor_event_control: enable }),
      response: layout({}),
      placeholder: 'not-supported',
    }),
    SENSOR_TRIP_POINT_CONFIG: message({
      id: 0x5,
      doc: 'Sets where a trip point lies and which crossing it reports: 0 none, 1 rising, 2 falling, 3 both.',
      effect: 'control',
      optional: true,
      resource: 'sensor_id',
      exclusive: true,
      command: layout({
        sensor_id: resourceId,
        trip_point_ev_ctrl: bits({ event: [0, 2], trip_point: [4, 8] }),
        value: int64,
      }),
      response: layout({}),
      placeholder: 'denied',
    }),
    SENSOR_READING_GET: message({
      id: 0x6,
      doc: 'Reads a sensor.',
      effect: 'query',
      resource: 'sensor_id',
      async,
      command: layout({ sensor_id: resourceId, flags: bits({ async: [0, 1] }) }),
      response: layout({ value: int64 }),
      delayed: layout({ sensor_id: resourceId, value: int64 }),
      changes: [
        { since: v2, response: layout({}, readings), delayed: layout({ sensor_id: resourceId }, readings) },
      ],
      placeholder: { answer: {}, entries: [{ value: 0n, timestamp: 0n }] },
    }),
    SENSOR_AXIS_DESCRIPTION_GET: message({
      id: 0x7,
      doc: 'Describes the axes of a sensor.',
      effect: 'query',
      since: v2,
      resource: 'sensor_id',
      index: { field: 'axis_desc_index', beyond: OUT_OF_RANGE },
      command: layout({ sensor_id: resourceId, axis_desc_index: uint32 }),
      response: layout({ num_axis_flags: axisFlags }, list('axes', axis, [0, 0x3f], { sizeAt: axisSize })),
      placeholder: 'not-supported',
    }),
    SENSOR_LIST_UPDATE_INTERVALS: message({
      id: 0x8,
      doc: 'Lists how often a sensor can update, or as a triplet: shortest, longest, step.',
      effect: 'query',
      since: v2,
      resource: 'sensor_id',
      index: { field: 'index', beyond: OUT_OF_RANGE },
      command: layout({ sensor_id: resourceId, index: uint32 }),
      response: layout(
        { num_intervals_flags: bits({ returned: [0, 12], triplet: [12, 1], remaining: [16, 16] }) },
        list(
          'intervals',
          layout({ interval: bits({ exponent: [0, 5, 'signed'], seconds: [5, 16] }) }),
          [0, 0xfff],
        ),
      ),
      placeholder: { answer: {}, entries: [] },
    }),
    SENSOR_CONFIG_GET: message({
      id: 0x9,
      doc: 'Returns whether a sensor and its time stamps are enabled, and its update interval.',
      effect: 'query',
      since: v2,
      resource: 'sensor_id',
      command: layout({ sensor_id: resourceId }),
      response: layout({
        sensor_config: bits({
          enabled: [0, 1],
          timestamp: [1, 1],
          rounding: [9, 2],
          exponent: [11, 5, 'signed'],
          seconds: [16, 16],
        }),
      }),
      placeholder: { answer: {} },
    }),
    SENSOR_CONFIG_SET: message({
      id: 0xa,
      doc: 'Enables a sensor and its time stamps, and sets its update interval.',
      effect: 'control',
      since: v2,
      resource: 'sensor_id',
      exclusive: true,
      command: layout({
        sensor_id: resourceId,
        sensor_config: bits({
          enabled: [0, 1],
          timestamp: [1, 1],
          rounding: [9, 2],
          exponent: [11, 5, 'signed'],
          seconds: [16, 16],
        }),
      }),
      response: layout({}),
      placeholder: 'denied',
    }),
    SENSOR_CONTINUOUS_UPDATE_NOTIFY: message({
      id: 0xb,
      doc: 'Subscribes to every update of a sensor.',
      effect: 'control',
      since: v2,
      optional: true,
      resource: 'sensor_id',
      subscribes: 0x1,
      command: layout({ sensor_id: resourceId, notify_enable: enable }),
      response: layout({}),
      placeholder: 'not-supported',
    }),
    SENSOR_NAME_GET: nameGet(0xc, 'sensor_id', v3, 'a sensor'),
    SENSOR_AXIS_NAME_GET: message({
      id: 0xd,
      doc: 'Returns the extended names of the axes of a sensor.',
      effect: 'query',
      since: v3,
      optional: true,
      resource: 'sensor_id',
      index: { field: 'axis_desc_index', beyond: OUT_OF_RANGE },
      command: layout({ sensor_id: resourceId, axis_desc_index: uint32 }),
      response: layout(
        { num_axis_flags: axisFlags },
        list('names', layout({ axis_id: uint32, name: name64 }), [0, 0x3f]),
      ),
      placeholder: 'not-supported',
    }),
  },
  notifications: {
    SENSOR_TRIP_POINT_EVENT: notification({
      id: 0x0,
      doc: 'A reading crossed a trip point; bit 16 says rising.',
      resource: 'sensor_id',
      payload: layout({
        agent_id: agentId,
        sensor_id: resourceId,
        trip_point_desc: bits({ trip_point: [0, 8], rising: [16, 1] }),
      }),
    }),
    SENSOR_UPDATE: notification({
      id: 0x1,
      doc: 'A new reading.',
      since: v2,
      resource: 'sensor_id',
      payload: layout({ agent_id: agentId, sensor_id: resourceId }, readings),
    }),
  },
})
