// Performance domain management protocol, 0x13, of the virtual SCP: messages to and from PerformanceState.
import { v3, v4 } from '../scmi/common.ts'
import { performance as protocol } from '../scmi/performance.ts'
import { formAt } from '../scmi/schema.ts'
import {
  DENIED,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  OUT_OF_RANGE,
  SUCCESS,
} from '../scmi/status.ts'
import { BODY, type Call } from './call.ts'
import type { PerformanceConfig } from './config-protocols.ts'
import { Subscriptions } from './events.ts'
import { FAST_CHANNEL, fastChannels } from './fast-channels.ts'
import { flags, type Implementation, type Shared, subscribe } from './implementation.ts'
import { Names } from './names.ts'
import { agentIdOf, PERFORMANCE } from './numbering.ts'
import type { PerformanceState } from './performance-state.ts'
import { arg, out, outBits, shiftOf } from './words.ts'

const m = protocol.messages
const attribute = (name: string): number => outBits(m.PERFORMANCE_DOMAIN_ATTRIBUTES, 'attributes', name)
const INDEXING = attribute('level_indexing')
const EXT_NAME = attribute('ext_name')
const FAST_CHANNELS = attribute('fast_channels')
const LEVEL_NOTIFY = attribute('level_notify')
const LIMITS_NOTIFY = attribute('limits_notify')
const SET_LEVEL = attribute('set_level')
const SET_LIMITS = attribute('set_limits')
const RATE_LIMIT = out(m.PERFORMANCE_DOMAIN_ATTRIBUTES, 'rate_limit')
const SUSTAINED_FREQ = out(m.PERFORMANCE_DOMAIN_ATTRIBUTES, 'sustained_freq')
const SUSTAINED_LEVEL = out(m.PERFORMANCE_DOMAIN_ATTRIBUTES, 'sustained_perf_level')
const NAME = out(m.PERFORMANCE_DOMAIN_ATTRIBUTES, 'name')
const POWER_UNIT = shiftOf(outBits(m.PROTOCOL_ATTRIBUTES, 'attributes', 'power_unit'))
const LEVEL_INDEX = arg(m.PERFORMANCE_DESCRIBE_LEVELS, 'level_index')
const LEFT = shiftOf(outBits(m.PERFORMANCE_DESCRIBE_LEVELS, 'num_levels', 'remaining'))
const entryBytes = (version: number): number =>
  formAt(m.PERFORMANCE_DESCRIBE_LEVELS, version).response.tail?.entry.size as number
const shortBytes = entryBytes(0x1_0000)
const longBytes = entryBytes(v4)
const RANGE_MAX = arg(m.PERFORMANCE_LIMITS_SET, 'range_max')
const RANGE_MIN = arg(m.PERFORMANCE_LIMITS_SET, 'range_min')
const LEVEL = arg(m.PERFORMANCE_LEVEL_SET, 'performance_level')
const LIMITS_CHANGED = protocol.notifications.PERFORMANCE_LIMITS_CHANGED
const LEVEL_CHANGED = protocol.notifications.PERFORMANCE_LEVEL_CHANGED
const units = { abstract: 0, milliwatt: 1, microwatt: 2 } as const

