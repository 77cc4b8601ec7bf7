// src/firmware-link/smc-call.ts: registers of an SMC towards firmware, in the three generations of Xen's SCMI mediator.
import { expect, test } from 'vitest'
import { type SmcAgent, type SmcGeneration, smcCall } from '../../src/firmware-link/smc-call.ts'

/** x0 to x7 of a guest: its function id, then what it thought up. */
const guest = [0x8200_0002n, 0x1111n, 0x2222n, 0x3333n, 0x4444n, 0x5555n, 0x6666n, 0xffff_ffff_ffff_ffffn]
const agent: SmcAgent = { agentId: 3, channel: 2, smcId: 0x8200_0002 }

/**
 * Generation, what goes downstream, and the code it is after:
 * A: arm_smccc_smc(agent_channel->func_id, 0, 0, 0, 0, 0, 0, agent_channel->chan_id)
 * B: agent_func_id = regs->r0 + agent_channel->agent_id; the rest 0
 * C: arm_smccc_1_1_smc(fid, x1 ... x7)
 */
test.each<[SmcGeneration, SmcAgent, readonly bigint[]]>([
  ['channel-in-x7', agent, [0x8200_0002n, 0n, 0n, 0n, 0n, 0n, 0n, 2n]],
  ['channel-in-x7', { ...agent, channel: 0 }, [0x8200_0002n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]],
  ['function-per-agent', agent, [0x8200_0005n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]],
  ['function-per-agent', { ...agent, agentId: 0 }, [0x8200_0002n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]],
  ['function-per-agent', { ...agent, smcId: 0xffff_ffff }, [2n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]], // w0 is 32 bits wide
  [
    'own-function',
    { ...agent, smcId: 0x8200_0012 },
    [0x8200_0012n, 0x1111n, 0x2222n, 0x3333n, 0x4444n, 0x5555n, 0x6666n, 0xffff_ffff_ffff_ffffn],
  ],
])('%s of agent %o', (generation, who, expected) => {
  expect(smcCall(generation, who, guest)).toEqual(expected)
})

test('the function id is ours, whatever the guest has in x0', () => {
  for (const generation of ['channel-in-x7', 'function-per-agent', 'own-function'] as const)
    expect(smcCall(generation, agent, [0x8200_0099n, ...guest.slice(1)])[0]).toBe(
      generation === 'function-per-agent' ? 0x8200_0005n : 0x8200_0002n,
    )
})

test('registers that were not given are 0', () => {
  expect(smcCall('own-function', agent, [0x8200_0002n, 5n])).toEqual([
    0x8200_0002n,
    5n,
    0n,
    0n,
    0n,
    0n,
    0n,
    0n,
  ])
})
