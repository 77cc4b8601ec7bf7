// Clock management protocol, 0x14, of the virtual SCP: messages to and from ClockState.
import { clock as protocol } from '../scmi/clock.ts'
import { v2, v3 } from '../scmi/common.ts'
import {
  BUSY,
  DENIED,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  OUT_OF_RANGE,
  SUCCESS,
} from '../scmi/status.ts'
import { BODY, type Call } from './call.ts'
import type { ClockState } from './clock-state.ts'
import type { ClockConfig } from './config-protocols.ts'
import { DELAYED_BODY } from './delayed.ts'
import { Delays } from './delays.ts'
import { type DescribedValues, DOWN, NEAREST, UP } from './described-values.ts'
import { Subscriptions } from './events.ts'
import { flags, type Implementation, type Shared, subscribe } from './implementation.ts'
import { Names } from './names.ts'
import { agentIdOf, agentIndex, CLOCK } from './numbering.ts'
import { arg, argBits, out, outBits, shiftOf, two32 } from './words.ts'

const { messages, notifications } = protocol
const m = messages
const attribute = (name: string): number => outBits(m.CLOCK_ATTRIBUTES, 'attributes', name)
const RESTRICTED = attribute('restricted')
const EXTENDED_CONFIG = attribute('extended_config')
const HAS_PARENT = attribute('has_parent')
const EXT_NAME = attribute('ext_name')
const RATE_NOTIFY = attribute('rate_change_notify')
const REQUESTED_NOTIFY = attribute('rate_change_requested_notify')
const NAME = out(m.CLOCK_ATTRIBUTES, 'name')
const ENABLE_DELAY = out(m.CLOCK_ATTRIBUTES, 'clock_enable_delay')
const RATE_INDEX = arg(m.CLOCK_DESCRIBE_RATES, 'rate_index')
const TRIPLET = outBits(m.CLOCK_DESCRIBE_RATES, 'num_rates_flags', 'triplet')
const RATES_LEFT = shiftOf(outBits(m.CLOCK_DESCRIBE_RATES, 'num_rates_flags', 'remaining'))
const SET_FLAGS = arg(m.CLOCK_RATE_SET, 'flags')
const SET_RATE = arg(m.CLOCK_RATE_SET, 'rate')
const ASYNC = argBits(m.CLOCK_RATE_SET, 'flags', 'async')
const WAIVED = argBits(m.CLOCK_RATE_SET, 'flags', 'ignore_delayed_response')
const ROUND_UP = argBits(m.CLOCK_RATE_SET, 'flags', 'round_up')
const ROUND_AUTO = argBits(m.CLOCK_RATE_SET, 'flags', 'round_auto')
const CONFIG = arg(m.CLOCK_CONFIG_SET, 'attributes')
const CONFIG_VALUE = arg(m.CLOCK_CONFIG_SET, 'extended_config_val')
const CONFIG_TYPE = shiftOf(argBits(m.CLOCK_CONFIG_SET, 'attributes', 'extended_config_type'))
const GET_TYPE = arg(m.CLOCK_CONFIG_GET, 'flags')
const GET_CONFIG = out(m.CLOCK_CONFIG_GET, 'config')
const GET_VALUE = out(m.CLOCK_CONFIG_GET, 'extended_config_val')
const SKIP = arg(m.CLOCK_POSSIBLE_PARENTS_GET, 'skip_parents')
const PARENTS_LEFT = shiftOf(outBits(m.CLOCK_POSSIBLE_PARENTS_GET, 'num_parents_flags', 'remaining'))
const PARENT = arg(m.CLOCK_PARENT_SET, 'parent_id')
const MAY_RATE = outBits(m.CLOCK_GET_PERMISSIONS, 'permissions', 'rate')
const MAY_PARENT = outBits(m.CLOCK_GET_PERMISSIONS, 'permissions', 'parent')
const MAY_STATE = outBits(m.CLOCK_GET_PERMISSIONS, 'permissions', 'state')
const MAY_ALL = MAY_RATE | MAY_PARENT | MAY_STATE
const may = { rate: MAY_RATE, parent: MAY_PARENT, state: MAY_STATE } as const
const MAX_ASYNC = shiftOf(outBits(m.PROTOCOL_ATTRIBUTES, 'attributes', 'max_async'))
const COMPLETE_BYTES = 12
const RATE_CHANGED = notifications.CLOCK_RATE_CHANGED
const CHANGE_REQUESTED = notifications.CLOCK_RATE_CHANGE_REQUESTED

/** Extended configuration types; from 0x80 on they are the vendor's. */
const DUTY_CYCLE = 1
const PHASE = 2
const VENDOR = 0x80
/** CLOCK_CONFIG_SET: leave the clock enabled or disabled as it is. */
const UNCHANGED = 3