export function performanceProtocol(
  { domains, powerUnit }: PerformanceConfig,
  state: PerformanceState,
  shared: Shared,
): Implementation<typeof protocol> {
  const names = new Names(domains.map(d => d.name))
  const setLimits = flags(domains, d => d.setLimits)
  const setLevel = flags(domains, d => d.setLevel)
  const limitsNotify = flags(domains, d => d.limitsNotify)
  const levelNotify = flags(domains, d => d.levelNotify)
  const indexing = flags(domains, d => d.indexing)
  const rateLimit = Uint32Array.from(domains, d => d.rateLimitUs)
  const sustainedKhz = Uint32Array.from(domains, d => d.sustainedKhz)
  const sustainedLevel = Uint32Array.from(domains, d => d.sustainedLevel)
  /** power, latency, frequency of each level. */
  const details = domains.map(d =>
    Uint32Array.from(d.levels.flatMap(l => [l.power, l.latencyUs, l.frequencyKhz])),
  )
  const channels = fastChannels(protocol, domains, [m.PERFORMANCE_LIMITS_SET.id, m.PERFORMANCE_LIMITS_GET.id])
  const subscriptions = new Subscriptions(2, domains.length, shared.agents)

  /** Whether this agent names the domain's levels by index. */
  const byIndex = (agent: number, domain: number): boolean =>
    indexing[domain] !== 0 && shared.versions.inForce(agent, PERFORMANCE) >= v4

  /** A level as the agent is told it: its value, or the index of the highest level not above it. */
  const told = (agent: number, domain: number, value: number): number => {
    if (!byIndex(agent, domain)) return value
    const levels = state.levels[domain] as Uint32Array
    let index = 0
    while (index + 1 < levels.length && (levels[index + 1] as number) <= value) index++
    return index
  }

  const announceLimits = (domain: number, cause: number): void => {
    for (let agent = 0; agent < shared.agents; agent++) {
      if (!subscriptions.has(LIMITS_CHANGED.id, domain, agent)) continue
      const words = shared.events.notify(agent, protocol.id, LIMITS_CHANGED.id, LIMITS_CHANGED.payload.size)
      words[1] = agentIdOf(cause)
      words[2] = domain
      words[3] = told(agent, domain, state.max(domain))
      words[4] = told(agent, domain, state.min(domain))
    }
  }
  const announceLevel = (domain: number, cause: number): void => {
    for (let agent = 0; agent < shared.agents; agent++) {
      if (!subscriptions.has(LEVEL_CHANGED.id, domain, agent)) continue
      const words = shared.events.notify(agent, protocol.id, LEVEL_CHANGED.id, LEVEL_CHANGED.payload.size)
      words[1] = agentIdOf(cause)
      words[2] = domain
      words[3] = told(agent, domain, state.level(domain))
    }
  }

  const limit = (agent: number, domain: number, max: number, min: number): void => {
    const oldMax = state.max(domain)
    const oldMin = state.min(domain)
    const oldLevel = state.level(domain)
    state.setLimits(agent, domain, max, min)
    if (oldMax !== state.max(domain) || oldMin !== state.min(domain)) announceLimits(domain, agent)
    if (oldLevel !== state.level(domain)) announceLevel(domain, agent)
  }

  return {
    protocol,
    resources: domains.length,
    subscriptions,
    release(agent) {
      for (let domain = 0; domain < domains.length; domain++) {
        limit(agent, domain, state.highest(domain), state.lowest(domain))
        const level = state.level(domain)
        state.release(agent, domain)
        if (level !== state.level(domain)) announceLevel(domain, agent)
      }
    },
    attributes(call) {
      // Version 3 widened the unit to two bits; before, the upper one was reserved.
      const unit = call.version < v3 && powerUnit === 'microwatt' ? units.abstract : units[powerUnit]
      call.words[BODY] = domains.length | (unit << POWER_UNIT)
      return SUCCESS
    },
    messageAttributes: message => (channels.offered(message) ? FAST_CHANNEL : 0),
    handlers: {
      PERFORMANCE_DOMAIN_ATTRIBUTES(call) {
        const id = call.resource
        let bits = (setLimits[id] !== 0 ? SET_LIMITS : 0) | (setLevel[id] !== 0 ? SET_LEVEL : 0)
        if (call.p2a && limitsNotify[id] !== 0) bits |= LIMITS_NOTIFY
        if (call.p2a && levelNotify[id] !== 0) bits |= LEVEL_NOTIFY
        if (channels.has(id)) bits |= FAST_CHANNELS
        if (call.version >= v3 && names.extended(id) !== 0) bits |= EXT_NAME
        if (call.version >= v4 && indexing[id] !== 0) bits |= INDEXING
        call.words[BODY] = bits
        call.words[RATE_LIMIT] = rateLimit[id] as number
        call.words[SUSTAINED_FREQ] = sustainedKhz[id] as number
        call.words[SUSTAINED_LEVEL] = sustainedLevel[id] as number
        names.short(id, call.words, NAME)
        return SUCCESS
      },
      PERFORMANCE_DESCRIBE_LEVELS(call) {
        const levels = state.levels[call.resource] as Uint32Array
        const detail = details[call.resource] as Uint32Array
        const index = call.args[LEVEL_INDEX] as number
        if (index >= levels.length) return shared.deviations.indexBeyond
        const long = call.version >= v4
        const bytes = long ? longBytes : shortBytes
        const n = call.fitting(bytes, levels.length - index)
        for (let i = 0, at = BODY + 1; i < n; i++, at += bytes / 4) {
          const level = index + i
          call.words[at] = levels[level] as number
          call.words[at + 1] = detail[3 * level] as number
          call.words[at + 2] = detail[3 * level + 1] as number
          if (!long) continue
          call.words[at + 3] = detail[3 * level + 2] as number
          call.words[at + 4] = level
        }
        call.words[BODY] = n | ((levels.length - index - n) << LEFT)
        call.length += bytes * n
        return SUCCESS
      },
      PERFORMANCE_LIMITS_SET(call) {
        const id = call.resource
        if (setLimits[id] === 0) return DENIED
        const levels = state.levels[id] as Uint32Array
        let max = call.args[RANGE_MAX] as number
        let min = call.args[RANGE_MIN] as number
        if (byIndex(call.agent, id)) {
          if (max < min) return INVALID_PARAMETERS
          if (max >= levels.length) return OUT_OF_RANGE
          max = levels[max] as number
          min = levels[min] as number
        } else if (call.version >= v3) {
          if (max === 0 && min === 0) return OUT_OF_RANGE
          if (max === 0) max = state.ownMax(call.agent, id)
          if (min === 0) min = state.ownMin(call.agent, id)
        }
        if (max < min) return INVALID_PARAMETERS
        if (max > state.highest(id) || min < state.lowest(id)) return OUT_OF_RANGE
        limit(call.agent, id, max, min)
        return SUCCESS
      },
      PERFORMANCE_LIMITS_GET(call) {
        call.words[BODY] = told(call.agent, call.resource, state.max(call.resource))
        call.words[BODY + 1] = told(call.agent, call.resource, state.min(call.resource))
        return SUCCESS
      },
      PERFORMANCE_LEVEL_SET(call) {
        const id = call.resource
        if (setLevel[id] === 0) return DENIED
        const levels = state.levels[id] as Uint32Array
        let level = call.args[LEVEL] as number
        if (byIndex(call.agent, id)) {
          if (level >= levels.length) return OUT_OF_RANGE
          level = levels[level] as number
        }
        if (level > state.max(id) || level < state.min(id)) return OUT_OF_RANGE
        const old = state.level(id)
        state.setLevel(call.agent, id, level)
        if (old !== state.level(id)) announceLevel(id, call.agent)
        return SUCCESS
      },
      PERFORMANCE_LEVEL_GET(call) {
        call.words[BODY] = told(call.agent, call.resource, state.level(call.resource))
        return SUCCESS
      },
      PERFORMANCE_NOTIFY_LIMITS: subscribe(subscriptions, LIMITS_CHANGED.id, limitsNotify),
      PERFORMANCE_NOTIFY_LEVEL: subscribe(subscriptions, LEVEL_CHANGED.id, levelNotify),
      PERFORMANCE_DESCRIBE_FASTCHANNEL: (call: Call) => {
        const message = call.args[1] as number
        // From the schema: a message that the version in force does not have, has no fast channel to ask about.
        if (!channels.known(message, call.version)) return NOT_FOUND
        return channels.describe(call, message) ? SUCCESS : NOT_SUPPORTED
      },
      PERFORMANCE_DOMAIN_NAME_GET: call => call.nameAnswer(names),
    },
  }
}
