// Performance domain management protocol, 0x13.
import { common, fastChannelDescriptor, name16, nameGet, notify, v2, v3, v4 } from './common.ts'
import {
  agentId,
  bits,
  hidden,
  layout,
  list,
  message,
  notification,
  protocol,
  resourceId,
  uint32,
} from './schema.ts'
import { INVALID_PARAMETERS } from './status.ts'

const limits = { range_max: uint32, range_min: uint32 } as const
const level = {
  performance_level: uint32,
  power_cost: uint32,
  attributes: bits({ transition_latency: [0, 16] }),
} as const
const numLevels = bits({ returned: [0, 12], remaining: [16, 16] })
const returned = [0, 0xfff] as const

export const performance = protocol({
  id: 0x13,
  name: 'Performance domain management',
  key: 'performance',
  resource: 'performance domain',
  versions: [
    { release: '1.0', version: 0x1_0000 },
    { release: '2.0', version: 0x2_0000 },
    { release: '3.1', version: 0x3_0000 },
    { release: '3.2', version: 0x4_0000 },
  ],
  messages: {
    ...common({
      attributes: layout({
        attributes: bits({ num_domains: [0, 16], power_unit: [16, 2] }),
        statistics_address_low: hidden(uint32),
        statistics_address_high: hidden(uint32),
        statistics_len: hidden(uint32),
      }),
      messageAttributes: { fast_channel: [0, 1] },
      hide: ['fast_channel'],
      negotiateSince: v4,
    }),
    PERFORMANCE_DOMAIN_ATTRIBUTES: message({
      id: 0x3,
      doc: 'Returns what can be done with a performance domain: rate limit in µs, sustained frequency in kHz, name.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({
        attributes: bits(
          {
            level_indexing: [25, 1],
            ext_name: [26, 1],
            fast_channels: [27, 1],
            level_notify: [28, 1],
            limits_notify: [29, 1],
            set_level: [30, 1],
            set_limits: [31, 1],
          },
          { hide: ['fast_channels'], p2a: ['level_notify', 'limits_notify'] },
        ),
        rate_limit: bits({ microseconds: [0, 20] }),
        sustained_freq: uint32,
        sustained_perf_level: uint32,
        name: name16,
      }),
      placeholder: { answer: { name: 'unused-f#' } },
    }),
    PERFORMANCE_DESCRIBE_LEVELS: message({
      id: 0x4,
      doc: 'Lists the levels of a domain, ascending: level, power, latency in µs, and from version 4 frequency in kHz and index.',
      effect: 'query',
      resource: 'domain_id',
      index: { field: 'level_index', beyond: INVALID_PARAMETERS },
      command: layout({ domain_id: resourceId, level_index: uint32 }),
      response: layout({ num_levels: numLevels }, list('levels', layout(level), returned)),
      changes: [
        {
          since: v4,
          response: layout(
            { num_levels: numLevels },
            list('levels', layout({ ...level, indicative_frequency: uint32, level_index: uint32 }), returned),
          ),
        },
      ],
      placeholder: { answer: {}, entries: [] },
    }),
    PERFORMANCE_LIMITS_SET: message({
      id: 0x5,
      doc: 'Sets the highest and the lowest level the domain may run at.',
      effect: 'control',
      resource: 'domain_id',
      exclusive: true,
      command: layout({ domain_id: resourceId, ...limits }),
      response: layout({}),
      placeholder: 'denied',
    }),
    PERFORMANCE_LIMITS_GET: message({
      id: 0x6,
      doc: 'Returns the limits in force.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout(limits),
      placeholder: { answer: {} },
    }),
    PERFORMANCE_LEVEL_SET: message({
      id: 0x7,
      doc: 'Sets the performance level of a domain.',
      effect: 'control',
      resource: 'domain_id',
      exclusive: true,
      command: layout({ domain_id: resourceId, performance_level: uint32 }),
      response: layout({}),
      placeholder: 'denied',
    }),
    PERFORMANCE_LEVEL_GET: message({
      id: 0x8,
      doc: 'Returns the performance level of a domain.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({ performance_level: uint32 }),
      placeholder: { answer: {} },
    }),
    PERFORMANCE_NOTIFY_LIMITS: notify({
      id: 0x9,
      resource: 'domain_id',
      subscribes: 0x0,
      doc: 'Subscribes to changes of the limits.',
    }),
    PERFORMANCE_NOTIFY_LEVEL: notify({
      id: 0xa,
      resource: 'domain_id',
      subscribes: 0x1,
      doc: 'Subscribes to changes of the level.',
    }),
    PERFORMANCE_DESCRIBE_FASTCHANNEL: message({
      id: 0xb,
      doc: 'Returns the physical address of a fast channel: never for guests, it would lead past the mediator.',
      effect: 'query',
      since: v2,
      optional: true,
      resource: 'domain_id',
      privileged: true,
      command: layout({ domain_id: resourceId, message_id: uint32 }),
      response: fastChannelDescriptor,
      placeholder: 'not-supported',
    }),
    PERFORMANCE_DOMAIN_NAME_GET: nameGet(0xc, 'domain_id', v3, 'a performance domain'),
  },
  notifications: {
    PERFORMANCE_LIMITS_CHANGED: notification({
      id: 0x0,
      doc: 'The limits of a domain changed.',
      resource: 'domain_id',
      payload: layout({ agent_id: agentId, domain_id: resourceId, ...limits }),
    }),
    PERFORMANCE_LEVEL_CHANGED: notification({
      id: 0x1,
      doc: 'The level of a domain changed.',
      resource: 'domain_id',
      payload: layout({ agent_id: agentId, domain_id: resourceId, performance_level: uint32 }),
    }),
  },
})
