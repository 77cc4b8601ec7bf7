// Clock management protocol, 0x14.
import { common, name16, nameGet, notify, v2, v3 } from './common.ts'
import {
  agentId,
  bits,
  layout,
  list,
  message,
  notification,
  protocol,
  resourceId,
  uint32,
  uint64,
} from './schema.ts'
import { OUT_OF_RANGE } from './status.ts'

/** Version 3: 0 disable, 1 enable, 2 reserved, 3 unchanged, which only goes with an extended configuration. */
const config = bits(
  { enable: [0, 2], extended_config_type: [16, 8] },
  { valid: word => (word & 3) !== 2 && ((word & 3) !== 3 || (word & 0xff_0000) !== 0) },
)
const rateChanged = layout({ agent_id: agentId, clock_id: resourceId, rate: uint64 })
const enabled = { enabled: [0, 1] } as const
const notifies = {
  ext_name: [29, 1],
  rate_change_requested_notify: [30, 1],
  rate_change_notify: [31, 1],
} as const

export const clock = protocol({
  id: 0x14,
  name: 'Clock management',
  key: 'clock',
  resource: 'clock',
  versions: [
    { release: '1.0', version: 0x1_0000 },
    { release: '3.1', version: 0x2_0000 },
    { release: '3.2', version: 0x3_0000 },
  ],
  messages: {
    ...common({
      attributes: layout({
        attributes: bits({ num_clocks: [0, 16], max_async: [16, 8] }, { p2a: ['max_async'] }),
      }),
      negotiateSince: v3,
    }),
    CLOCK_ATTRIBUTES: message({
      id: 0x3,
      doc: 'Returns whether a clock is enabled, what can be done with it, and its name; enable delay in µs.',
      effect: 'query',
      resource: 'clock_id',
      command: layout({ clock_id: resourceId }),
      response: layout({ attributes: bits(enabled), name: name16 }),
      changes: [
        {
          since: v2,
          response: layout({
            attributes: bits(
              { ...enabled, ...notifies },
              { p2a: ['rate_change_requested_notify', 'rate_change_notify'] },
            ),
            name: name16,
            clock_enable_delay: uint32,
          }),
        },
        {
          since: v3,
          response: layout({
            attributes: bits(
              { ...enabled, restricted: [1, 1], extended_config: [27, 1], has_parent: [28, 1], ...notifies },
              { p2a: ['rate_change_requested_notify', 'rate_change_notify'] },
            ),
            name: name16,
            clock_enable_delay: uint32,
          }),
        },
      ],
      view: { field: 'attributes', mask: 0x1, on: 1, off: 0 },
      placeholder: { answer: {} }, // the empty name makes Linux skip the clock silently
    }),
    CLOCK_DESCRIBE_RATES: message({
      id: 0x4,
      doc: 'Lists the rates of a clock in Hz, ascending, or as a triplet: lowest, highest, step.',
      effect: 'query',
      resource: 'clock_id',
      index: { field: 'rate_index', beyond: OUT_OF_RANGE },
      command: layout({ clock_id: resourceId, rate_index: uint32 }),
      response: layout(
        { num_rates_flags: bits({ returned: [0, 12], triplet: [12, 1], remaining: [16, 16] }) },
        list('rates', layout({ rate: uint64 }), [0, 0xfff]),
      ),
      placeholder: { answer: { num_rates_flags: { returned: 1 } }, entries: [{ rate: 0n }] },
    }),
    CLOCK_RATE_SET: message({
      id: 0x5,
      doc: 'Sets the rate of a clock in Hz.',
      effect: 'control',
      resource: 'clock_id',
      exclusive: true,
      async: { field: 'flags', mask: 0x1, waived: 0x2 },
      command: layout({
        flags: bits({ async: [0, 1], ignore_delayed_response: [1, 1], round_up: [2, 1], round_auto: [3, 1] }),
        clock_id: resourceId,
        rate: uint64,
      }),
      response: layout({}),
      delayed: layout({ clock_id: resourceId, rate: uint64 }),
      placeholder: 'denied',
    }),
    CLOCK_RATE_GET: message({
      id: 0x6,
      doc: 'Returns the rate of a clock in Hz.',
      effect: 'query',
      resource: 'clock_id',
      command: layout({ clock_id: resourceId }),
      response: layout({ rate: uint64 }),
      placeholder: { answer: {} },
    }),
    CLOCK_CONFIG_SET: message({
      id: 0x7,
      doc: 'Enables or disables a clock, and from version 3 sets its duty cycle, phase or a vendor value.',
      effect: 'control',
      resource: 'clock_id',
      votes: { field: 'attributes', mask: 0x3, off: 0, neutral: 3, harmless: true },
      exclusive: { field: 'attributes', mask: 0xff_0000 },
      command: layout({ clock_id: resourceId, attributes: bits({ enable: [0, 1] }) }),
      response: layout({}),
      changes: [
        {
          since: v3,
          command: layout({ clock_id: resourceId, attributes: config, extended_config_val: uint32 }),
        },
      ],
      placeholder: 'denied',
    }),
    CLOCK_NAME_GET: nameGet(0x8, 'clock_id', v2, 'a clock'),
    CLOCK_RATE_NOTIFY: notify({
      id: 0x9,
      since: v2,
      resource: 'clock_id',
      subscribes: 0x0,
      doc: 'Subscribes to changes of a rate.',
    }),
    CLOCK_RATE_CHANGE_REQUESTED_NOTIFY: notify({
      id: 0xa,
      since: v2,
      resource: 'clock_id',
      subscribes: 0x1,
      doc: 'Subscribes to requests for another rate that were not granted.',
    }),
    CLOCK_CONFIG_GET: message({
      id: 0xb,
      doc: 'Returns whether a clock is enabled, and one extended configuration value.',
      effect: 'query',
      since: v3,
      resource: 'clock_id',
      command: layout({ clock_id: resourceId, flags: bits({ extended_config_type: [0, 8] }) }),
      response: layout({ attributes: uint32, config: bits(enabled), extended_config_val: uint32 }),
      view: { field: 'config', mask: 0x1, on: 1, off: 0 },
      placeholder: { answer: {} },
    }),
    CLOCK_POSSIBLE_PARENTS_GET: message({
      id: 0xc,
      doc: 'Lists the clocks that a clock can be fed from.',
      effect: 'query',
      since: v3,
      optional: true,
      resource: 'clock_id',
      index: { field: 'skip_parents', beyond: OUT_OF_RANGE },
      command: layout({ clock_id: resourceId, skip_parents: uint32 }),
      response: layout(
        { num_parents_flags: bits({ returned: [0, 8], remaining: [24, 8] }) },
        list('parents', layout({ clock_id: resourceId }), [0, 0xff]),
      ),
      placeholder: { answer: {}, entries: [] },
    }),
    CLOCK_PARENT_SET: message({
      id: 0xd,
      doc: 'Feeds a clock from another.',
      effect: 'control',
      since: v3,
      optional: true,
      resource: 'clock_id',
      other: 'parent_id',
      exclusive: true,
      command: layout({ clock_id: resourceId, parent_id: resourceId }),
      response: layout({}),
      placeholder: 'denied',
    }),
    CLOCK_PARENT_GET: message({
      id: 0xe,
      doc: 'Returns the clock that feeds a clock.',
      effect: 'query',
      since: v3,
      optional: true,
      resource: 'clock_id',
      command: layout({ clock_id: resourceId }),
      response: layout({ parent_id: resourceId }),
      placeholder: 'not-supported',
    }),
    CLOCK_GET_PERMISSIONS: message({
      id: 0xf,
      doc: 'Returns what the caller may do with a clock.',
      effect: 'query',
      since: v3,
      optional: true,
      resource: 'clock_id',
      command: layout({ clock_id: resourceId }),
      response: layout({ permissions: bits({ rate: [29, 1], parent: [30, 1], state: [31, 1] }) }),
      placeholder: { answer: {} },
    }),
  },
  notifications: {
    CLOCK_RATE_CHANGED: notification({
      id: 0x0,
      doc: 'A rate changed.',
      since: v2,
      resource: 'clock_id',
      payload: rateChanged,
    }),
    CLOCK_RATE_CHANGE_REQUESTED: notification({
      id: 0x1,
      doc: 'Another rate was asked for and not granted.',
      since: v2,
      resource: 'clock_id',
      payload: rateChanged,
    }),
  },
})
