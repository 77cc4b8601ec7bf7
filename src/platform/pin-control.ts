// Pin control protocol, 0x19, of the virtual SCP: messages to and from PinState.
import {
  ALL_CONFIGS,
  FUNCTION,
  FUNCTION_ONLY,
  GROUP,
  NO_FUNCTION,
  PIN,
  pinControl as protocol,
} from '../scmi/pin-control.ts'
import {
  DENIED,
  IN_USE,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  OUT_OF_RANGE,
  SUCCESS,
} from '../scmi/status.ts'
import { BODY, type Call } from './call.ts'
import type { PinControlConfig } from './config-protocols.ts'
import type { Implementation, Shared } from './implementation.ts'
import { Names } from './names.ts'
import { FUNCTIONS, PIN_CONTROL } from './numbering.ts'
import type { PinState } from './pin-state.ts'
import { arg, argBits, out, outBits, shiftOf } from './words.ts'

const m = protocol.messages
const NUM_GROUPS = shiftOf(outBits(m.PROTOCOL_ATTRIBUTES, 'attributes_low', 'num_groups'))
const PIN_ONLY = outBits(m.PINCTRL_ATTRIBUTES, 'attributes', 'pin_only')
const GPIO = outBits(m.PINCTRL_ATTRIBUTES, 'attributes', 'gpio')
const EXT_NAME = outBits(m.PINCTRL_ATTRIBUTES, 'attributes', 'ext_name')
const NAME = out(m.PINCTRL_ATTRIBUTES, 'name')
const INDEX = arg(m.PINCTRL_LIST_ASSOCIATIONS, 'index')
const LEFT = shiftOf(outBits(m.PINCTRL_LIST_ASSOCIATIONS, 'flags', 'remaining'))
const mostAssociations = outBits(m.PINCTRL_LIST_ASSOCIATIONS, 'flags', 'returned')
const WHICH = arg(m.PINCTRL_SETTINGS_GET, 'attributes')
const CONFIG_TYPE = argBits(m.PINCTRL_SETTINGS_GET, 'attributes', 'config_type')
const SKIP = shiftOf(argBits(m.PINCTRL_SETTINGS_GET, 'attributes', 'skip_configs'))
const CONFIG_FLAG = shiftOf(argBits(m.PINCTRL_SETTINGS_GET, 'attributes', 'config_flag'))
const CONFIGS_LEFT = shiftOf(outBits(m.PINCTRL_SETTINGS_GET, 'num_configs', 'remaining'))
const SETTINGS = BODY + 2
const FUNCTION_ID = arg(m.PINCTRL_SETTINGS_CONFIGURE, 'function_id')
const SET = arg(m.PINCTRL_SETTINGS_CONFIGURE, 'attributes')
const NUM_CONFIGS = argBits(m.PINCTRL_SETTINGS_CONFIGURE, 'attributes', 'num_configs')
const FUNCTION_VALID = argBits(m.PINCTRL_SETTINGS_CONFIGURE, 'attributes', 'function_id_valid')
const CONFIGS = m.PINCTRL_SETTINGS_CONFIGURE.command.size / 4
const configBytes = 8
/** Types 21 to 191 are reserved; from 192 on they are the vendor's. Takes the word signed. */
const reservedType = (type: number): boolean => (type > 20 && type < 192) || type > 255 || type < 0

