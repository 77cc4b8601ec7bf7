// What an SMC towards firmware looks like in the three generations of Xen's SCMI mediator. Pure; links that ring one use it.

/** SMC registers x0..x7 as 64-bit values. */
export type Registers = readonly bigint[]

/**
 * How a platform expects to be told which agent calls:
 * - `channel-in-x7`: one function id for all, the channel id in x7 (the 2021-22 RFC series);
 * - `function-per-agent`: the base function id plus the agent id (downstream, 2023-24);
 * - `own-function`: each agent has its own function id, and the guest's x1..x7 pass (series v4 to v11).
 */
export type SmcGeneration = 'channel-in-x7' | 'function-per-agent' | 'own-function'

/** The agent on whose behalf the call is made. */
export interface SmcAgent {
  readonly agentId: number
  /** The firmware's channel of that agent. */
  readonly channel: number
  /** Function id: the common one, the base, or the agent's own, as the generation has it. */
  readonly smcId: number
}

/** The registers of the call to the firmware for a guest's call with `registers`; those that a generation drops are 0. */
export function smcCall(generation: SmcGeneration, agent: SmcAgent, registers: Registers): Registers {
  const call = (x0: number, rest: Registers): Registers => [BigInt(x0 >>> 0), ...rest]
  const zeros = new Array<bigint>(7).fill(0n)
  switch (generation) {
    case 'channel-in-x7':
      return call(agent.smcId, [...zeros.slice(1), BigInt(agent.channel)])
    case 'function-per-agent':
      return call(agent.smcId + agent.agentId, zeros)
    case 'own-function':
      return call(
        agent.smcId,
        Array.from({ length: 7 }, (_, i) => registers[i + 1] ?? 0n),
      )
  }
}
