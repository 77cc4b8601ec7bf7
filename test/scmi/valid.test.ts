// Words that the standard restricts beyond declared bits: which values guests may send, message by message.
import { expect, test } from 'vitest'
import { protocolOf } from '../../src/scmi/protocols.ts'
import { formAt } from '../../src/scmi/schema.ts'

const valid = (protocol: number, message: string, field: string, version: number, word: number): boolean => {
  const m = protocolOf(protocol)?.messages[message]
  if (m === undefined) throw new Error(`no ${message}`)
  const f = formAt(m, version).command.fields[field]
  if (f === undefined) throw new Error(`no ${field}`)
  return f.valid?.(word) ?? true
}

const v1 = 0x1_0000
const v2 = 0x2_0000
const v3 = 0x3_0000

test.each([
  [0x10, 'BASE_NOTIFY_ERRORS', 'notify_enable', v2, 0xf, false, 'suite b010'],
  [0x10, 'BASE_SET_DEVICE_PERMISSIONS', 'flags', v2, 0xf, false, 'suite b011'],
  [0x10, 'BASE_SET_DEVICE_PERMISSIONS', 'flags', v2, 0x1, true, 'allow'],
  [0x10, 'BASE_SET_PROTOCOL_PERMISSIONS', 'flags', v2, 0xf, false, 'suite b013'],
  [0x10, 'BASE_SET_PROTOCOL_PERMISSIONS', 'command_id', v2, 0xff, true, 'a vendor protocol'],
  [0x10, 'BASE_SET_PROTOCOL_PERMISSIONS', 'command_id', v2, 0x100, false, 'bits 31:8 are reserved'],
  [0x10, 'BASE_RESET_AGENT_CONFIGURATION', 'flags', v2, 0xf, false, 'suite b015'],
  [0x11, 'POWER_STATE_SET', 'flags', v2, 0x1, true, 'asynchronous'],
  [0x11, 'POWER_STATE_SET', 'flags', v2, 0xe, false, 'suite p007'],
  [0x11, 'POWER_STATE_SET', 'power_state', v2, 0xff00_0000, false, 'suite p007'],
  [0x11, 'POWER_STATE_SET', 'power_state', v2, 0x0, true, 'ON'],
  [0x11, 'POWER_STATE_SET', 'power_state', v2, 0x4000_0000, true, 'OFF'],
  [0x11, 'POWER_STATE_SET', 'power_state', v2, 0x4fff_ffff, true, 'the last state of the implementation'],
  [0x11, 'POWER_STATE_SET', 'power_state', v2, 0x8000_0000, false, 'bit 31 is reserved'],
  [0x11, 'POWER_STATE_SET', 'power_state', v2, 0x2000_0000, false, 'bit 29 is reserved'],
  [0x11, 'POWER_STATE_SET', 'power_state', v2, 0x1000_0000, false, 'bit 28 is reserved'],
  [0x11, 'POWER_STATE_NOTIFY', 'notify_enable', v2, 0xf, false, 'suite p012'],
  [0x11, 'POWER_STATE_CHANGE_REQUESTED_NOTIFY', 'notify_enable', v2, 0xf, false, 'suite p015'],
  [0x12, 'SYSTEM_POWER_STATE_SET', 'flags', v1, 0xf, false, 'suite s005'],
  [0x12, 'SYSTEM_POWER_STATE_SET', 'system_state', v1, 0x4, true, 'suspend'],
  [0x12, 'SYSTEM_POWER_STATE_SET', 'system_state', v1, 0x5, false, 'the first reserved state'],
  [0x12, 'SYSTEM_POWER_STATE_SET', 'system_state', v1, 0x7fff_ffff, false, 'the last reserved state'],
  [0x12, 'SYSTEM_POWER_STATE_SET', 'system_state', v1, 0x8000_0000, true, 'the vendor’s states'],
  [0x12, 'SYSTEM_POWER_STATE_NOTIFY', 'notify_enable', v1, 0xf, false, 'suite s007'],
  [0x13, 'PERFORMANCE_NOTIFY_LIMITS', 'notify_enable', v2, 0xff, false, 'suite d017'],
  [0x13, 'PERFORMANCE_NOTIFY_LEVEL', 'notify_enable', v2, 0xff, false, 'suite d019'],
  [0x14, 'CLOCK_RATE_SET', 'flags', v1, 0xff, false, 'suite c011'],
  [0x14, 'CLOCK_RATE_SET', 'flags', v1, 0xf, true, 'every flag there is'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v1, 0x1, true, 'enable'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v1, 0xf, false, 'suite c015'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v2, 0x2, false, 'one bit before version 3'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v3, 0x0, true, 'disable'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v3, 0x1, true, 'enable'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v3, 0x2, false, 'reserved'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v3, 0x3, false, 'unchanged, and nothing else asked for'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v3, 0x1_0003, true, 'unchanged, duty cycle'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v3, 0x1_0002, false, 'reserved with duty cycle'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v3, 0x80_0001, true, 'the vendor’s configuration'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v3, 0x4, false, 'bits 15:2 are zero'],
  [0x14, 'CLOCK_CONFIG_SET', 'attributes', v3, 0x100_0000, false, 'bits 31:24 are zero'],
  [0x14, 'CLOCK_CONFIG_GET', 'flags', v3, 0xff, true, 'any type'],
  [0x14, 'CLOCK_CONFIG_GET', 'flags', v3, 0x100, false, 'bits 31:8 are zero'],
  [0x15, 'SENSOR_TRIP_POINT_NOTIFY', 'sensor_event_control', v1, 0xf, false, 'suite m006'],
  [0x15, 'SENSOR_TRIP_POINT_CONFIG', 'trip_point_ev_ctrl', v1, 0xf, false, 'suite m008'],
  [0x15, 'SENSOR_TRIP_POINT_CONFIG', 'trip_point_ev_ctrl', v1, 0xff3, true, 'trip point 255, both ways'],
  [0x15, 'SENSOR_TRIP_POINT_CONFIG', 'trip_point_ev_ctrl', v1, 0x1000, false, 'bits 31:12 are zero'],
  [0x15, 'SENSOR_READING_GET', 'flags', v1, 0xf, false, 'suite m011'],
  [0x15, 'SENSOR_CONFIG_SET', 'sensor_config', v2, 0xffff_fe03, true, 'every declared bit'],
  [0x15, 'SENSOR_CONFIG_SET', 'sensor_config', v2, 0x4, false, 'bits 8:2 are zero'],
  [0x15, 'SENSOR_CONTINUOUS_UPDATE_NOTIFY', 'notify_enable', v2, 0x2, false, 'bit 0 alone'],
  [0x16, 'RESET', 'flags', v1, 0xf8, false, 'suite r008'],
  [0x16, 'RESET', 'flags', v1, 0x7, true, 'every flag there is'],
  [0x16, 'RESET', 'reset_state', v1, 0xff, false, 'suite r009'],
  [0x16, 'RESET', 'reset_state', v1, 0x0, true, 'cold reset'],
  [0x16, 'RESET', 'reset_state', v1, 0x8000_00ff, true, 'the implementation’s states'],
  [0x16, 'RESET_NOTIFY', 'notify_enable', v1, 0xf, false, 'suite r011'],
  [0x17, 'VOLTAGE_CONFIG_SET', 'config', v1, 0x0, true, 'OFF'],
  [0x17, 'VOLTAGE_CONFIG_SET', 'config', v1, 0x7, true, 'ON'],
  [0x17, 'VOLTAGE_CONFIG_SET', 'config', v1, 0x8, true, 'suite v009: the implementation’s mode 0'],
  [0x17, 'VOLTAGE_CONFIG_SET', 'config', v1, 0x1, false, 'architectural modes are OFF and ON'],
  [0x17, 'VOLTAGE_CONFIG_SET', 'config', v1, 0x10, false, 'bits 31:4 are zero'],
  [0x17, 'VOLTAGE_LEVEL_SET', 'flags', v1, 0x1, false, 'suite v014: nothing is asynchronous in version 1'],
  [0x17, 'VOLTAGE_LEVEL_SET', 'flags', v2, 0x1, true, 'asynchronous'],
  [0x17, 'VOLTAGE_LEVEL_SET', 'flags', v2, 0x2, false, 'bits 31:1 are zero'],
  [0x18, 'POWERCAP_CAP_SET', 'flags', v1, 0x3, true, 'asynchronous, and no delayed response'],
  [0x18, 'POWERCAP_CAP_SET', 'flags', v1, 0x4, false, 'bits 31:2 are zero'],
  [0x18, 'POWERCAP_PAI_SET', 'flags', v1, 0x1, false, 'all are reserved'],
  [0x18, 'POWERCAP_CAP_NOTIFY', 'notify_enable', v1, 0x2, false, 'bit 0 alone'],
  [0x18, 'POWERCAP_MEASUREMENTS_NOTIFY', 'notify_enable', v1, 0x2, false, 'bit 0 alone'],
  [0x19, 'PINCTRL_ATTRIBUTES', 'flags', v1, 0x2, true, 'a function'],
  [0x19, 'PINCTRL_ATTRIBUTES', 'flags', v1, 0x3, false, 'a selector that is reserved'],
  [0x19, 'PINCTRL_ATTRIBUTES', 'flags', v1, 0x8000_0000, false, 'bits 31:2 are zero'],
  [0x19, 'PINCTRL_LIST_ASSOCIATIONS', 'flags', v1, 0x0, false, 'nothing belongs to a pin'],
  [0x19, 'PINCTRL_LIST_ASSOCIATIONS', 'flags', v1, 0x1, true, 'a group'],
  [0x19, 'PINCTRL_LIST_ASSOCIATIONS', 'flags', v1, 0x2, true, 'a function'],
  [0x19, 'PINCTRL_SETTINGS_GET', 'attributes', v1, 0x0005_ffff, true, 'all of a group, from 255 on'],
  [0x19, 'PINCTRL_SETTINGS_GET', 'attributes', v1, 0x0002_0000, false, 'a function has no settings'],
  [0x19, 'PINCTRL_SETTINGS_GET', 'attributes', v1, 0x0008_0000, true, 'the function alone'],
  [0x19, 'PINCTRL_SETTINGS_GET', 'attributes', v1, 0x000c_0000, false, 'a config flag that is reserved'],
  [0x19, 'PINCTRL_SETTINGS_GET', 'attributes', v1, 0x0010_0000, false, 'bits 31:20 are zero'],
  [
    0x19,
    'PINCTRL_SETTINGS_CONFIGURE',
    'attributes',
    v1,
    0x7fd,
    true,
    'a group, 255 configurations, a function',
  ],
  [0x19, 'PINCTRL_SETTINGS_CONFIGURE', 'attributes', v1, 0x2, false, 'a function has no settings'],
  [0x19, 'PINCTRL_SETTINGS_CONFIGURE', 'attributes', v1, 0x800, false, 'bits 31:11 are zero'],
  [0x19, 'PINCTRL_REQUEST', 'flags', v1, 0x1, true, 'a group'],
  [0x19, 'PINCTRL_REQUEST', 'flags', v1, 0x2, false, 'a function is nobody’s'],
  [0x19, 'PINCTRL_RELEASE', 'flags', v1, 0x2, false, 'a function is nobody’s'],
  [0x19, 'PINCTRL_NAME_GET', 'flags', v1, 0x2, true, 'a function'],
] as const)(
  'protocol 0x%x %s %s at 0x%x: 0x%x is %s, %s',
  (protocol, message, field, version, word, expected, _why: string) => {
    expect(valid(protocol, message, field, version, word)).toBe(expected)
    expect(valid(protocol, message, field, version, word | 0)).toBe(expected) // read as signed, the same
  },
)