export function pinControlProtocol(
  { pins, groups, functions }: PinControlConfig,
  state: PinState,
  { permissions }: Shared,
): Implementation<typeof protocol> {
  /** By selector. */
  const names = [pins, groups, functions].map(list => new Names(list.map(({ name }) => name)))
  /** Groups, or pins, of each function. */
  const members = functions.map(f => Uint16Array.from(f.groups ?? f.pins ?? []))
  const features = Uint32Array.from(
    functions,
    f => (f.pins === undefined ? 0 : PIN_ONLY) | (f.gpio ? GPIO : 0),
  )
  const one = new Uint16Array(1)

  /** The pins that a call is about: one, or those of a group. Until the next call of this. */
  const pinsOf = (call: Call): Uint16Array => {
    if (call.selector === GROUP) return state.groups[call.resource] as Uint16Array
    one[0] = call.resource
    return one
  }

  /** SUCCESS where the agent may use every pin, and nobody else has one. */
  const free = (call: Call, list: Uint16Array): number => {
    for (let i = 0; i < list.length; i++)
      if (!permissions.allows(call.agent, PIN_CONTROL, list[i] as number)) return DENIED
    for (let i = 0; i < list.length; i++) {
      const owner = state.owner(list[i] as number)
      if (owner !== -1 && owner !== call.agent) return IN_USE
    }
    return SUCCESS
  }

  /** Whether all of the pins have the type, with one value. */
  const agree = (list: Uint16Array, type: number): boolean => {
    const first = list[0] as number
    if (!state.has(first, type)) return false
    for (let i = 1; i < list.length; i++) {
      const pin = list[i] as number
      if (!state.has(pin, type) || state.value(pin, type) !== state.value(first, type)) return false
    }
    return true
  }

  /** The function that all of the pins have, signed; NO_FUNCTION, -1, where they differ. */
  const functionOf = (list: Uint16Array): number => {
    const id = state.functionOf(list[0] as number)
    for (let i = 1; i < list.length; i++)
      if (state.functionOf(list[i] as number) !== id) return NO_FUNCTION | 0
    return id
  }

  const putConfig = (call: Call, n: number, pin: number, type: number): void => {
    call.words[SETTINGS + 2 * n] = type
    call.ints[SETTINGS + 2 * n + 1] = state.value(pin, type)
  }

  /** Writes those of the pins' configurations that fit, from `skip` on. */
  const putAll = (call: Call, list: Uint16Array, skip: number): number => {
    const first = list[0] as number
    const types = state.types(first)
    let total = 0
    for (let i = 0; i < types.length; i++) if (agree(list, types[i] as number)) total++
    if (skip > 0 && skip >= total) return OUT_OF_RANGE
    const n = call.fitting(configBytes, total - skip)
    for (let i = 0, at = -skip; i < types.length && at < n; i++) {
      const type = types[i] as number
      if (!agree(list, type)) continue
      if (at >= 0) putConfig(call, at, first, type)
      at++
    }
    call.words[BODY + 1] = n | ((total - skip - n) << CONFIGS_LEFT)
    call.length += configBytes * n
    return SUCCESS
  }

  /** Whether the pins have every type that a CONFIGURE gives them. */
  const configurable = (call: Call, list: Uint16Array, configs: number): number => {
    for (let i = 0; i < configs; i++)
      if (reservedType(call.signedArgs[CONFIGS + 2 * i] as number)) return INVALID_PARAMETERS
    for (let i = 0; i < configs; i++)
      for (let p = 0; p < list.length; p++)
        if (!state.has(list[p] as number, call.signedArgs[CONFIGS + 2 * i] as number)) return NOT_SUPPORTED
    return SUCCESS
  }

  /** Whether the function is there, the agent's to select, and one that the pin or group can have. */
  const selectable = (call: Call, id: number): number => {
    if (id < 0 || id >= functions.length) return NOT_FOUND // signed: ids above 2^31 are below 0
    if (!permissions.allows(call.agent, FUNCTIONS, id)) return DENIED
    const pinOnly = ((features[id] as number) & PIN_ONLY) !== 0
    if (pinOnly !== (call.selector === PIN)) return NOT_SUPPORTED
    return (members[id] as Uint16Array).indexOf(call.resource) < 0 ? NOT_SUPPORTED : SUCCESS
  }

  return {
    protocol,
    resources: pins.length,
    selectable: [groups.length, functions.length],
    absent: [m.PINCTRL_SET_PERMISSIONS.id],
    release: agent => state.release(agent),
    attributes(call) {
      call.words[BODY] = pins.length | (groups.length << NUM_GROUPS)
      call.words[BODY + 1] = functions.length
      return SUCCESS
    },
    handlers: {
      PINCTRL_ATTRIBUTES(call) {
        const { resource, selector } = call
        const named = names[selector] as Names
        const count =
          selector === PIN
            ? 1
            : ((selector === GROUP ? state.groups : members)[resource] as Uint16Array).length
        call.words[BODY] =
          count |
          (selector === FUNCTION ? (features[resource] as number) : 0) |
          (named.extended(resource) !== 0 ? EXT_NAME : 0)
        named.short(resource, call.words, NAME)
        return SUCCESS
      },
      PINCTRL_LIST_ASSOCIATIONS(call) {
        const list = (call.selector === GROUP ? state.groups : members)[call.resource] as Uint16Array
        const index = call.args[INDEX] as number
        if (index >= list.length) return OUT_OF_RANGE
        // Two to a word; the last word is filled with zeros.
        const n = Math.min(2 * call.fitting(4, list.length), list.length - index, mostAssociations)
        for (let i = 0; i < n; i += 2)
          call.words[BODY + 1 + i / 2] =
            (list[index + i] as number) | (i + 1 < n ? (list[index + i + 1] as number) << 16 : 0)
        call.words[BODY] = n | ((list.length - index - n) << LEFT)
        call.length += 4 * ((n + 1) >>> 1)
        return SUCCESS
      },
      PINCTRL_SETTINGS_GET(call) {
        const which = call.args[WHICH] as number
        const flag = (which >>> CONFIG_FLAG) & 3
        const list = pinsOf(call)
        call.ints[BODY] = functionOf(list)
        if (flag === FUNCTION_ONLY) return SUCCESS
        if (flag === ALL_CONFIGS) return putAll(call, list, (which >>> SKIP) & 0xff)
        const type = which & CONFIG_TYPE
        if (reservedType(type)) return INVALID_PARAMETERS
        if (!agree(list, type)) return NOT_SUPPORTED
        putConfig(call, 0, list[0] as number, type)
        call.words[BODY + 1] = 1
        call.length += configBytes
        return SUCCESS
      },
      PINCTRL_SETTINGS_CONFIGURE(call) {
        const set = call.args[SET] as number
        const configs = (set & NUM_CONFIGS) >>> shiftOf(NUM_CONFIGS)
        const list = pinsOf(call)
        const id = call.signedArgs[FUNCTION_ID] as number
        if ((set & FUNCTION_VALID) !== 0) {
          const status = selectable(call, id)
          if (status !== SUCCESS) return status
        }
        const known = configurable(call, list, configs)
        if (known !== SUCCESS) return known
        const status = free(call, list)
        if (status !== SUCCESS) return status
        // All is proven: nothing is set by halves.
        for (let p = 0; p < list.length; p++) {
          const pin = list[p] as number
          if ((set & FUNCTION_VALID) !== 0) state.setFunction(pin, id)
          for (let i = 0; i < configs; i++) {
            const at = CONFIGS + 2 * i
            state.set(pin, call.signedArgs[at] as number, call.signedArgs[at + 1] as number)
          }
        }
        return SUCCESS
      },
      PINCTRL_REQUEST(call) {
        const list = pinsOf(call)
        const status = free(call, list)
        if (status !== SUCCESS) return status
        for (let i = 0; i < list.length; i++) state.take(call.agent, list[i] as number)
        return SUCCESS
      },
      PINCTRL_RELEASE(call) {
        const list = pinsOf(call)
        for (let i = 0; i < list.length; i++) if (state.owner(list[i] as number) !== call.agent) return DENIED
        for (let i = 0; i < list.length; i++) state.give(list[i] as number)
        return SUCCESS
      },
      PINCTRL_NAME_GET: call => call.nameAnswer(names[call.selector] as Names),
      PINCTRL_SET_PERMISSIONS: () => NOT_SUPPORTED, // no public platform has it
    },
  }
}
