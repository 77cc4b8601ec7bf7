// Reset domain management protocol, 0x16, of the virtual SCP: pulses, and signals that agents hold asserted.
import { v3 } from '../scmi/common.ts'
import { reset as protocol } from '../scmi/reset.ts'
import { INVALID_PARAMETERS, NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import { BODY } from './call.ts'
import type { ResetConfig } from './config-protocols.ts'
import { DELAYED_BODY } from './delayed.ts'
import { Delays } from './delays.ts'
import { Subscriptions } from './events.ts'
import { flags, type Implementation, type Shared, subscribe } from './implementation.ts'
import { Names } from './names.ts'
import { agentIdOf, RESET } from './numbering.ts'
import { arg, argBits, out, outBits } from './words.ts'

const m = protocol.messages
const ASYNC_RESET = outBits(m.RESET_DOMAIN_ATTRIBUTES, 'attributes', 'async')
const EXT_NAME = outBits(m.RESET_DOMAIN_ATTRIBUTES, 'attributes', 'ext_name')
const NOTIFY = outBits(m.RESET_DOMAIN_ATTRIBUTES, 'attributes', 'notify')
const LATENCY = out(m.RESET_DOMAIN_ATTRIBUTES, 'latency')
const NAME = out(m.RESET_DOMAIN_ATTRIBUTES, 'name')
const FLAGS = arg(m.RESET, 'flags')
const STATE = arg(m.RESET, 'reset_state')
const AUTONOMOUS = argBits(m.RESET, 'flags', 'autonomous')
const ASSERT = argBits(m.RESET, 'flags', 'assert')
const ASYNC = argBits(m.RESET, 'flags', 'async')
const ISSUED = protocol.notifications.RESET_ISSUED
const COLD = 0
const nobody = -1

/** How often each domain was reset, and which signals are asserted. */
export class ResetState {
  readonly count: number
  readonly #resets: Uint32Array
  /** Index of the agent that asserted the signal; -1 while it is not asserted. */
  readonly #holder: Int16Array

  constructor(domains: number) {
    this.count = domains
    this.#resets = new Uint32Array(domains)
    this.#holder = new Int16Array(domains).fill(nobody)
  }

  /** Times the domain went through reset: autonomously, or by an asserted signal. */
  resets(domain: number): number {
    return this.#resets[domain] as number
  }

  asserted(domain: number): boolean {
    return this.#holder[domain] !== nobody
  }

  /** Index of the agent that holds the signal asserted; -1 for none. */
  holder(domain: number): number {
    return this.#holder[domain] as number
  }

  pulse(domain: number): void {
    this.#resets[domain] = (this.#resets[domain] as number) + 1
  }

  assert(agent: number, domain: number): void {
    if (this.#holder[domain] === nobody) this.pulse(domain)
    this.#holder[domain] = agent
  }

  deassert(domain: number): void {
    this.#holder[domain] = nobody
  }
}

export function resetProtocol(
  { domains, maxAsync }: ResetConfig,
  state: ResetState,
  shared: Shared,
): Implementation<typeof protocol> {
  const names = new Names(domains.map(d => d.name))
  const latency = Uint32Array.from(domains, d => d.latencyUs)
  const autonomous = flags(domains, d => d.autonomous)
  const explicit = flags(domains, d => d.explicit)
  const notify = flags(domains, d => d.notify)
  const states = domains.map(d => Int32Array.from(d.states, state => state | 0))
  const delays = new Delays(domains, maxAsync)
  const subscriptions = new Subscriptions(1, domains.length, shared.agents)

  const announce = (domain: number, cause: number, resetState: number): void => {
    for (let agent = 0; agent < shared.agents; agent++) {
      if (!subscriptions.has(ISSUED.id, domain, agent)) continue
      const words = shared.events.notify(agent, protocol.id, ISSUED.id, ISSUED.payload.size)
      words[1] = agentIdOf(cause)
      words[2] = domain
      words[3] = resetState
    }
  }

  return {
    protocol,
    resources: domains.length,
    subscriptions,
    release(agent) {
      for (let domain = 0; domain < domains.length; domain++)
        if (state.holder(domain) === agent) state.deassert(domain)
    },
    complete(due, words) {
      state.pulse(due.resource)
      announce(due.resource, due.agent, due.value[0] as number)
      words[DELAYED_BODY] = due.resource
      due.length = 4
      return SUCCESS
    },
    attributes(call) {
      call.words[BODY] = domains.length
      return SUCCESS
    },
    handlers: {
      RESET_DOMAIN_ATTRIBUTES(call) {
        const id = call.resource
        let bits = call.p2a && notify[id] !== 0 ? NOTIFY : 0
        if (call.p2a && delays.has(id)) bits |= ASYNC_RESET
        if (call.version >= v3 && names.extended(id) !== 0) bits |= EXT_NAME
        call.words[BODY] = bits
        call.words[LATENCY] = latency[id] as number
        names.short(id, call.words, NAME)
        return SUCCESS
      },
      RESET(call) {
        const id = call.resource
        const asked = call.args[FLAGS] as number
        const resetState = call.signedArgs[STATE] as number // signed: above 2^31 it would need a place on the heap
        // The value comes before the capability: Arm's suite deasserts with a bad state on every domain.
        if (resetState !== COLD && (states[id] as Int32Array).indexOf(resetState) < 0)
          return INVALID_PARAMETERS
        if ((asked & AUTONOMOUS) !== 0) {
          if (autonomous[id] === 0) return NOT_SUPPORTED
          if ((asked & ASYNC) !== 0) {
            if (!call.p2a || !delays.has(id)) return shared.deviations.asyncResetRefused
            shared.delayed.value[0] = resetState
            return shared.delayed.accept(call, RESET, delays)
          }
          state.pulse(id)
          announce(id, call.agent, resetState)
          return SUCCESS
        }
        if (explicit[id] === 0) return NOT_SUPPORTED
        // Async has no meaning here; Linux sets it nevertheless on domains that can do autonomous async resets.
        if ((asked & ASYNC) !== 0 && shared.deviations.asyncSignalRefused !== SUCCESS)
          return shared.deviations.asyncSignalRefused
        if ((asked & ASSERT) !== 0) {
          state.assert(call.agent, id)
          announce(id, call.agent, resetState)
        } else state.deassert(id)
        return SUCCESS
      },
      RESET_NOTIFY: subscribe(subscriptions, ISSUED.id, notify),
      RESET_DOMAIN_NAME_GET: call => call.nameAnswer(names),
    },
  }
}
