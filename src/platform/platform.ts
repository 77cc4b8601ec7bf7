// The virtual SCP: takes a command on a channel, makes the checks of the standard in their order, answers in place.
import { COMMAND, messageId, messageType, protocolId, reservedMask } from '../scmi/header.ts'
import {
  DENIED,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  PROTOCOL_ERROR,
  SUCCESS,
} from '../scmi/status.ts'
import { baseProtocol } from './base.ts'
import { BODY, Call, type Frame } from './call.ts'
import { clockProtocol } from './clock.ts'
import { ClockState } from './clock-state.ts'
import { commonHandlers } from './common.ts'
import type { ChannelConfig, PlatformConfig } from './config.ts'
import { Delayed } from './delayed.ts'
import { Delays } from './delays.ts'
import { type EventSink, Events } from './events.ts'
import type { Implementation, Shared } from './implementation.ts'
import { agentIdOf, agentIndex, BASE, firstProtocol, kindOf, protocolCount } from './numbering.ts'
import { performanceProtocol } from './performance.ts'
import { PerformanceState } from './performance-state.ts'
import { Permissions } from './permissions.ts'
import { pinControlProtocol } from './pin-control.ts'
import { PinState } from './pin-state.ts'
import { powerProtocol, powerVotes } from './power.ts'
import { powerCappingProtocol } from './power-capping.ts'
import { PowerCappingState } from './power-capping-state.ts'
import { type Deviations, profiles } from './profiles.ts'
import { ResetState, resetProtocol } from './reset.ts'
import { checked, commandLength, compileRules, type Rule, type Rules, ruleAt } from './rules.ts'
import { sensorProtocol } from './sensor.ts'
import { SensorState } from './sensor-state.ts'
import { type SystemRequest, SystemState, systemProtocol } from './system.ts'
import { Versions } from './versions.ts'
import { VoltageState, voltageProtocol } from './voltage.ts'
import type { Votes } from './votes.ts'

/** What hears of the platform. Each may be left out. */
export interface PlatformParts {
  /** A device was allowed or denied to an agent by BASE_SET_DEVICE_PERMISSIONS. */
  onPermission?: (agentId: number, deviceId: number, allow: boolean) => void
  /** A SYSTEM_POWER_STATE_SET was accepted: its owner decides what to do. */
  onSystemRequest?: SystemRequest
}

/** Every message as it came in, before any check: `words` holds `length` bytes. */
export type Tap = (channel: number, words: Uint32Array, length: number) => void

/** Delayed responses that one agent can have outstanding. */
const delayedPlaces = ({ clock, sensor, reset, voltage, powerCapping }: PlatformConfig): number =>
  [
    new Delays(clock?.clocks ?? [], clock?.maxAsync ?? 0),
    new Delays(sensor?.sensors ?? [], sensor?.maxAsync ?? 0),
    new Delays(reset?.domains ?? [], reset?.maxAsync ?? 0),
    new Delays(voltage?.domains ?? [], voltage?.maxAsync ?? 0),
    new Delays(powerCapping?.domains ?? [], powerCapping?.maxAsync ?? 0),
  ].reduce((sum, { limit }) => sum + limit, 0)

/** An SCMI platform in memory, after a platform file. Allocates nothing per message. */
export class Platform {
  readonly config: PlatformConfig
  /** Channels there are, numbered from 0. The platform knows an agent by its channel alone. */
  readonly channels: number
  /** Physical state, to look at (and for sensors, to set). */
  readonly clocks: ClockState
  readonly power: Votes
  readonly performance: PerformanceState
  readonly sensors: SensorState
  readonly resets: ResetState
  readonly voltages: VoltageState
  readonly system: SystemState
  /** Measurements are set from outside. */
  readonly powerCaps: PowerCappingState
  readonly pins: PinState
  /** Hears of each message received; undefined by default. */
  tap: Tap | undefined = undefined

