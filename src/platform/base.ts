// Base protocol, 0x10, of the virtual SCP: identity, the caller's protocols, permissions and agent reset.
import { PLATFORM, base as protocol, SELF } from '../scmi/base.ts'
import { v2 } from '../scmi/common.ts'
import { INVALID_PARAMETERS, NOT_FOUND, NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import { BODY, type Call } from './call.ts'
import type { PlatformConfig } from './config.ts'
import { Subscriptions } from './events.ts'
import type { Implementation, Shared } from './implementation.ts'
import { Names } from './names.ts'
import { agentIdOf, agentIndex, BASE, firstProtocol, protocolCount } from './numbering.ts'
import { arg, outBits, shiftOf } from './words.ts'

const m = protocol.messages
const AGENTS = shiftOf(outBits(m.PROTOCOL_ATTRIBUTES, 'attributes', 'num_agents'))
const SET_AGENT = arg(m.BASE_SET_DEVICE_PERMISSIONS, 'agent_id')
const SET_DEVICE = arg(m.BASE_SET_DEVICE_PERMISSIONS, 'device_id')
const DEVICE_FLAGS = arg(m.BASE_SET_DEVICE_PERMISSIONS, 'flags')
const PROTOCOL_ID = arg(m.BASE_SET_PROTOCOL_PERMISSIONS, 'command_id')
const PROTOCOL_FLAGS = arg(m.BASE_SET_PROTOCOL_PERMISSIONS, 'flags')
const RESET_FLAGS = arg(m.BASE_RESET_AGENT_CONFIGURATION, 'flags')
const ERRORS = protocol.notifications.BASE_ERROR_EVENT
const reportBytes = 8
/** Protocols a list of fixed size has room for. */
const fixedList = 8
const FATAL = 0x8000_0000

/** What the Base protocol does to the platform beyond answering. */
export interface BaseActions {
  /** An agent's permissions for a device were set. */
  permissionSet(agent: number, device: number, allow: boolean): void
  /** An agent's permissions became less: forget what no longer is its to hear of. */
  permissionsReduced(agent: number): void
  /** Gives back all that an agent holds, subscriptions and negotiated versions included. */
  resetAgent(agent: number): void
  /** INVALID_PARAMETERS when a restricted word of the command in hand holds what the standard does not allow. */
  checked(call: Call): number
}

export interface BaseProtocol {
  readonly implementation: Implementation<typeof protocol>
  /** Tells subscribers of BASE_ERROR_EVENT that a command of an agent failed with a status. */
  reportError(agentId: number, headerWord: number, status: number, fatal: boolean): void
}

export function baseProtocol(config: PlatformConfig, shared: Shared, actions: BaseActions): BaseProtocol {
  const { permissions, versions, deviations } = shared
  const byId = [...config.agents].sort((a, b) => a.id - b.id)
  /** By agent id: the platform, then the agents. */
  const names = new Names(['platform', ...byId.map(a => a.name)])
  const vendor = new Names([config.vendor, config.subVendor ?? ''])
  const subscriptions = new Subscriptions(1, 1, shared.agents)

  /** How many protocols beside Base the agent may use. */
  const visible = (agent: number): number => {
    let n = 0
    for (let p = BASE + 1; p < protocolCount; p++) if (versions.has(p) && permissions.open(agent, p)) n++
    return n
  }

  return {
    implementation: {
      protocol,
      resources: 0,
      subscriptions,
      absent: config.subVendor === undefined ? [m.BASE_DISCOVER_SUB_VENDOR.id] : [],
      release() {}, // what an agent holds in Base are permissions, and these have a flag of their own
      attributes(call) {
        call.words[BODY] = visible(call.agent) | ((deviations.agentsHidden ? 0 : shared.agents) << AGENTS)
        return SUCCESS
      },
      handlers: {
        BASE_DISCOVER_VENDOR(call) {
          vendor.short(0, call.words, BODY)
          return SUCCESS
        },
        BASE_DISCOVER_SUB_VENDOR(call) {
          if (config.subVendor === undefined) return NOT_SUPPORTED
          vendor.short(1, call.words, BODY)
          return SUCCESS
        },
        BASE_DISCOVER_IMPLEMENTATION_VERSION(call) {
          call.words[BODY] = config.implementationVersion
          return SUCCESS
        },
        BASE_DISCOVER_LIST_PROTOCOLS(call) {
          const skip = call.args[0] as number
          const total = visible(call.agent)
          const fixed = deviations.fixedProtocolList
          if (skip > total && !fixed) return INVALID_PARAMETERS
          const n = call.fitting(1, Math.max(0, total - skip))
          for (let i = 0; i < (fixed ? fixedList : n); i += 4) call.words[BODY + 1 + i / 4] = 0
          let seen = 0
          for (let p = BASE + 1; p < protocolCount; p++) {
            if (!versions.has(p) || !permissions.open(call.agent, p)) continue
            const i = seen++ - skip
            if (i < 0 || i >= n) continue
            const at = BODY + 1 + (i >>> 2)
            call.words[at] = (call.words[at] as number) | ((firstProtocol + p) << ((i & 3) * 8))
          }
          call.words[BODY] = n
          call.length += fixed ? fixedList : (n + 3) & ~3
          return SUCCESS
        },
        BASE_DISCOVER_AGENT(call) {
          const asked = call.args[0] as number
          const id = asked === SELF ? agentIdOf(call.agent) : asked
          if (id > shared.agents) return NOT_FOUND
          // Version 1 answers with the name alone.
          if (call.version < v2) names.short(id, call.words, BODY)
          else {
            call.words[BODY] = id
            names.short(id, call.words, BODY + 1)
          }
          return SUCCESS
        },
        BASE_NOTIFY_ERRORS(call) {
          if (!call.p2a) return NOT_SUPPORTED
          subscriptions.set(ERRORS.id, 0, call.agent, (call.args[0] as number) & 1)
          return SUCCESS
        },
        // The order of Arm's suite: agent, flags, device, protocol. That the caller is trusted is proven before.
        BASE_SET_DEVICE_PERMISSIONS(call) {
          const id = call.args[SET_AGENT] as number
          if (id > shared.agents) return NOT_FOUND
          if (id === PLATFORM) return deviations.platformAsTarget
          if (actions.checked(call) !== SUCCESS) return INVALID_PARAMETERS
          const device = permissions.device(call.args[SET_DEVICE] as number)
          if (device < 0) return deviations.unknownDevice
          if (deviations.permissionsIgnored) return SUCCESS
          const allow = (call.args[DEVICE_FLAGS] as number) & 1
          permissions.setDevice(agentIndex(id), device, allow)
          if (allow === 0) actions.permissionsReduced(agentIndex(id))
          actions.permissionSet(agentIndex(id), call.args[SET_DEVICE] as number, allow !== 0)
          return SUCCESS
        },
        BASE_SET_PROTOCOL_PERMISSIONS(call) {
          const id = call.args[SET_AGENT] as number
          if (id > shared.agents) return NOT_FOUND
          if (id === PLATFORM) return deviations.platformAsTarget
          if (actions.checked(call) !== SUCCESS) return INVALID_PARAMETERS
          const device = permissions.device(call.args[SET_DEVICE] as number)
          if (device < 0) return deviations.unknownDevice
          const p = (call.args[PROTOCOL_ID] as number) - firstProtocol
          if (p === BASE) return deviations.baseAsTarget // Base cannot be denied
          if (p < 0 || p >= protocolCount || !versions.has(p)) return NOT_FOUND
          if (deviations.permissionsIgnored) return SUCCESS
          const allow = (call.args[PROTOCOL_FLAGS] as number) & 1
          permissions.setProtocol(agentIndex(id), device, p, allow)
          if (allow === 0) actions.permissionsReduced(agentIndex(id))
          return SUCCESS
        },
        BASE_RESET_AGENT_CONFIGURATION(call) {
          const id = call.args[SET_AGENT] as number
          if (id > shared.agents) return NOT_FOUND
          if (actions.checked(call) !== SUCCESS) return INVALID_PARAMETERS
          if (id === PLATFORM) return SUCCESS // the platform keeps nothing for itself that could be given back
          const withPermissions = ((call.args[RESET_FLAGS] as number) & 1) !== 0
          if (withPermissions && deviations.resetForgetsLastAgent && id === shared.agents) return NOT_FOUND
          if (!deviations.resetKeepsHoldings) actions.resetAgent(agentIndex(id))
          if (withPermissions) permissions.restore(agentIndex(id))
          if (deviations.ownResetUnanswered && id === agentIdOf(call.agent)) call.length = 0
          return SUCCESS
        },
      },
    },
    reportError(agentId, headerWord, status, fatal) {
      for (let agent = 0; agent < shared.agents; agent++) {
        if (!subscriptions.has(ERRORS.id, 0, agent)) continue
        const words = shared.events.notify(agent, protocol.id, ERRORS.id, ERRORS.payload.size + reportBytes)
        words[1] = agentId
        words[2] = fatal ? FATAL + 1 : 1
        words[3] = headerWord
        words[4] = status
      }
    },
  }
}
