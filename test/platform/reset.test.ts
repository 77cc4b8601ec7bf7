// src/platform/reset.ts: pulses and signals.
import { expect, test } from 'vitest'
import { INVALID_PARAMETERS, SUCCESS } from '../../src/scmi/status.ts'
import { hex, name16, platformOf } from './ask.ts'

const AUTONOMOUS = 1
const ASSERT = 2
const reset = (release = '3.2') =>
  platformOf(`
vendor: test
release: '${release}'
agents:
  - { id: 1, name: one, permissions: allow, trusted: true }
  - { id: 2, name: two, permissions: allow }
reset:
  domains:
    - { id: 0, name: a, latencyUs: 12, explicit: true, states: [0x80000001] }
    - { id: 1, name: a-name-that-is-long, notify: false }`)

test('an autonomous reset is a pulse, an asserted signal one that lasts', () => {
  const asked = reset()
  const { resets } = asked.platform
  expect(asked.status(0, 0x16, 4, 0, AUTONOMOUS, 0)).toBe(SUCCESS)
  expect(asked.status(0, 0x16, 4, 0, AUTONOMOUS, 0x8000_0001), "the vendor's state").toBe(SUCCESS)
  expect(asked.status(0, 0x16, 4, 0, AUTONOMOUS, 0x8000_0002)).toBe(INVALID_PARAMETERS)
  expect([resets.resets(0), resets.asserted(0)]).toEqual([2, false])
  asked.ask(1, 0x16, 4, 0, ASSERT, 0)
  asked.ask(1, 0x16, 4, 0, ASSERT, 0)
  expect([resets.resets(0), resets.asserted(0)]).toEqual([3, true])
  asked.ask(1, 0x16, 4, 0, 0, 0)
  expect([resets.resets(0), resets.asserted(0)]).toEqual([3, false])
})

test('the end of the agent that holds a signal releases it', () => {
  const asked = reset()
  asked.ask(1, 0x16, 4, 0, ASSERT, 0)
  asked.ask(0, 0x10, 0xb, 1, 0)
  expect(asked.platform.resets.asserted(0), 'agent 1 does not hold it').toBe(true)
  asked.ask(0, 0x10, 0xb, 2, 0)
  expect(asked.platform.resets.asserted(0)).toBe(false)
})

test.each([
  ['2.0', 0, hex(0, 0x4000_0000, 12) + name16('a')],
  ['2.0', 1, hex(0, 0, 0xffff_ffff) + name16('a-name-that-is-long')],
  ['3.1', 1, hex(0, 0x2000_0000, 0xffff_ffff) + name16('a-name-that-is-long')],
])('attributes in release %s of domain %i', (release, domain, answer) => {
  expect(reset(release).ask(0, 0x16, 3, domain)).toBe(answer)
})

test('subscribers hear of resets and of asserted signals', () => {
  const asked = reset()
  asked.ask(0, 0x16, 5, 0, 1)
  asked.ask(1, 0x16, 4, 0, AUTONOMOUS, 0x8000_0001)
  asked.ask(1, 0x16, 4, 0, ASSERT, 0)
  asked.ask(1, 0x16, 4, 0, 0, 0)
  expect(asked.takeEvents()).toEqual([
    { channel: 0, frame: hex(0x5b00, 2, 0, 0x8000_0001) },
    { channel: 0, frame: hex(0x5b00, 2, 0, 0) },
  ])
})