  readonly #shared: Shared
  readonly #deviations: Deviations
  readonly #implementations: readonly Implementation[]
  readonly #rules: Rules
  readonly #call = new Call()
  /** The rule of the message in hand. */
  #rule: Rule | undefined = undefined
  readonly #trusted: Uint8Array
  readonly #agentOf: Uint8Array
  readonly #maxBytes: Uint16Array
  readonly #p2a: Uint8Array
  /** The first channel with a way back to each agent; -1 for none. */
  readonly #eventChannel: Int16Array
  readonly #reportError: (agentId: number, header: number, status: number, fatal: boolean) => void

  constructor(config: PlatformConfig, parts: PlatformParts = {}) {
    const agents = config.agents.length
    const channels: readonly ChannelConfig[] =
      config.channels ?? config.agents.map(a => ({ agent: a.id, maxMessageBytes: 128, p2a: true }))
    this.config = config
    this.channels = channels.length
    const deviations: Deviations = profiles[config.profile]
    this.#deviations = deviations
    this.#agentOf = Uint8Array.from(channels, c => agentIndex(c.agent))
    this.#maxBytes = Uint16Array.from(channels, c => c.maxMessageBytes)
    this.#p2a = Uint8Array.from(channels, c => (c.p2a && !deviations.withoutEvents ? 1 : 0))
    this.#eventChannel = Int16Array.from({ length: agents }, (_, agent) =>
      channels.findIndex((c, i) => this.#p2a[i] !== 0 && agentIndex(c.agent) === agent),
    )
    this.#trusted = new Uint8Array(agents)
    for (const agent of config.agents) this.#trusted[agentIndex(agent.id)] = agent.trusted ? 1 : 0

    this.clocks = new ClockState(config.clock?.clocks ?? [], agents)
    this.power = powerVotes(config.power, agents, deviations.powerLastWriter)
    this.performance = new PerformanceState(config.performance?.domains ?? [], agents)
    this.sensors = new SensorState(config.sensor?.sensors ?? [])
    this.resets = new ResetState(config.reset?.domains.length ?? 0)
    this.voltages = new VoltageState(config.voltage, agents)
    this.system = new SystemState(parts.onSystemRequest)
    this.powerCaps = new PowerCappingState(config.powerCapping?.domains ?? [], agents)
    this.pins = new PinState(config.pinControl)
    const events = new Events(agents * delayedPlaces(config))
    const delayed = new Delayed(agents, agents * delayedPlaces(config), events)
    events.numbered = deviations.numberedNotifications
    events.onSent = (agent, protocol) => delayed.sent(agent, protocol)
    this.#shared = {
      agents,
      permissions: new Permissions(config, deviations),
      versions: new Versions(config, deviations),
      events,
      delayed,
      deviations,
    }
    const shared = this.#shared
    const base = baseProtocol(config, shared, {
      permissionSet: (agent, device, allow) => parts.onPermission?.(agentIdOf(agent), device, allow),
      permissionsReduced: agent => this.#dropDenied(agent),
      resetAgent: agent => this.#resetAgent(agent),
      checked: call => checked(this.#rule as Rule, call),
    })
    this.#reportError = base.reportError
    this.#implementations = [
      base.implementation,
      config.power && powerProtocol(config.power, this.power, shared),
      config.system && systemProtocol(config.system, this.system, shared),
      config.performance && performanceProtocol(config.performance, this.performance, shared),
      config.clock && clockProtocol(config.clock, this.clocks, shared),
      config.sensor && sensorProtocol(config.sensor, this.sensors, shared),
      config.reset && resetProtocol(config.reset, this.resets, shared),
      config.voltage && voltageProtocol(config.voltage, this.voltages, shared),
      config.powerCapping && powerCappingProtocol(config.powerCapping, this.powerCaps, shared),
      config.pinControl && pinControlProtocol(config.pinControl, this.pins, shared),
    ].filter(implementation => implementation !== undefined)
    for (const { protocol, complete } of this.#implementations)
      delayed.handle(protocol.id - firstProtocol, complete)
    this.#rules = compileRules(
      this.#implementations,
      shared.versions,
      implementation =>
        commonHandlers(implementation, shared.versions, (call, index) => this.#existing(call, index)),
      deviations,
    )
  }

