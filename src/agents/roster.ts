// Which agent ids there are, who has each, and which may not be given out. States only: who sweeps them is lifecycle's.
import { MediatorError } from '../errors.ts'

/** How an agent id is known; `virtual` ones are ours, over a firmware that has too few. */
export type Provenance = 'discovered' | 'indexed' | 'declared' | 'virtual'
export type AgentState = 'management' | 'free' | 'assigned' | 'quarantined'

export interface Agent {
  readonly agentId: number
  /** The firmware channel its messages go out on. */
  readonly channel: number
  readonly name?: string
  readonly smcId?: number
  readonly provenance: Provenance
}

/** An agent and what has become of it. */
export interface AgentEntry extends Agent {
  readonly state: AgentState
  /** The domain that has it. */
  readonly domain?: string
  /** Why it is quarantined. */
  readonly reason?: string
}

/**
 * All agents of one platform. An agent id is given out again only after `release`, by whoever has swept it; one that
 * is quarantined stays so.
 */
export class Roster {
  readonly #entries = new Map<number, AgentEntry>()

  constructor(management: Agent, agents: readonly Agent[]) {
    this.#entries.set(management.agentId, { ...management, state: 'management' })
    for (const agent of agents) {
      const twin = this.#entries.get(agent.agentId)
      if (twin !== undefined)
        throw new MediatorError(
          'AGENT_MISMATCH',
          `agent ${agent.agentId} stands twice: on firmware channels ${twin.channel} and ${agent.channel}`,
        )
      this.#entries.set(agent.agentId, { ...agent, state: 'free' })
    }
  }

  /** In ascending order of agent id. */
  list(): readonly AgentEntry[] {
    return [...this.#entries.values()].sort((a, b) => a.agentId - b.agentId)
  }

  /** AGENT_UNKNOWN when there is none. */
  entry(agentId: number): AgentEntry {
    const entry = this.#entries.get(agentId)
    if (entry === undefined)
      throw new MediatorError('AGENT_UNKNOWN', `there is no agent ${agentId}; there are ${this.#known()}`)
    return entry
  }

  /** The agent a domain would get: the pinned one, else the free one with the lowest id. AGENT_BUSY, AGENTS_EXHAUSTED. */
  choose(pinned?: number): AgentEntry {
    if (pinned !== undefined) {
      const entry = this.entry(pinned)
      if (entry.state !== 'free')
        throw new MediatorError('AGENT_BUSY', `agent ${pinned} is ${describe(entry)}`)
      return entry
    }
    const free = this.list().find(({ state }) => state === 'free')
    if (free === undefined)
      throw new MediatorError(
        'AGENTS_EXHAUSTED',
        `no agent id is free: ${this.list()
          .map(e => `${e.agentId} is ${describe(e)}`)
          .join(', ')}`,
      )
    return free
  }

  /** Gives a free agent to a domain. AGENT_BUSY when it is not free. */
  assign(agentId: number, domain: string): void {
    this.choose(agentId)
    this.#set(agentId, { state: 'assigned', domain })
  }

  /** The domain that has the agent is called that now. */
  rename(agentId: number, domain: string): void {
    if (this.entry(agentId).state === 'assigned') this.#set(agentId, { state: 'assigned', domain })
  }

  /** Swept and proven clean: free again. Of an agent that is not assigned nothing changes: quarantine stays. */
  release(agentId: number): void {
    if (this.entry(agentId).state === 'assigned') this.#set(agentId, { state: 'free' })
  }

  /** Proven clean after all: a quarantined agent is free again. Of any other nothing changes. */
  clear(agentId: number): void {
    if (this.entry(agentId).state === 'quarantined') this.#set(agentId, { state: 'free' })
  }

  /** Not to be given out until an operator has seen to it. AGENT_BUSY for the management agent, which serves all. */
  quarantine(agentId: number, reason: string): void {
    const entry = this.entry(agentId)
    if (entry.state === 'management')
      throw new MediatorError('AGENT_BUSY', `agent ${agentId} is ${describe(entry)}`)
    this.#set(agentId, { state: 'quarantined', reason })
  }

  #set(agentId: number, to: { state: AgentState; domain?: string; reason?: string }): void {
    const { domain: _domain, reason: _reason, state: _state, ...agent } = this.entry(agentId)
    this.#entries.set(agentId, { ...agent, ...to })
  }

  #known(): string {
    return this.list()
      .map(({ agentId }) => agentId)
      .join(', ')
  }
}

function describe({ state, domain, reason }: AgentEntry): string {
  if (domain !== undefined) return `assigned to ${domain}`
  return reason === undefined ? state : `${state} (${reason})`
}
