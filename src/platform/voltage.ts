// Voltage domain management protocol, 0x17, of the virtual SCP. The level is the last writer's; on and off are shared.
import { v2 } from '../scmi/common.ts'
import { INVALID_PARAMETERS, NOT_SUPPORTED, OUT_OF_RANGE, SUCCESS } from '../scmi/status.ts'
import { voltage as protocol, VOLTAGE_OFF, VOLTAGE_ON } from '../scmi/voltage.ts'
import { BODY } from './call.ts'
import type { VoltageConfig } from './config-protocols.ts'
import { DELAYED_BODY } from './delayed.ts'
import { Delays } from './delays.ts'
import { DescribedValues } from './described-values.ts'
import type { Implementation, Shared } from './implementation.ts'
import { Names } from './names.ts'
import { agentIndex, VOLTAGE } from './numbering.ts'
import { Votes } from './votes.ts'
import { arg, argBits, out, outBits, shiftOf } from './words.ts'

const m = protocol.messages
const NAME = out(m.VOLTAGE_DOMAIN_ATTRIBUTES, 'name')
const EXT_NAME = outBits(m.VOLTAGE_DOMAIN_ATTRIBUTES, 'attributes', 'ext_name')
const ASYNC_SET = outBits(m.VOLTAGE_DOMAIN_ATTRIBUTES, 'attributes', 'async')
const LEVEL_INDEX = arg(m.VOLTAGE_DESCRIBE_LEVELS, 'level_index')
const TRIPLET = outBits(m.VOLTAGE_DESCRIBE_LEVELS, 'num_levels_flags', 'triplet')
const LEFT = shiftOf(outBits(m.VOLTAGE_DESCRIBE_LEVELS, 'num_levels_flags', 'remaining'))
const CONFIG = arg(m.VOLTAGE_CONFIG_SET, 'config')
const FLAGS = arg(m.VOLTAGE_LEVEL_SET, 'flags')
const ASYNC = argBits(m.VOLTAGE_LEVEL_SET, 'flags', 'async')
const LEVEL = arg(m.VOLTAGE_LEVEL_SET, 'level')

/** Wishes in Votes: 0 off, 8 to 15 the implementation's modes, and above them on. */
const ON = 16
const wishOf = (config: number): number => (config === VOLTAGE_ON ? ON : config)
const configOf = (wish: number): number => (wish === ON ? VOLTAGE_ON : wish === 0 ? VOLTAGE_OFF : wish)

/** Levels of the voltage domains, in µV, and whether they are on. */
export class VoltageState {
  readonly count: number
  readonly levels: readonly DescribedValues[]
  readonly votes: Votes
  readonly #level: Int32Array

  constructor(config: VoltageConfig | undefined, agents: number) {
    const domains = config?.domains ?? []
    this.count = domains.length
    this.levels = domains.map(d => new DescribedValues(d.levels))
    this.#level = Int32Array.from(domains, (d, i) => d.level ?? this.levels[i]?.values[0] ?? 0)
    this.votes = new Votes(
      Uint8Array.from(domains, d => (d.alwaysOn ? ON : 0)),
      agents,
      config?.sharing ?? 'votes',
    )
    for (const { id, onBy } of domains) for (const agent of onBy) this.votes.ask(agentIndex(agent), id, ON)
  }

  /** µV. */
  level(domain: number): number {
    return this.#level[domain] as number
  }

  /** The config word: VOLTAGE_OFF, VOLTAGE_ON, or a mode of the implementation. */
  config(domain: number): number {
    return configOf(this.votes.state(domain))
  }

  setLevel(domain: number, level: number): void {
    this.#level[domain] = level
  }
}

export function voltageProtocol(
  { domains, maxAsync }: VoltageConfig,
  state: VoltageState,
  shared: Shared,
): Implementation<typeof protocol> {
  const names = new Names(domains.map(d => d.name))
  const delays = new Delays(domains, maxAsync)
  const modes = domains.map(d => Uint8Array.from(d.modes))

  return {
    protocol,
    resources: domains.length,
    release(agent) {
      for (let domain = 0; domain < domains.length; domain++) state.votes.release(agent, domain)
    },
    complete(due, words) {
      const level = due.value[0] as number
      state.setLevel(due.resource, level)
      words[DELAYED_BODY] = due.resource
      words[DELAYED_BODY + 1] = level
      due.length = 8
      return SUCCESS
    },
    attributes(call) {
      call.words[BODY] = domains.length
      return SUCCESS
    },
    handlers: {
      VOLTAGE_DOMAIN_ATTRIBUTES(call) {
        let bits = 0
        if (call.version >= v2) {
          if (names.extended(call.resource) !== 0) bits |= EXT_NAME
          if (call.p2a && delays.has(call.resource)) bits |= ASYNC_SET
        }
        call.words[BODY] = bits
        names.short(call.resource, call.words, NAME)
        return SUCCESS
      },
      VOLTAGE_DESCRIBE_LEVELS(call) {
        const { range, values } = state.levels[call.resource] as DescribedValues
        const index = call.args[LEVEL_INDEX] as number
        if (index >= (range ? 1 : values.length)) return OUT_OF_RANGE
        const n = call.fitting(4, values.length - index)
        for (let i = 0; i < n; i++) call.ints[BODY + 1 + i] = values[index + i] as number
        call.words[BODY] = n | (range ? TRIPLET : 0) | ((values.length - index - n) << LEFT)
        call.length += 4 * n
        return SUCCESS
      },
      VOLTAGE_CONFIG_SET(call) {
        const config = call.args[CONFIG] as number
        if (config > VOLTAGE_ON && (modes[call.resource] as Uint8Array).indexOf(config) < 0)
          return NOT_SUPPORTED
        state.votes.ask(call.agent, call.resource, wishOf(config))
        return SUCCESS
      },
      VOLTAGE_CONFIG_GET(call) {
        call.words[BODY] = configOf(state.votes.view(call.agent, call.resource))
        return SUCCESS
      },
      VOLTAGE_LEVEL_SET(call) {
        const async = ((call.args[FLAGS] as number) & ASYNC) !== 0
        if (async && (!call.p2a || !delays.has(call.resource))) return NOT_SUPPORTED
        const level = call.signedArgs[LEVEL] as number
        const levels = state.levels[call.resource] as DescribedValues
        levels.cell[0] = level
        if (!levels.held()) return INVALID_PARAMETERS
        if (async) {
          shared.delayed.value[0] = level
          return shared.delayed.accept(call, VOLTAGE, delays)
        }
        state.setLevel(call.resource, level)
        return SUCCESS
      },
      VOLTAGE_LEVEL_GET(call) {
        call.ints[BODY] = state.level(call.resource)
        return SUCCESS
      },
      VOLTAGE_DOMAIN_NAME_GET: call => call.nameAnswer(names),
    },
  }
}