  /** Largest frame a channel carries, header included. */
  maxMessageBytes(channel: number): number {
    return this.#maxBytes[channel] as number
  }

  /** Agent id of who speaks on a channel. */
  agentOf(channel: number): number {
    return agentIdOf(this.#agentOf[channel] as number)
  }

  /** Whether an agent may use a resource of a protocol, by their ids. */
  mayUse(agentId: number, protocol: number, resource: number): boolean {
    return this.#shared.permissions.allows(agentIndex(agentId), protocol - firstProtocol, resource)
  }

  /** Whether a device is allowed to an agent, by their ids. */
  deviceAllowed(agentId: number, deviceId: number): boolean {
    const { permissions } = this.#shared
    const device = permissions.device(deviceId)
    return device >= 0 && permissions.deviceAllowed(agentIndex(agentId), device)
  }

  /** The version word of a protocol in force for an agent. */
  versionInForce(agentId: number, protocol: number): number {
    return this.#shared.versions.inForce(agentIndex(agentId), protocol - firstProtocol)
  }

  /** Notifications that were dropped because the queue was full. */
  get eventsDropped(): number {
    return this.#shared.events.dropped
  }

  /**
   * Answers the command in `frame[0 .. length)`, in place.
   * @param frame must hold the channel's maxMessageBytes
   * @returns bytes of the response; 0 when there is nothing that could be answered (no header, no such channel), or the
   * platform's profile has no response to it
   */
  handle(channel: number, frame: Frame, length: number): number {
    if (channel < 0 || channel >= this.channels || length < 4) return 0
    const { words, ints } = frame
    if (this.tap !== undefined) this.tap(channel, words, length)
    this.#shared.delayed.received()
    const status = this.#answer(channel, frame, length)
    ints[1] = status
    // What is wrong is told by the status alone.
    return status === SUCCESS ? this.#call.length : 8
  }

  /**
   * Tells the platform the time, in monotonic microseconds modulo 2^32, always of the same clock: before each message,
   * so that delays count from then on, and whenever something may be due. What is due is carried out; `flush` after it.
   */
  tick(now: number): void {
    this.#shared.delayed.tick(now)
    this.#shared.delayed.run()
  }

  /** Microseconds from the last `tick` until a request is due; -1 when none waits for a time. */
  get dueIn(): number {
    return this.#shared.delayed.dueIn
  }

  /**
   * Sends what the platform has to say of its own accord, in order: notifications (type 3) and delayed responses (type
   * 2). Call it when the response to the last command is on its way. A delayed response comes on the channel that its
   * command came on, with the command's token; the sink must not lose it: the agent may ask for the next one.
   */
  flush(sink: EventSink): void {
    this.#shared.delayed.run()
    this.#shared.events.flush(sink, this.#eventChannel)
  }

  /** Tells subscribers of BASE_ERROR_EVENT that a command of an agent failed. */
  reportError(agentId: number, header: number, status: number, fatal = false): void {
    this.#reportError(agentId, header, status, fatal)
  }

  #answer(channel: number, frame: Frame, length: number): number {
    const { words } = frame
    const word = words[0] as number
    const room = this.#maxBytes[channel] as number
    if (length > room) return PROTOCOL_ERROR
    const deviations = this.#deviations
    if (messageType(word) !== COMMAND) return deviations.notACommand
    if ((word & reservedMask) !== 0) return PROTOCOL_ERROR
    const { permissions, versions } = this.#shared
    const agent = this.#agentOf[channel] as number
    const protocol = protocolId(word) - firstProtocol
    if (protocol < 0 || protocol >= protocolCount || !versions.has(protocol)) return NOT_SUPPORTED
    if (protocol !== BASE && !permissions.open(agent, protocol)) return DENIED
    const version = versions.index(agent, protocol)
    const rule = this.#rules[ruleAt(protocol, messageId(word), version)]
    if (rule === undefined) return deviations.unknownMessage
    // Before anything tells which ids exist.
    if (rule.privileged && this.#trusted[agent] === 0 && !deviations.anyoneSetsPermissions) return DENIED
    const expected = commandLength(rule, words, length)
    if (length < expected || (length > expected && !deviations.longPayloads)) return PROTOCOL_ERROR

    const call = this.#call
    this.#rule = rule
    call.words = words
    call.ints = frame.ints
    call.agent = agent
    call.channel = channel
    call.p2a = this.#p2a[channel] !== 0
    call.version = versions.word(protocol, version)
    call.room = room
    call.length = rule.responseLength
    for (let i = 0; i < (expected >>> 2) - 1; i++) call.args[i] = words[1 + i] as number
    if (deviations.resourceFirst) {
      const status = this.#resource(rule, call, protocol)
      if (status !== SUCCESS) return status
    }
    if (!rule.privileged && checked(rule, call) !== SUCCESS) return INVALID_PARAMETERS
    if (!deviations.resourceFirst) {
      const status = this.#resource(rule, call, protocol)
      if (status !== SUCCESS) return status
    }
    for (let i = BODY; i < rule.responseLength >>> 2; i++) words[i] = 0
    return rule.handler(call)
  }

  /** Finds the resource that the message names, if it names one: SUCCESS where it exists and is the agent's to use. */
  #resource(rule: Rule, call: Call, protocol: number): number {
    if (rule.resourceWord < 0) return SUCCESS
    const resource = call.args[rule.resourceWord] as number
    const selector =
      rule.selectorWord < 0
        ? 0
        : ((call.args[rule.selectorWord] as number) & rule.selectorMask) >>> rule.selectorShift
    // Where the id is checked first, the selector may be one that nothing has.
    if (selector >= rule.resources.length || resource >= (rule.resources[selector] as number))
      return this.#deviations.unknownResource
    call.resource = resource
    call.selector = selector
    if (rule.query && this.#deviations.readsAllowed) return SUCCESS
    return this.#shared.permissions.allows(call.agent, kindOf(protocol, selector), resource)
      ? SUCCESS
      : DENIED
  }

  /** SUCCESS when the message `index` (protocol index and id) exists for the caller, else NOT_FOUND. */
  #existing(call: Call, index: number): number {
    const rule =
      this.#rules[ruleAt(index >>> 8, index & 0xff, this.#shared.versions.index(call.agent, index >>> 8))]
    if (rule === undefined || rule.absent) return NOT_FOUND
    if (rule.privileged && this.#trusted[call.agent] === 0 && !this.#deviations.anyoneSetsPermissions)
      return NOT_FOUND
    return rule.subscribes && !call.p2a ? NOT_FOUND : SUCCESS
  }

  #dropDenied(agent: number): void {
    this.#shared.delayed.deny(agent, this.#shared.permissions)
    for (const implementation of this.#implementations) {
      const { subscriptions, protocol, resources } = implementation
      if (subscriptions !== undefined && resources > 0)
        subscriptions.dropDenied(agent, this.#shared.permissions, protocol.id - firstProtocol)
    }
  }

  #resetAgent(agent: number): void {
    this.#shared.delayed.drop(agent)
    this.#shared.events.withdraw(agent)
    for (const implementation of this.#implementations) {
      implementation.subscriptions?.drop(agent) // first: a dead agent does not hear of its own end
      implementation.release(agent)
    }
    this.#shared.versions.reset(agent)
  }
}
