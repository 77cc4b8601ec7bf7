// Voltage domain management protocol, 0x17.
import { common, name16, nameGet, v2, v2_1 } from './common.ts'
import {
  bits,
  checked,
  int32,
  layout,
  list,
  message,
  protocol,
  reserved,
  resourceId,
  uint32,
} from './schema.ts'
import { OUT_OF_RANGE } from './status.ts'

/** config of a domain that is off. */
export const VOLTAGE_OFF = 0x0
/** config of a domain that is on. */
export const VOLTAGE_ON = 0x7

/** Bit 3 clear: architectural, OFF or ON. Set: the implementation's own mode. */
const config = checked(word => word === VOLTAGE_OFF || word === VOLTAGE_ON || (word >= 0x8 && word <= 0xf))

export const voltage = protocol({
  id: 0x17,
  name: 'Voltage domain management',
  key: 'voltage',
  resource: 'voltage domain',
  versions: [
    { release: '3.0', version: 0x1_0000 },
    { release: '3.1', version: 0x2_0000 },
    { release: '3.2', version: 0x2_0001 },
  ],
  messages: {
    ...common({ attributes: layout({ attributes: bits({ num_domains: [0, 16] }) }), negotiateSince: v2_1 }),
    VOLTAGE_DOMAIN_ATTRIBUTES: message({
      id: 0x3,
      doc: 'Returns what can be done with a voltage domain, and its name.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({ attributes: bits({}), name: name16 }),
      changes: [
        {
          since: v2,
          response: layout({
            attributes: bits({ ext_name: [30, 1], async: [31, 1] }, { p2a: ['async'] }),
            name: name16,
          }),
        },
      ],
      placeholder: { answer: { name: 'unused-v#' } },
    }),
    VOLTAGE_DESCRIBE_LEVELS: message({
      id: 0x4,
      doc: 'Lists the levels of a domain in µV, ascending, or as a triplet: lowest, highest, step.',
      effect: 'query',
      resource: 'domain_id',
      index: { field: 'level_index', beyond: OUT_OF_RANGE },
      command: layout({ domain_id: resourceId, level_index: uint32 }),
      response: layout(
        { num_levels_flags: bits({ returned: [0, 12], triplet: [12, 1], remaining: [16, 16] }) },
        list('levels', layout({ level: int32 }), [0, 0xfff]),
      ),
      placeholder: { answer: { num_levels_flags: { returned: 1 } }, entries: [{ level: 0 }] }, // no level at all makes Linux complain
    }),
    VOLTAGE_CONFIG_SET: message({
      id: 0x5,
      doc: 'Switches a domain on or off.',
      effect: 'control',
      resource: 'domain_id',
      votes: { field: 'config', mask: 0xffff_ffff, off: VOLTAGE_OFF, harmless: false },
      command: layout({ domain_id: resourceId, config }),
      response: layout({}),
      placeholder: 'denied',
    }),
    VOLTAGE_CONFIG_GET: message({
      id: 0x6,
      doc: 'Returns whether a domain is on.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({ config: uint32 }),
      view: { field: 'config', mask: 0xffff_ffff, on: VOLTAGE_ON, off: VOLTAGE_OFF },
      placeholder: { answer: { config: VOLTAGE_OFF } },
    }),
    VOLTAGE_LEVEL_SET: message({
      id: 0x7,
      doc: 'Sets the level of a domain in µV.',
      effect: 'control',
      resource: 'domain_id',
      exclusive: true,
      async: { field: 'flags', mask: 0x1 },
      command: layout({ domain_id: resourceId, flags: reserved, level: int32 }),
      response: layout({}),
      changes: [
        {
          since: v2,
          command: layout({ domain_id: resourceId, flags: bits({ async: [0, 1] }), level: int32 }),
          delayed: layout({ domain_id: resourceId, level: int32 }),
        },
      ],
      placeholder: 'denied',
    }),
    VOLTAGE_LEVEL_GET: message({
      id: 0x8,
      doc: 'Returns the level of a domain in µV.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({ level: int32 }),
      placeholder: { answer: {} },
    }),
    VOLTAGE_DOMAIN_NAME_GET: nameGet(0x9, 'domain_id', v2, 'a voltage domain'),
  },
  notifications: {},
})
