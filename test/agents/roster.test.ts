// src/agents/roster.ts: which agent ids there are and what has become of each.
import { describe, expect, test } from 'vitest'
import { type Agent, Roster } from '../../src/agents/roster.ts'

const management: Agent = { agentId: 1, channel: 0, name: 'mediator', provenance: 'discovered' }
const agent = (agentId: number): Agent => ({ agentId, channel: agentId - 1, provenance: 'discovered' })
const roster = () => new Roster(management, [agent(4), agent(2), agent(3)])
const code = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`
  }
  return 'nothing thrown'
}

describe('choosing', () => {
  test('the free one with the lowest id', () => expect(roster().choose().agentId).toBe(2))

  test('the pinned one', () => expect(roster().choose(4).agentId).toBe(4))

  test.each<[string, (r: Roster) => void, string]>([
    ['one that is assigned', r => r.assign(3, 'guest-a'), 'AGENT_BUSY: agent 3 is assigned to guest-a'],
    [
      'one that is quarantined',
      r => r.quarantine(3, 'not clean'),
      'AGENT_BUSY: agent 3 is quarantined (not clean)',
    ],
  ])('%s is not to be had', (_why, prepare, expected) => {
    const r = roster()
    prepare(r)
    expect(code(() => r.choose(3))).toBe(expected)
    expect(r.choose().agentId).toBe(2)
  })

  test('the management agent is never given out', () => {
    expect(code(() => roster().choose(1))).toBe('AGENT_BUSY: agent 1 is management')
  })

  test('an unknown one names those there are', () => {
    expect(code(() => roster().choose(9))).toBe('AGENT_UNKNOWN: there is no agent 9; there are 1, 2, 3, 4')
  })

  test('none left: says who has them', () => {
    const r = roster()
    r.assign(2, 'guest-a')
    r.assign(3, 'guest-b')
    r.quarantine(4, 'denying device 5: BUSY')
    expect(code(() => r.choose())).toBe(
      'AGENTS_EXHAUSTED: no agent id is free: 1 is management, 2 is assigned to guest-a, 3 is assigned to guest-b, 4 is quarantined (denying device 5: BUSY)',
    )
  })
})

describe('states', () => {
  test('assigned, then released: free again, and of the domain nothing is left', () => {
    const r = roster()
    r.assign(2, 'guest-a')
    expect(r.entry(2)).toEqual({ ...agent(2), state: 'assigned', domain: 'guest-a' })
    r.release(2)
    expect(r.entry(2)).toEqual({ ...agent(2), state: 'free' })
  })

  test('quarantine stays, though whoever rolls back releases it', () => {
    const r = roster()
    r.assign(2, 'guest-a')
    r.quarantine(2, 'device 1 may still be allowed')
    expect(r.entry(2)).toEqual({ ...agent(2), state: 'quarantined', reason: 'device 1 may still be allowed' })
    r.release(2)
    expect(r.entry(2).state).toBe('quarantined')
  })

  test('one agent has one domain', () => {
    const r = roster()
    r.assign(2, 'guest-a')
    expect(code(() => r.assign(2, 'guest-b'))).toBe('AGENT_BUSY: agent 2 is assigned to guest-a')
    expect(code(() => r.assign(1, 'guest-b'))).toBe('AGENT_BUSY: agent 1 is management')
  })

  test('the management agent can be neither released nor quarantined', () => {
    const r = roster()
    r.release(1)
    expect(r.entry(1).state).toBe('management')
    expect(code(() => r.quarantine(1, 'why not'))).toBe('AGENT_BUSY: agent 1 is management')
  })

  test('the list is in order of ids', () => {
    expect(
      roster()
        .list()
        .map(({ agentId }) => agentId),
    ).toEqual([1, 2, 3, 4])
  })
})

test.each<[string, readonly Agent[], string]>([
  [
    'two of the same id',
    [agent(2), { ...agent(2), channel: 5 }],
    'agent 2 stands twice: on firmware channels 1 and 5',
  ],
  [
    'one with the management’s id',
    [{ ...agent(1), channel: 3 }],
    'agent 1 stands twice: on firmware channels 0 and 3',
  ],
])('%s', (_why, agents, expected) => {
  expect(code(() => new Roster(management, agents))).toBe(`AGENT_MISMATCH: ${expected}`)
})
