// Power capping and monitoring protocol, 0x18, of the virtual SCP: messages to and from PowerCappingState.
import { v2 } from '../scmi/common.ts'
import { CAP_DISABLED, NO_PARENT, powerUnits, powerCapping as protocol } from '../scmi/power-capping.ts'
import { INVALID_PARAMETERS, NOT_FOUND, NOT_SUPPORTED, OUT_OF_RANGE, SUCCESS } from '../scmi/status.ts'
import { BODY } from './call.ts'
import type { PowerCappingConfig } from './config-protocols.ts'
import { DELAYED_BODY } from './delayed.ts'
import { Delays } from './delays.ts'
import { Subscriptions } from './events.ts'
import { FAST_CHANNEL, fastChannels } from './fast-channels.ts'
import { flags, type Implementation, type Shared, subscribe } from './implementation.ts'
import { Names } from './names.ts'
import { agentIdOf, POWER_CAPPING } from './numbering.ts'
import type { PowerCappingState } from './power-capping-state.ts'
import { arg, argBits, out, outBits, shiftOf } from './words.ts'

const m = protocol.messages
const attribute = (name: string): number => outBits(m.POWERCAP_DOMAIN_ATTRIBUTES, 'attributes', name)
const FAST_CHANNELS = attribute('fast_channels')
const UNIT = shiftOf(attribute('unit'))
const PAI_CONFIG = attribute('pai_config')
const MONITORING = attribute('monitoring')
const CAP_CONFIG = attribute('cap_config')
const ASYNC_CAP = attribute('async')
const EXT_NAME = attribute('ext_name')
const MEASUREMENTS_NOTIFY = attribute('measurements_notify')
const CAP_NOTIFY = attribute('cap_notify')
const NAME = out(m.POWERCAP_DOMAIN_ATTRIBUTES, 'name')
const NUMBERS = out(m.POWERCAP_DOMAIN_ATTRIBUTES, 'min_pai')
const numbersEach = out(m.POWERCAP_DOMAIN_ATTRIBUTES, 'parent_id') + 1 - NUMBERS
const CAP_FLAGS = arg(m.POWERCAP_CAP_SET, 'flags')
const ASYNC = argBits(m.POWERCAP_CAP_SET, 'flags', 'async')
const WAIVED = argBits(m.POWERCAP_CAP_SET, 'flags', 'ignore_delayed_response')
const CAP = arg(m.POWERCAP_CAP_SET, 'power_cap')
const PAI = arg(m.POWERCAP_PAI_SET, 'pai')
const ENABLE = arg(m.POWERCAP_MEASUREMENTS_NOTIFY, 'notify_enable')
const LOW = arg(m.POWERCAP_MEASUREMENTS_NOTIFY, 'threshold_low')
const HIGH = arg(m.POWERCAP_MEASUREMENTS_NOTIFY, 'threshold_high')
const CAP_CHANGED = protocol.notifications.POWERCAP_CAP_CHANGED
const MEASURED = protocol.notifications.POWERCAP_MEASUREMENTS_CHANGED
/** agent_id of what nobody but the platform caused. */
const PLATFORM = 0

/** A range that an agent may choose from. */
interface Span {
  readonly min: number
  readonly max: number
  readonly step: number
}
const spansOf = (spans: readonly Span[]): Uint32Array =>
  Uint32Array.from(spans.flatMap(({ min, max, step }) => [min, max, step]))
/** Replaces the word at `at` by the largest choice of a domain that is not above it; false where it is beyond the ends. */
const choose = (spans: Uint32Array, domain: number, words: Uint32Array, at: number): boolean => {
  const wanted = words[at] as number
  const min = spans[3 * domain] as number
  if (wanted < min || wanted > (spans[3 * domain + 1] as number)) return false
  words[at] = wanted - ((wanted - min) % (spans[3 * domain + 2] as number))
  return true
}

