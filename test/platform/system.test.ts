// src/platform/system.ts: requests go to the owner, and subscribers are asked to cooperate.
import { expect, test, vi } from 'vitest'
import { DENIED, NOT_FOUND, NOT_SUPPORTED, SUCCESS } from '../../src/scmi/status.ts'
import { hex, platformOf } from './ask.ts'

const system = (more: string, onSystemRequest = vi.fn()) => ({
  onSystemRequest,
  asked: platformOf(
    `
vendor: test
agents:
  - { id: 1, name: one, permissions: allow }
  - { id: 2, name: two }
${more}`,
    { onSystemRequest },
  ),
})

test.each([
  [0, 0, 0, SUCCESS, 'shutdown'],
  [0, 1, 1, SUCCESS, 'graceful cold reset'],
  [0, 0, 2, SUCCESS, 'warm reset, which is offered'],
  [0, 0, 4, NOT_SUPPORTED, 'suspend, which is not'],
  [1, 0, 0, DENIED, 'an agent that the file does not name'],
])('agent on channel %i, flags %i, state %i gives %i: %s', (channel, flags, state, status) => {
  const { asked, onSystemRequest } = system('system: { agents: [1], warmReset: true }')
  expect(asked.status(channel, 0x12, 3, flags, state)).toBe(status)
  expect(onSystemRequest.mock.calls).toEqual(status === SUCCESS ? [[1, state, flags === 1]] : [])
  expect(asked.platform.system.lastState).toBe(status === SUCCESS ? state : -1)
})

test.each([
  ['{ agents: [1] }', 0],
  ['{ agents: [1], warmReset: true }', 0x8000_0000],
  ['{ agents: [1], warmReset: true, suspend: true }', 0xc000_0000],
])('%s advertises 0x%s', (config, bits) => {
  const { asked } = system(`system: ${config}`)
  expect(asked.words(0, 0x12, 2, 3)).toEqual([bits])
  expect(asked.words(0, 0x12, 2, 4)).toEqual([0])
  expect(asked.status(0, 0x12, 2, 6)).toBe(NOT_FOUND)
})

test.each([
  ['2.0', hex(0x4b00, 1, 1, 0)],
  ['3.1', hex(0x4b00, 1, 1, 0, 5000)],
])('every agent may be told; release %s', (release, frame) => {
  const { asked } = system(`release: '${release}'\nsystem: { agents: [1], timeoutMs: 5000 }`)
  expect(asked.status(1, 0x12, 5, 1)).toBe(SUCCESS)
  asked.ask(0, 0x12, 3, 1, 0)
  expect(asked.takeEvents()).toEqual([{ channel: 1, frame }])
})
