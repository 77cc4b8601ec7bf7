// src/permissions/mirror.ts: grants told to a real platform, and what its answers are taken for.
import { describe, expect, test } from 'vitest'
import { enforcementOf, FirmwarePermissions, type Send } from '../../src/permissions/mirror.ts'
import {
  COMMS_ERROR,
  DENIED,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  SUCCESS,
} from '../../src/scmi/status.ts'
import { example, hex } from '../platform/ask.ts'

function mirrored() {
  const asked = example()
  const sent: string[] = []
  const send: Send = async (channel, frame) => {
    const command = Buffer.from(frame).toString('hex')
    sent.push(`${channel} ${command}`)
    return Buffer.from(asked.raw(channel, command), 'hex')
  }
  return { platform: asked.platform, sent, permissions: new FirmwarePermissions(send, 0, 0x2_0001), send }
}

/** A firmware that answers every command with these words after the header. */
const answering =
  (...words: number[]): Send =>
  async (_channel, frame) =>
    Buffer.concat([frame.subarray(0, 4), Buffer.from(hex(...words), 'hex')])

describe('devices', () => {
  test('allow and deny, on the management channel', async () => {
    const { platform, sent, permissions } = mirrored()
    expect(await permissions.setDevice(3, 1, true)).toBe(0)
    expect(platform.deviceAllowed(3, 1)).toBe(true)
    expect(await permissions.setDevice(3, 1, false)).toBe(0)
    expect(platform.deviceAllowed(3, 1)).toBe(false)
    // BASE_SET_DEVICE_PERMISSIONS: agent_id, device_id, flags.
    expect(sent).toEqual([`0 09400000${hex(3, 1, 1)}`, `0 09400000${hex(3, 1, 0)}`])
  })

  test('an agent or device that is not there is the firmware’s to say', async () => {
    const { permissions } = mirrored()
    expect(await permissions.setDevice(9, 1, true)).toBe(-4)
    expect(await permissions.setDevice(3, 99, true)).toBe(-4)
  })
})

test('reset restores the permissions too: without flag 1 they would outlive the tenant', async () => {
  const { platform, sent, permissions } = mirrored()
  await permissions.setDevice(3, 1, true)
  expect(await permissions.resetAgent(3)).toBe(0)
  expect(platform.deviceAllowed(3, 1)).toBe(false)
  expect(sent.at(-1)).toBe(`0 0b400000${hex(3, 1)}`)
})

describe('an answer that is none is not believed', () => {
  test.each<[string, number[], number]>([
    ['a status', [-3 >>> 0], -3],
    ['SUCCESS', [0], 0],
    ['SUCCESS and more than the message has', [0, 0], COMMS_ERROR],
    ['no status', [], COMMS_ERROR],
  ])('%s', async (_why, words, expected) => {
    expect(await new FirmwarePermissions(answering(...words), 0, 0x2_0001).setDevice(2, 0, true)).toBe(
      expected,
    )
  })

  test('another message’s answer', async () => {
    const send: Send = async () => Buffer.from(hex(0x400a, 0), 'hex')
    expect(await new FirmwarePermissions(send, 0, 0x2_0001).setDevice(2, 0, true)).toBe(COMMS_ERROR)
  })
})

describe('the probe acts on nothing', () => {
  const value = { flags: 0xffff_ffff, domain_id: 0, power_state: 0xffff_ffff }

  test('an agent that has nothing is refused', async () => {
    const { platform, permissions, sent } = mirrored()
    expect(await permissions.probe(1, 0x11, 'POWER_STATE_SET', 0x3_0001, value)).toBe(DENIED)
    expect(sent).toEqual([`1 04440000${hex(0xffff_ffff, 0, 0xffff_ffff)}`])
    expect(platform.power.state(0)).toBe(0)
  })

  test('an agent that has everything is told of its flags, and nothing happens', async () => {
    const { platform, permissions } = mirrored()
    expect(await permissions.probe(0, 0x11, 'POWER_STATE_SET', 0x3_0001, value)).toBe(INVALID_PARAMETERS)
    expect(platform.power.state(0)).toBe(0)
  })

  test('an answer that makes no sense is none', async () => {
    const permissions = new FirmwarePermissions(answering(), 0, 0x2_0001)
    expect(await permissions.probe(1, 0x11, 'POWER_STATE_SET', 0x3_0001, value)).toBe(COMMS_ERROR)
  })

  test.each<[string, number[], string]>([
    ['DENIED', [DENIED], 'enforced'],
    ['DENIED for all', [DENIED, DENIED], 'enforced'],
    ['DENIED for some: the rest may be looked at by its flags', [DENIED, INVALID_PARAMETERS], 'unknown'],
    ['INVALID_PARAMETERS: the flags were looked at first, or only', [INVALID_PARAMETERS], 'unknown'],
    ['NOT_FOUND', [NOT_FOUND], 'unknown'],
    ['NOT_SUPPORTED', [NOT_SUPPORTED], 'unknown'],
    ['SUCCESS: taken from whom nothing was granted', [SUCCESS], 'not-enforced'],
    ['SUCCESS for one', [DENIED, SUCCESS, DENIED], 'not-enforced'],
    ['nothing was asked', [], 'unknown'],
  ])('%s', (_why, statuses, expected) => {
    expect(enforcementOf(statuses)).toBe(expected)
  })
})