/** What each agent may do with each clock, as CLOCK_GET_PERMISSIONS tells it: clock * agents + agent. */
function restrictions(clocks: ClockConfig['clocks'], agents: number): Int32Array {
  const permissions = new Int32Array(clocks.length * agents).fill(MAY_ALL)
  for (const clock of clocks)
    for (const { agents: ids, deny } of clock.restrict)
      for (const id of ids)
        for (const what of deny) {
          const at = clock.id * agents + agentIndex(id)
          permissions[at] = (permissions[at] as number) & ~may[what]
        }
  return permissions
}

/** Whether a value is one that an extended configuration type can have. */
const inRange = (type: number, value: number): boolean =>
  type >= VENDOR || (value >= 0 && value <= (type === DUTY_CYCLE ? 100 : 359))

export function clockProtocol(
  { clocks, maxAsync }: ClockConfig,
  state: ClockState,
  shared: Shared,
): Implementation<typeof protocol> {
  const names = new Names(clocks.map(c => c.name))
  const allowed = restrictions(clocks, shared.agents)
  const rateNotify = flags(clocks, c => c.rateNotify)
  const requestedNotify = flags(clocks, c => c.rateRequestedNotify)
  const delays = new Delays(clocks, maxAsync)
  const feigned = shared.deviations.asyncRatesFeigned
  const enableDelay = Uint32Array.from(clocks, c => c.enableDelayUs)
  const subscriptions = new Subscriptions(2, clocks.length, shared.agents)

  const mayDo = (call: Call, what: number): boolean =>
    ((allowed[call.resource * shared.agents + call.agent] as number) & what) !== 0

  /** Tells of a rate: of the one in the clock's cell, which was set or asked for. */
  const announce = (notification: number, clock: number, cause: number): void => {
    for (let agent = 0; agent < shared.agents; agent++) {
      if (!subscriptions.has(notification, clock, agent)) continue
      const words = shared.events.notify(agent, protocol.id, notification, RATE_CHANGED.payload.size)
      const rate = (state.rates[clock] as DescribedValues).cell[0] as number
      words[1] = agentIdOf(cause)
      words[2] = clock
      words[3] = rate
      words[4] = rate / two32
    }
  }

  return {
    protocol,
    resources: clocks.length,
    subscriptions,
    absent: requestedNotify.includes(1) ? [] : [m.CLOCK_RATE_CHANGE_REQUESTED_NOTIFY.id],
    release: agent => state.release(agent),
    complete(due, words) {
      const { cell } = state.rates[due.resource] as DescribedValues
      const rate = due.value[0] as number
      cell[0] = rate
      if (state.setRate(due.resource)) announce(RATE_CHANGED.id, due.resource, due.agent)
      words[DELAYED_BODY] = due.resource
      words[DELAYED_BODY + 1] = rate
      words[DELAYED_BODY + 2] = rate / two32
      due.length = COMPLETE_BYTES
      return SUCCESS
    },
    attributes(call) {
      const most = feigned !== 0 ? feigned : call.p2a ? delays.limit : 0
      call.words[BODY] = clocks.length | (most << MAX_ASYNC)
      return SUCCESS
    },
    handlers: {
      CLOCK_ATTRIBUTES(call) {
        const id = call.resource
        let bits = state.enabledBy(call.agent, id) ? 1 : 0
        names.short(id, call.words, NAME)
        if (call.version >= v2) {
          if (names.extended(id) !== 0) bits |= EXT_NAME
          if (call.p2a && rateNotify[id] !== 0) bits |= RATE_NOTIFY
          if (call.p2a && requestedNotify[id] !== 0) bits |= REQUESTED_NOTIFY
          call.words[ENABLE_DELAY] = enableDelay[id] as number
        }
        if (call.version >= v3) {
          if (!mayDo(call, MAY_RATE) || !mayDo(call, MAY_PARENT) || !mayDo(call, MAY_STATE))
            bits |= RESTRICTED
          if ((state.extendedTypes[id] as Uint8Array).length > 0) bits |= EXTENDED_CONFIG
          if ((state.parents[id] as Uint16Array).length > 0) bits |= HAS_PARENT
        }
        call.words[BODY] = bits
        return SUCCESS
      },
      CLOCK_DESCRIBE_RATES(call) {
        const { range, values } = state.rates[call.resource] as DescribedValues
        const index = call.args[RATE_INDEX] as number
        if (index >= (range ? 1 : values.length)) return OUT_OF_RANGE
        const n = call.fitting(8, values.length - index)
        const left = values.length - index - n
        for (let i = 0; i < n; i++) {
          const rate = values[index + i] as number
          call.words[BODY + 1 + 2 * i] = rate
          call.words[BODY + 2 + 2 * i] = rate / two32
        }
        call.words[BODY] = n | (range ? TRIPLET : 0) | (left << RATES_LEFT)
        call.length += 8 * n
        return SUCCESS
      },
      CLOCK_RATE_SET(call) {
        if (!mayDo(call, MAY_RATE)) return DENIED
        const asked = call.args[SET_FLAGS] as number
        const async = (asked & ASYNC) !== 0 && feigned === 0
        if (async && (!call.p2a || delays.limit === 0)) return NOT_SUPPORTED
        const rates = state.rates[call.resource] as DescribedValues
        const { cell } = rates
        const { value } = shared.delayed
        value[0] = (call.args[SET_RATE] as number) + (call.args[SET_RATE + 1] as number) * two32
        cell[0] = value[0] as number
        if (!rates.round((asked & ROUND_AUTO) !== 0 ? NEAREST : (asked & ROUND_UP) !== 0 ? UP : DOWN))
          return INVALID_PARAMETERS
        if (!async && state.setRate(call.resource)) {
          announce(RATE_CHANGED.id, call.resource, call.agent)
          return SUCCESS
        }
        const rounded = cell[0] as number
        cell[0] = value[0] as number // what was asked for
        value[0] = rounded
        if (async && shared.delayed.accept(call, CLOCK, delays, (asked & WAIVED) !== 0) !== SUCCESS)
          return BUSY
        // Granted, and yet the clock does not have the rate: not for now, or not quite.
        if (cell[0] !== state.rate(call.resource)) announce(CHANGE_REQUESTED.id, call.resource, call.agent)
        return SUCCESS
      },
      CLOCK_RATE_GET(call) {
        const rate = state.rate(call.resource)
        call.words[BODY] = rate
        call.words[BODY + 1] = rate / two32
        return SUCCESS
      },
      CLOCK_CONFIG_SET(call) {
        if (!mayDo(call, MAY_STATE)) return DENIED
        const config = call.args[CONFIG] as number
        const type = call.version >= v3 ? (config >>> CONFIG_TYPE) & 0xff : 0
        if (type !== 0) {
          if (type > PHASE && type < VENDOR) return INVALID_PARAMETERS
          const index = state.extendedIndex(call.resource, type)
          if (index < 0) return NOT_SUPPORTED
          const value = call.signedArgs[CONFIG_VALUE] as number // signed: no place on the heap
          if (!inRange(type, value)) return INVALID_PARAMETERS
          state.setExtended(call.resource, index, value)
        }
        if ((config & 3) !== UNCHANGED) state.enable(call.agent, call.resource, config & 1)
        return SUCCESS
      },
      CLOCK_NAME_GET: call => call.nameAnswer(names),
      CLOCK_RATE_NOTIFY: subscribe(subscriptions, RATE_CHANGED.id, rateNotify),
      CLOCK_RATE_CHANGE_REQUESTED_NOTIFY: subscribe(subscriptions, CHANGE_REQUESTED.id, requestedNotify),
      CLOCK_CONFIG_GET(call) {
        const type = call.args[GET_TYPE] as number
        if (type !== 0) {
          if (type > PHASE && type < VENDOR) return INVALID_PARAMETERS
          const index = state.extendedIndex(call.resource, type)
          if (index < 0) return NOT_SUPPORTED
          call.words[GET_VALUE] = state.extended(call.resource, index)
        }
        call.words[GET_CONFIG] = state.enabledBy(call.agent, call.resource) ? 1 : 0
        return SUCCESS
      },
      CLOCK_POSSIBLE_PARENTS_GET(call) {
        const parents = state.parents[call.resource] as Uint16Array
        if (parents.length === 0) return NOT_SUPPORTED
        const skip = call.args[SKIP] as number
        if (skip >= parents.length) return OUT_OF_RANGE
        const n = call.fitting(4, parents.length - skip)
        for (let i = 0; i < n; i++) call.words[BODY + 1 + i] = parents[skip + i] as number
        call.words[BODY] = n | ((parents.length - skip - n) << PARENTS_LEFT)
        call.length += 4 * n
        return SUCCESS
      },
      CLOCK_PARENT_SET(call) {
        const parent = call.args[PARENT] as number
        if (parent >= clocks.length) return NOT_FOUND
        if (!mayDo(call, MAY_PARENT)) return DENIED
        const parents = state.parents[call.resource] as Uint16Array
        if (parents.length === 0) return NOT_SUPPORTED
        if (parents.indexOf(parent) < 0) return INVALID_PARAMETERS
        state.setParent(call.resource, parent)
        return SUCCESS
      },
      CLOCK_PARENT_GET(call) {
        const parent = state.parent(call.resource)
        if (parent < 0) return NOT_SUPPORTED
        call.words[BODY] = parent
        return SUCCESS
      },
      CLOCK_GET_PERMISSIONS(call) {
        call.words[BODY] = allowed[call.resource * shared.agents + call.agent] as number
        return SUCCESS
      },
    },
  }
}
