// fixtures/platforms/camera-hub.yaml: a platform of SCMI 2.0, as an agent that was written for that release finds it.
import { expect, test } from 'vitest'
import { INVALID_PARAMETERS, NOT_FOUND, SUCCESS } from '../../src/scmi/status.ts'
import { platformFrom } from './ask.ts'

const hub = () => platformFrom('../../fixtures/platforms/camera-hub.yaml')
const supervisor = 0
const application = 1

/** Of release 2.0: version, and the first message id that no 2.0 platform knows. Each is a real message today. */
const protocols = [
  [0x10, 0x2_0000, 0xc],
  [0x11, 0x2_0000, 0x8],
  [0x12, 0x1_0000, 0x6],
  [0x13, 0x2_0000, 0xc],
  [0x14, 0x1_0000, 0x8],
  [0x15, 0x1_0000, 0x7],
  [0x16, 0x1_0000, 0x6],
] as const

test.each(protocols)('protocol 0x%s has version 0x%s and no message 0x%s', (protocol, version, message) => {
  for (const agent of [supervisor, application]) {
    const asked = hub()
    expect(asked.words(agent, protocol, 0x0)).toEqual([version])
    expect(asked.status(agent, protocol, message)).toBe(NOT_FOUND)
    expect(asked.status(agent, protocol, 0x2, message)).toBe(NOT_FOUND)
    expect(asked.status(agent, protocol, 0x10), 'there is no negotiation yet').toBe(NOT_FOUND)
  }
})

test('lists exactly the protocols of that release', () => {
  const asked = hub()
  expect(asked.words(application, 0x10, 0x1)).toEqual([0x206])
  expect(asked.words(application, 0x10, 0x6, 0)).toEqual([6, 0x1413_1211, 0x1615])
  expect(asked.words(application, 0x10, 0x6, 6)).toEqual([0])
  expect(asked.status(application, 0x10, 0x6, 7)).toBe(INVALID_PARAMETERS)
})

test('clock rates that one message does not take come in parts', () => {
  const asked = hub()
  const [first] = asked.words(application, 0x14, 0x4, 2, 0) as [number]
  const taken = first & 0xfff
  expect([taken < 16, first >>> 16]).toEqual([true, 16 - taken])
  expect(asked.words(application, 0x14, 0x4, 2, taken)[0]).toBe(16 - taken)
  expect(asked.words(application, 0x14, 0x4, 3, 0)).toEqual([2, 705_032_704, 1, 1_410_065_408, 2])
})

test('an agent without its only device of a protocol has lost the protocol', () => {
  const asked = hub()
  expect(asked.status(supervisor, 0x10, 0x9, 2, 0, 0)).toBe(SUCCESS)
  expect(asked.ask(application, 0x15, 0x0)).toBe('fdffffff')
  expect(asked.words(application, 0x10, 0x1)).toEqual([0x205])
  expect(asked.status(supervisor, 0x10, 0xb, 2, 1)).toBe(SUCCESS)
  expect(asked.words(application, 0x15, 0x0)).toEqual([0x1_0000])
})
