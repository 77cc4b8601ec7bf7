// Power domain management protocol, 0x11, of the virtual SCP: domains are ON or OFF.
import { v2_1, v3 } from '../scmi/common.ts'
import { POWER_OFF, POWER_ON, power as protocol } from '../scmi/power.ts'
import { INVALID_PARAMETERS, NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import { BODY } from './call.ts'
import type { PowerConfig } from './config-protocols.ts'
import { Subscriptions } from './events.ts'
import { flags, type Implementation, type Shared, subscribe } from './implementation.ts'
import { Names } from './names.ts'
import { agentIdOf, agentIndex } from './numbering.ts'
import { Votes } from './votes.ts'
import { arg, argBits, out, outBits } from './words.ts'

const m = protocol.messages
const attribute = (name: string): number => outBits(m.POWER_DOMAIN_ATTRIBUTES, 'attributes', name)
const EXT_NAME = attribute('ext_name')
const REQUESTED_NOTIFY = attribute('change_requested_notify')
const SET_SYNC = attribute('set_sync')
const SET_ASYNC = attribute('set_async')
const NOTIFY = attribute('change_notify')
const NAME = out(m.POWER_DOMAIN_ATTRIBUTES, 'name')
const FLAGS = arg(m.POWER_STATE_SET, 'flags')
const STATE = arg(m.POWER_STATE_SET, 'power_state')
const ASYNC = argBits(m.POWER_STATE_SET, 'flags', 'async')
const CHANGED = protocol.notifications.POWER_STATE_CHANGED
const CHANGE_REQUESTED = protocol.notifications.POWER_STATE_CHANGE_REQUESTED

/** The power_state word of a wish: 0 off, 1 on. */
const stateWord = (wish: number): number => (wish === 0 ? POWER_OFF : POWER_ON)

/** The state of the domains of a platform file. */
export function powerVotes(config: PowerConfig | undefined, agents: number, lastWriter: boolean): Votes {
  const domains = config?.domains ?? []
  const votes = new Votes(
    flags(domains, d => d.alwaysOn),
    agents,
    lastWriter ? 'last-writer' : (config?.sharing ?? 'votes'),
  )
  for (const { id, onBy } of domains) for (const agent of onBy) votes.ask(agentIndex(agent), id, 1)
  return votes
}

export function powerProtocol(
  { domains }: PowerConfig,
  votes: Votes,
  shared: Shared,
): Implementation<typeof protocol> {
  const names = new Names(domains.map(d => d.name))
  const notify = flags(domains, d => d.notify)
  const requestedNotify = flags(domains, d => d.requestedNotify)
  const sync = flags(domains, d => d.set === 'sync' || d.set === 'both')
  const async = flags(domains, d => d.set === 'async' || d.set === 'both')
  const subscriptions = new Subscriptions(2, domains.length, shared.agents)

  const announce = (notification: number, domain: number, cause: number, state: number): void => {
    for (let agent = 0; agent < shared.agents; agent++) {
      if (!subscriptions.has(notification, domain, agent)) continue
      const words = shared.events.notify(agent, protocol.id, notification, CHANGED.payload.size)
      words[1] = agentIdOf(cause)
      words[2] = domain
      words[3] = state
    }
  }

  return {
    protocol,
    resources: domains.length,
    subscriptions,
    release(agent) {
      for (let domain = 0; domain < domains.length; domain++)
        if (votes.release(agent, domain)) announce(CHANGED.id, domain, agent, stateWord(votes.state(domain)))
    },
    attributes(call) {
      call.words[BODY] = domains.length // no statistics area
      return SUCCESS
    },
    handlers: {
      POWER_DOMAIN_ATTRIBUTES(call) {
        const id = call.resource
        let bits = (sync[id] !== 0 ? SET_SYNC : 0) | (async[id] !== 0 ? SET_ASYNC : 0)
        if (call.p2a && notify[id] !== 0) bits |= NOTIFY
        // Version 2.0 has the message, but not yet the bit that advertises it.
        if (call.p2a && call.version >= v2_1 && requestedNotify[id] !== 0) bits |= REQUESTED_NOTIFY
        if (call.version >= v3 && names.extended(id) !== 0) bits |= EXT_NAME
        call.words[BODY] = bits
        names.short(id, call.words, NAME)
        return SUCCESS
      },
      POWER_STATE_SET(call) {
        const id = call.resource
        const asked = (call.args[FLAGS] as number) & ASYNC
        if ((asked === 0 ? sync : async)[id] === 0) return NOT_SUPPORTED
        const state = call.args[STATE] as number
        if (state !== POWER_ON && state !== POWER_OFF) return INVALID_PARAMETERS
        const wish = state === POWER_ON ? 1 : 0
        if (votes.ask(call.agent, id, wish)) announce(CHANGED.id, id, call.agent, stateWord(votes.state(id)))
        else if (votes.state(id) !== wish) announce(CHANGE_REQUESTED.id, id, call.agent, state)
        return SUCCESS
      },
      POWER_STATE_GET(call) {
        call.words[BODY] = stateWord(votes.view(call.agent, call.resource))
        return SUCCESS
      },
      POWER_STATE_NOTIFY: subscribe(subscriptions, CHANGED.id, notify),
      POWER_STATE_CHANGE_REQUESTED_NOTIFY: subscribe(subscriptions, CHANGE_REQUESTED.id, requestedNotify),
      POWER_DOMAIN_NAME_GET: call => call.nameAnswer(names),
    },
  }
}