export function powerCappingProtocol(
  { domains, maxAsync }: PowerCappingConfig,
  state: PowerCappingState,
  shared: Shared,
): Implementation<typeof protocol> {
  const names = new Names(domains.map(d => d.name))
  const caps = spansOf(domains.map(d => d.cap))
  const pais = spansOf(domains.map(d => d.pai))
  const capSettable = flags(domains, d => d.cap.min !== d.cap.max)
  const paiSettable = flags(domains, d => d.pai.min !== d.pai.max)
  const monitored = flags(domains, d => d.monitoring)
  const capNotify = flags(domains, d => d.capNotify)
  const measurementsNotify = flags(domains, d => d.monitoring && d.measurementsNotify)
  const channels = fastChannels(protocol, domains)
  const delays = new Delays(domains, maxAsync)
  /** Attribute bits that are the same for all agents. */
  const fixed = Uint32Array.from(
    domains,
    (d, i) =>
      (powerUnits[d.unit] << UNIT) |
      (capSettable[i] !== 0 ? CAP_CONFIG : 0) |
      (paiSettable[i] !== 0 ? PAI_CONFIG : 0) |
      (d.monitoring ? MONITORING : 0) |
      (channels.has(i) ? FAST_CHANNELS : 0) |
      (names.extended(i) !== 0 ? EXT_NAME : 0),
  )
  /** What follows the name in the attributes, from min_pai to parent_id. */
  const numbers = Uint32Array.from(
    domains.flatMap(d => [
      ...[d.pai.min, d.pai.max, d.pai.min === d.pai.max ? 0 : d.pai.step],
      ...[d.cap.min, d.cap.max, d.cap.min === d.cap.max ? 0 : d.cap.step],
      ...[d.sustainable, d.accuracy, d.parent ?? NO_PARENT],
    ]),
  )
  const subscriptions = new Subscriptions(2, domains.length, shared.agents)
  /** Low and high threshold by domain and agent. */
  const thresholds = new Uint32Array(2 * domains.length * shared.agents)

  /** Writes the cap in force as the agent is told it: version 1 has no word for none but the highest. */
  const tell = (agent: number, domain: number, words: Uint32Array, at: number): void => {
    words[at] = state.caps[domain] as number
    if (words[at] === CAP_DISABLED && shared.versions.inForce(agent, POWER_CAPPING) < v2)
      words[at] = caps[3 * domain + 1] as number
  }

  const announce = (domain: number, cause: number): void => {
    for (let agent = 0; agent < shared.agents; agent++) {
      if (!subscriptions.has(CAP_CHANGED.id, domain, agent)) continue
      const words = shared.events.notify(agent, protocol.id, CAP_CHANGED.id, CAP_CHANGED.payload.size)
      words[1] = agentIdOf(cause)
      words[2] = domain
      tell(agent, domain, words, 3)
      words[4] = state.pais[domain] as number
    }
  }

  state.watch = (domain, before, now) => {
    for (let agent = 0; agent < shared.agents; agent++) {
      if (!subscriptions.has(MEASURED.id, domain, agent)) continue
      const at = 2 * (domain * shared.agents + agent)
      const low = thresholds[at] as number
      const high = thresholds[at + 1] as number
      const zoneBefore = before < low ? -1 : before > high ? 1 : 0
      const zoneNow = now < low ? -1 : now > high ? 1 : 0
      if (zoneBefore === zoneNow) continue
      const words = shared.events.notify(agent, protocol.id, MEASURED.id, MEASURED.payload.size)
      words[1] = PLATFORM
      words[2] = domain
      words[3] = now
    }
  }

  return {
    protocol,
    resources: domains.length,
    subscriptions,
    release(agent) {
      for (let domain = 0; domain < domains.length; domain++)
        if (state.release(agent, domain)) announce(domain, agent)
    },
    complete(due, words) {
      words[DELAYED_BODY] = due.resource
      words[DELAYED_BODY + 1] = due.value[0] as number
      due.length = 8
      if (state.setCap(due.agent, due.resource, words, DELAYED_BODY + 1)) announce(due.resource, due.agent)
      return SUCCESS
    },
    attributes(call) {
      call.words[BODY] = domains.length
      return SUCCESS
    },
    messageAttributes: message => (channels.offered(message) ? FAST_CHANNEL : 0),
    handlers: {
      POWERCAP_DOMAIN_ATTRIBUTES(call) {
        const id = call.resource
        let bits = fixed[id] as number
        if (call.p2a && capNotify[id] !== 0) bits |= CAP_NOTIFY
        if (call.p2a && measurementsNotify[id] !== 0) bits |= MEASUREMENTS_NOTIFY
        if (call.p2a && capSettable[id] !== 0 && delays.has(id)) bits |= ASYNC_CAP
        call.words[BODY] = bits
        names.short(id, call.words, NAME)
        for (let i = 0; i < numbersEach; i++)
          call.words[NUMBERS + i] = numbers[numbersEach * id + i] as number
        return SUCCESS
      },
      POWERCAP_CAP_GET(call) {
        tell(call.agent, call.resource, call.words, BODY)
        return SUCCESS
      },
      POWERCAP_CAP_SET(call) {
        const id = call.resource
        const asked = call.args[CAP_FLAGS] as number
        const async = (asked & ASYNC) !== 0
        if (capSettable[id] === 0 || (async && (!call.p2a || !delays.has(id)))) return NOT_SUPPORTED
        const lifts = call.args[CAP] === CAP_DISABLED && call.version >= v2
        // A cap between two steps is kept by the lower.
        if (!lifts && !choose(caps, id, call.args, CAP)) return OUT_OF_RANGE
        if (async) {
          shared.delayed.value[0] = call.args[CAP] as number
          return shared.delayed.accept(call, POWER_CAPPING, delays, (asked & WAIVED) !== 0)
        }
        if (state.setCap(call.agent, id, call.args, CAP)) announce(id, call.agent)
        return SUCCESS
      },
      POWERCAP_PAI_GET(call) {
        call.words[BODY] = state.pais[call.resource] as number
        return SUCCESS
      },
      POWERCAP_PAI_SET(call) {
        const id = call.resource
        if (paiSettable[id] === 0) return NOT_SUPPORTED
        if (!choose(pais, id, call.args, PAI)) return OUT_OF_RANGE
        if (state.setPai(call.agent, id, call.args, PAI)) announce(id, call.agent)
        return SUCCESS
      },
      POWERCAP_DOMAIN_NAME_GET: call => call.nameAnswer(names),
      POWERCAP_MEASUREMENTS_GET(call) {
        if (monitored[call.resource] === 0) return NOT_SUPPORTED
        call.words[BODY] = state.powers[call.resource] as number
        call.words[BODY + 1] = state.pais[call.resource] as number
        return SUCCESS
      },
      POWERCAP_CAP_NOTIFY: subscribe(subscriptions, CAP_CHANGED.id, capNotify),
      POWERCAP_MEASUREMENTS_NOTIFY(call) {
        if (!call.p2a || measurementsNotify[call.resource] === 0) return NOT_SUPPORTED
        if ((call.args[LOW] as number) > (call.args[HIGH] as number)) return INVALID_PARAMETERS
        const at = 2 * (call.resource * shared.agents + call.agent)
        thresholds[at] = call.args[LOW] as number
        thresholds[at + 1] = call.args[HIGH] as number
        subscriptions.set(MEASURED.id, call.resource, call.agent, (call.args[ENABLE] as number) & 1)
        return SUCCESS
      },
      POWERCAP_DESCRIBE_FASTCHANNEL(call) {
        const message = call.args[1] as number
        if (!channels.known(message, call.version)) return NOT_FOUND
        return channels.describe(call, message) ? SUCCESS : NOT_SUPPORTED
      },
    },
  }
}
