// Pin control protocol, 0x19: pins, groups and functions, each numbered apart. Ids as released, not those of its drafts.
import { common, name16, name64, v1 } from './common.ts'
import {
  agentId,
  bits,
  layout,
  list,
  message,
  protocol,
  resourceId,
  resourceIdOf,
  uint16,
  uint32,
} from './schema.ts'
import { OUT_OF_RANGE } from './status.ts'

/** Values of a selector: which namespace an identifier is from. */
export const PIN = 0
export const GROUP = 1
export const FUNCTION = 2
/** function_selected of a pin or group that has none. */
export const NO_FUNCTION = 0xffff_ffff
/** config_flag of SETTINGS_GET: the values of all types, or the function alone; 0 is the value of one type. */
export const ALL_CONFIGS = 1
export const FUNCTION_ONLY = 2

/** Bit of PINCTRL_ATTRIBUTES: the function takes pins, not groups. */
const PIN_ONLY = 0x1_0000

/** A selector in bits 1:0 of `flags`, of a pin, a group or a function. */
const anything = bits({ selector: [0, 2] }, { valid: word => word <= FUNCTION })
/** The same, of a pin or a group: what can be requested and set. */
const settable = bits({ selector: [0, 2] }, { valid: word => word <= GROUP })
/** The same, of a group or a function: what others belong to. */
const composed = bits({ selector: [0, 2] }, { valid: word => word === GROUP || word === FUNCTION })
const inFlags = { field: 'flags', mask: 0x3 } as const
const configs = layout({ type: uint32, value: uint32 })

export const pinControl = protocol({
  id: 0x19,
  name: 'Pin control',
  key: 'pin-control',
  namespaces: [
    { name: 'pin', count: { field: 'attributes_low', mask: 0xffff } },
    { name: 'pin group', count: { field: 'attributes_low', mask: 0xffff_0000 } },
    { name: 'pin function', count: { field: 'attributes_high', mask: 0xffff } },
  ],
  versions: [{ release: '3.2', version: 0x1_0000 }],
  messages: {
    ...common({
      attributes: layout({
        attributes_low: bits({ num_pins: [0, 16], num_groups: [16, 16] }),
        attributes_high: bits({ num_functions: [0, 16] }),
      }),
      negotiateSince: v1,
    }),
    PINCTRL_ATTRIBUTES: message({
      id: 0x3,
      doc: 'Returns the name of a pin, group or function, and how many pins or groups belong to it.',
      effect: 'query',
      resource: 'identifier',
      selector: inFlags,
      command: layout({ identifier: resourceId, flags: anything }),
      response: layout({
        attributes: bits({ count: [0, 16], pin_only: [16, 1], gpio: [17, 1], ext_name: [31, 1] }),
        name: name16,
      }),
      members: {
        field: 'attributes',
        mask: 0xffff,
        namespaceOf: (namespace, word) =>
          namespace === PIN ? undefined : namespace === GROUP || (word & PIN_ONLY) !== 0 ? PIN : GROUP,
      },
      placeholder: { answer: { name: 'unused-#' } },
    }),
    PINCTRL_LIST_ASSOCIATIONS: message({
      id: 0x4,
      doc: 'Lists the pins of a group, or the groups of a function (its pins, where it takes pins alone).',
      effect: 'query',
      resource: 'identifier',
      selector: inFlags,
      index: { field: 'index', beyond: OUT_OF_RANGE },
      command: layout({ identifier: resourceId, flags: composed, index: uint32 }),
      response: layout(
        { flags: bits({ returned: [0, 12], remaining: [16, 16] }) },
        // TF-A fills the last word, SCP-firmware does not.
        list(
          'associations',
          layout({ identifier: resourceIdOf({ namespace: 'members' }, uint16) }),
          [0, 0xfff],
          { unpadded: true },
        ),
      ),
      placeholder: { answer: {}, entries: [] },
    }),
    PINCTRL_SETTINGS_GET: message({
      id: 0x5,
      doc: 'Returns which function a pin or group has, and one or all of its configurations, ascending by type.',
      effect: 'query',
      resource: 'identifier',
      selector: { field: 'attributes', mask: 0x3_0000 },
      command: layout({
        identifier: resourceId,
        attributes: bits(
          { config_type: [0, 8], skip_configs: [8, 8], selector: [16, 2], config_flag: [18, 2] },
          { valid: word => ((word >>> 16) & 3) <= GROUP && ((word >>> 18) & 3) <= FUNCTION_ONLY },
        ),
      }),
      response: layout(
        {
          function_selected: resourceIdOf({ namespace: FUNCTION, none: NO_FUNCTION }),
          num_configs: bits({ returned: [0, 8], remaining: [24, 8] }),
        },
        list('configs', configs, [1, 0xff]),
      ),
      placeholder: { answer: { function_selected: NO_FUNCTION }, entries: [] },
    }),
    PINCTRL_SETTINGS_CONFIGURE: message({
      id: 0x6,
      doc: 'Gives a pin or group a function, or configurations, or both.',
      effect: 'control',
      resource: 'identifier',
      selector: { field: 'attributes', mask: 0x3 },
      other: 'function_id',
      otherIf: { field: 'attributes', mask: 0x400 },
      exclusive: true,
      command: layout(
        {
          identifier: resourceId,
          function_id: resourceIdOf({ namespace: FUNCTION }),
          attributes: bits(
            { selector: [0, 2], num_configs: [2, 8], function_id_valid: [10, 1] },
            { valid: word => (word & 3) <= GROUP },
          ),
        },
        list('configs', configs, [2, 0x3fc]),
      ),
      response: layout({}),
      placeholder: 'denied',
    }),
    PINCTRL_REQUEST: message({
      id: 0x7,
      doc: 'Takes a pin or group, so that nobody else can.',
      effect: 'control',
      resource: 'identifier',
      selector: inFlags,
      command: layout({ identifier: resourceId, flags: settable }),
      response: layout({}),
      placeholder: 'denied',
    }),
    PINCTRL_RELEASE: message({
      id: 0x8,
      doc: 'Gives a pin or group back.',
      effect: 'control',
      resource: 'identifier',
      selector: inFlags,
      returns: true,
      command: layout({ identifier: resourceId, flags: settable }),
      response: layout({}),
      placeholder: 'denied',
    }),
    PINCTRL_NAME_GET: message({
      id: 0x9,
      doc: 'Returns the extended name of a pin, group or function.',
      effect: 'query',
      optional: true,
      resource: 'identifier',
      selector: inFlags,
      command: layout({ identifier: resourceId, flags: anything }),
      response: layout({ flags: uint32, name: name64 }),
      placeholder: 'not-supported',
    }),
    PINCTRL_SET_PERMISSIONS: message({
      id: 0xa,
      doc: "Sets another agent's permission for a pin, group or function: no public platform implements it.",
      effect: 'control',
      optional: true,
      privileged: true,
      command: layout({ agent_id: agentId, identifier: uint32, flags: uint32 }),
      response: layout({}),
    }),
  },
  notifications: {},
})
