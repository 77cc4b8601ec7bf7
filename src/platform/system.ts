// System power management protocol, 0x12, of the virtual SCP: requests are told to its owner, who decides what to do.
import { v2 } from '../scmi/common.ts'
import { payloadAt } from '../scmi/schema.ts'
import { DENIED, NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import { system as protocol } from '../scmi/system.ts'
import type { SystemConfig } from './config-protocols.ts'
import { Subscriptions } from './events.ts'
import type { Implementation, Shared } from './implementation.ts'
import { agentIdOf, agentIndex, SYSTEM } from './numbering.ts'
import { arg } from './words.ts'

const m = protocol.messages
const FLAGS = arg(m.SYSTEM_POWER_STATE_SET, 'flags')
const STATE = arg(m.SYSTEM_POWER_STATE_SET, 'system_state')
const attributeBits = m.PROTOCOL_MESSAGE_ATTRIBUTES.response.fields.attributes.mask as Readonly<
  Record<string, number>
>
const NOTIFIER = protocol.notifications.SYSTEM_POWER_STATE_NOTIFIER

/** system_state values that a platform need not offer. */
const WARM_RESET = 2
const SUSPEND = 4

/** Hears of an accepted SYSTEM_POWER_STATE_SET. */
export type SystemRequest = (agentId: number, state: number, graceful: boolean) => void

/** The last request, and who hears of the next. */
export class SystemState {
  /** Requests accepted so far. */
  requests = 0
  /** system_state of the last one; -1 before. */
  lastState = -1
  /** Agent id of who asked. */
  lastAgent = 0
  onRequest: SystemRequest | undefined

  constructor(onRequest?: SystemRequest) {
    this.onRequest = onRequest
  }

  ask(agentId: number, state: number, graceful: boolean): void {
    this.requests++
    this.lastState = state
    this.lastAgent = agentId
    this.onRequest?.(agentId, state, graceful)
  }
}

export function systemProtocol(
  config: SystemConfig,
  state: SystemState,
  shared: Shared,
): Implementation<typeof protocol> {
  const mayAsk = new Uint8Array(shared.agents)
  for (const id of config.agents) mayAsk[agentIndex(id)] = 1
  const subscriptions = new Subscriptions(1, 1, shared.agents)
  const sizes = [0x1_0000, v2].map(version => payloadAt(NOTIFIER, version).size)
  const attributes =
    (config.warmReset ? (attributeBits['warm_reset'] as number) : 0) |
    (config.suspend ? (attributeBits['suspend'] as number) : 0)

  const announce = (cause: number, graceful: number, asked: number): void => {
    for (let agent = 0; agent < shared.agents; agent++) {
      if (!subscriptions.has(NOTIFIER.id, 0, agent)) continue
      const withTimeout = shared.versions.inForce(agent, SYSTEM) >= v2 ? 1 : 0
      const words = shared.events.notify(agent, protocol.id, NOTIFIER.id, sizes[withTimeout] as number)
      words[1] = agentIdOf(cause)
      words[2] = graceful
      words[3] = asked
      words[4] = config.timeoutMs
    }
  }

  return {
    protocol,
    resources: 0,
    subscriptions,
    release() {}, // a request cannot be taken back
    attributes: () => SUCCESS,
    messageAttributes: message => (message === m.SYSTEM_POWER_STATE_SET.id ? attributes : 0),
    handlers: {
      SYSTEM_POWER_STATE_SET(call) {
        if (mayAsk[call.agent] === 0) return DENIED
        const asked = call.signedArgs[STATE] as number
        if (asked < 0) return NOT_SUPPORTED // the vendor's states; this vendor has none
        if (asked === WARM_RESET && !config.warmReset) return NOT_SUPPORTED
        if (asked === SUSPEND && !config.suspend) return NOT_SUPPORTED
        const graceful = (call.args[FLAGS] as number) & 1
        state.ask(agentIdOf(call.agent), asked, graceful !== 0)
        announce(call.agent, graceful, asked)
        return SUCCESS
      },
      // Arm's suite: the state is for PSCI agents alone, although the message exists.
      SYSTEM_POWER_STATE_GET: () => NOT_SUPPORTED,
      SYSTEM_POWER_STATE_NOTIFY(call) {
        if (!call.p2a) return NOT_SUPPORTED
        subscriptions.set(NOTIFIER.id, 0, call.agent, (call.args[0] as number) & 1)
        return SUCCESS
      },
    },
  }
}
