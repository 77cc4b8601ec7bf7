// src/firmware-link/discovery.ts: against the real platform where it can show it, else against answers written by hand.
import { describe, expect, test } from 'vitest'
import { errorText, MediatorError } from '../../src/errors.ts'
import {
  type DeclaredChannel,
  type Discovery,
  discover,
  type FirmwareRequest,
  patient,
} from '../../src/firmware-link/discovery.ts'
import { type Asked, example, extended, hex, name16 } from '../platform/ask.ts'

/** `protocol << 8 | message` of a command in hex. */
const messageOf = (command: string): number => {
  const header = Buffer.from(command, 'hex').readUInt32LE(0)
  return (((header >>> 10) & 0xff) << 8) | (header & 0xff)
}
const argumentOf = (command: string): number => Buffer.from(command, 'hex').readUInt32LE(4)
const SELF = 0xffff_ffff

/** What a firmware answers instead of the platform: hex after the header, or undefined for the platform's own answer. */
type Instead = (message: number, channel: number, command: string) => string | Error | undefined

function requestOf(asked: Asked, instead: Instead = () => undefined): FirmwareRequest {
  return async (channel, frame) => {
    const command = Buffer.from(frame).toString('hex')
    const answer = instead(messageOf(command), channel, command)
    if (answer instanceof Error) throw answer
    return Buffer.from(
      answer === undefined ? asked.raw(channel, command) : command.slice(0, 8) + answer,
      'hex',
    )
  }
}

const five: readonly DeclaredChannel[] = [1, 2, 3, 4].map(channel => ({ channel }))
const find = (
  instead?: Instead,
  channels: readonly DeclaredChannel[] = five,
  management: DeclaredChannel = { channel: 0 },
  asked: Asked = example(),
): Promise<Discovery> => discover(requestOf(asked, instead), management, channels)

const failing = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
    return 'nothing thrown'
  } catch (error) {
    return `${error instanceof MediatorError ? error.code : 'no MediatorError'}: ${errorText(error)}`
  }
}
const status = (value: number): string => hex(value)

describe('the example platform', () => {
  test('who it is and what it has', async () => {
    expect(await find()).toMatchObject({
      baseVersion: 0x2_0001,
      vendor: 'example',
      subVendor: 'r-car-h3',
      implementationVersion: 0x1_0000,
      agents: 5,
      unknownProtocols: [],
      devicePermissions: true,
      resetConfiguration: true,
      protocols: [
        { id: 0x11, version: 0x3_0001, resources: 8 },
        { id: 0x12, version: 0x2_0001, resources: 0 },
        { id: 0x13, version: 0x4_0000, resources: 3 },
        { id: 0x14, version: 0x3_0000, resources: 14 },
        { id: 0x15, version: 0x3_0001, resources: 3 },
        { id: 0x16, version: 0x3_0001, resources: 9 },
        { id: 0x17, version: 0x2_0001, resources: 4 },
      ],
    })
  })

  test('every channel says which agent it is', async () => {
    const { management, channels } = await find()
    expect(management).toEqual({ channel: 0, agentId: 1, name: 'mediator', provenance: 'discovered' })
    expect(channels).toEqual(
      [1, 2, 3, 4].map(channel => ({
        channel,
        agentId: channel + 1,
        name: `guest${channel - 1}`,
        provenance: 'discovered',
      })),
    )
  })

  test('what is declared of a channel is kept', async () => {
    const declared = { channel: 2, agentId: 3, smcId: 0x8200_0012, shmem: 0x4700_0000 }
    const { channels } = await find(undefined, [declared])
    expect(channels).toEqual([{ ...declared, name: 'guest1', provenance: 'discovered' }])
  })

  test('an untrusted management channel has no permission commands', async () => {
    const { devicePermissions, resetConfiguration } = await find(undefined, [{ channel: 2 }], { channel: 1 })
    expect([devicePermissions, resetConfiguration]).toEqual([false, false])
  })

  test.each([
    ['1.0', 0x1_0000],
    ['2.0', 0x2_0000],
  ])('Base %s: names, and nothing of later versions', async (_release, version) => {
    const asked = example(text =>
      text.replace("release: '3.2'", `release: '3.2'\nversions: { base: ${version} }`),
    )
    const declared = five.map(({ channel }) => ({ channel, agentId: channel + 1 }))
    const found = await find(undefined, declared, { channel: 0, agentId: 1 }, asked)
    expect(found.baseVersion).toBe(version)
    expect(found.devicePermissions).toBe(version >= 0x2_0000)
    // A version 1 reply has the name alone: the id is the declaration's.
    expect(found.channels[0]).toEqual({
      channel: 1,
      agentId: 2,
      name: 'guest0',
      provenance: version >= 0x2_0000 ? 'discovered' : 'declared',
    })
  })
})

test('power capping has a number of resources, pin control three, by namespace', async () => {
  const { protocols } = await find(undefined, five, { channel: 0 }, example(extended))
  expect(protocols.slice(-2)).toEqual([
    { id: 0x18, version: 0x2_0000, resources: 3 },
    { id: 0x19, version: 0x1_0000, resources: 11, namespaces: [5, 3, 3] },
  ])
})

describe('a version 1 reply has no agent id', () => {
  const v1: Instead = message => (message === 0x1000 ? hex(0, 0x1_0000) : undefined)
  const asked = () =>
    example(text => text.replace("release: '3.2'", "release: '3.2'\nversions: { base: 0x10000 }"))

  test('undeclared, it cannot be known', async () => {
    expect(await failing(find(v1, five, { channel: 0, agentId: 1 }, asked()))).toBe(
      'AGENT_MISMATCH: firmware channel 1 does not say which agent it is (SUCCESS), and no agentId is declared for it',
    )
  })
})

const refuseSelf: Instead = (message, _channel, command) =>
  message === 0x1007 && argumentOf(command) === SELF ? status(-2) : undefined

describe('a platform that does not know who asks', () => {
  test('its list is taken in the channels’ order', async () => {
    const { management, channels } = await find(refuseSelf)
    expect(management).toEqual({ channel: 0, agentId: 1, name: 'mediator', provenance: 'indexed' })
    expect(channels[3]).toEqual({ channel: 4, agentId: 5, name: 'guest3', provenance: 'indexed' })
  })

  test('a declared id is looked up, though the order says otherwise', async () => {
    const { channels } = await find(refuseSelf, [
      { channel: 1, agentId: 4 },
      { channel: 2, agentId: 2 },
    ])
    expect(channels).toEqual([
      { channel: 1, agentId: 4, name: 'guest2', provenance: 'indexed' },
      { channel: 2, agentId: 2, name: 'guest0', provenance: 'indexed' },
    ])
  })

  test('a declared id that the platform does not have', async () => {
    expect(await failing(find(refuseSelf, [{ channel: 1, agentId: 9 }]))).toBe(
      'AGENT_MISMATCH: firmware channel 1 is declared as agent 9, and the platform, which counts 5 agents, lists no such agent',
    )
  })

  test('the list is asked for on the management channel', async () => {
    const channels: number[] = []
    await find((message, channel, command) => {
      if (message === 0x1007 && argumentOf(command) !== SELF) channels.push(channel)
      return refuseSelf(message, channel, command)
    })
    expect(channels).toEqual([0, 0, 0, 0, 0])
  })

  test('a list that answers with another agent is not believed', async () => {
    const wrong: Instead = (message, _channel, command) =>
      message === 0x1007
        ? argumentOf(command) === SELF
          ? status(-2)
          : hex(0, 7) + name16('seven')
        : undefined
    const found = await find(wrong, [{ channel: 1, agentId: 2 }], { channel: 0, agentId: 1 })
    expect(found.channels).toEqual([{ channel: 1, agentId: 2, provenance: 'declared' }])
  })
})

describe('a platform without agent discovery', () => {
  const none: Instead = message =>
    message === 0x1001 ? hex(0, 7) : message === 0x1007 ? status(-1) : undefined

  test('the declaration is all there is', async () => {
    const found = await find(none, [{ channel: 1, agentId: 4 }], { channel: 0, agentId: 1 })
    expect(found.agents).toBe(0)
    expect(found.management).toEqual({ channel: 0, agentId: 1, provenance: 'declared' })
    expect(found.channels).toEqual([{ channel: 1, agentId: 4, provenance: 'declared' }])
  })

  test('without one it is an error that says what is missing', async () => {
    expect(await failing(find(none, five, { channel: 0, agentId: 1 }))).toBe(
      'AGENT_MISMATCH: firmware channel 1 does not say which agent it is (NOT_SUPPORTED), and no agentId is declared for it',
    )
  })
})

describe('what contradicts names both sides', () => {
  test.each<[string, Instead | undefined, readonly DeclaredChannel[], DeclaredChannel, string]>([
    [
      'declared otherwise than the channel says',
      undefined,
      [{ channel: 1, agentId: 3 }],
      { channel: 0 },
      'firmware channel 1 is declared as agent 3, and says it is agent 2',
    ],
    [
      'the management channel too',
      undefined,
      [],
      { channel: 0, agentId: 2 },
      'firmware channel 0 is declared as agent 2, and says it is agent 1',
    ],
    [
      'two channels that say they are the same agent',
      (message, channel, command) =>
        message === 0x1007 && argumentOf(command) === SELF && channel === 2
          ? hex(0, 2) + name16('guest0')
          : undefined,
      five,
      { channel: 0 },
      'firmware channels 1 (discovered) and 2 (discovered) have the same agentId 2',
    ],
    [
      'a guest’s channel that says it is the management agent',
      (message, channel) =>
        message === 0x1007 && channel === 1 ? hex(0, 1) + name16('mediator') : undefined,
      five,
      { channel: 0 },
      'firmware channels 0 (discovered) and 1 (discovered) have the same agentId 1',
    ],
    [
      'a channel that says it is the platform',
      (message, channel) =>
        message === 0x1007 && channel === 1 ? hex(0, 0) + name16('platform') : undefined,
      five,
      { channel: 0 },
      'firmware channel 1 says it is agent 0, which is the platform itself',
    ],
    [
      'one channel twice',
      undefined,
      [{ channel: 1 }, { channel: 1 }],
      { channel: 0 },
      'firmware channel 1 (agent 2) stands twice',
    ],
    [
      'one function id twice',
      undefined,
      [
        { channel: 1, smcId: 0x8200_0012 },
        { channel: 2, smcId: 0x8200_0012 },
      ],
      { channel: 0, smcId: 0x8200_0010 },
      'firmware channels 1 (discovered) and 2 (discovered) have the same smcId 0x82000012',
    ],
    [
      'the management channel’s function id',
      undefined,
      [{ channel: 1, smcId: 0x8200_0010 }],
      { channel: 0, smcId: 0x8200_0010 },
      'firmware channels 0 (discovered) and 1 (discovered) have the same smcId 0x82000010',
    ],
    [
      'one shared memory twice',
      undefined,
      [
        { channel: 1, shmem: 0x4700_0000 },
        { channel: 2, shmem: 0x4700_0000 },
      ],
      { channel: 0 },
      'firmware channels 1 (discovered) and 2 (discovered) have the same shmem 0x47000000',
    ],
  ])('%s', async (_why, instead, channels, management, text) => {
    expect(await failing(find(instead, channels, management))).toBe(`AGENT_MISMATCH: ${text}`)
  })
})

describe('firmware that answers badly', () => {
  test.each<[string, Instead, string]>([
    [
      'a Base version of nothing',
      message => (message === 0x1000 ? hex(0, 0) : undefined),
      'FIRMWARE_MALFORMED: firmware presents Base version 0x0, expected 1.0 or later',
    ],
    [
      'another protocol’s version of nothing',
      message => (message === 0x1400 ? hex(0, 0xffff) : undefined),
      'FIRMWARE_MALFORMED: firmware presents Clock management version 0xffff, expected 1.0 or later',
    ],
    [
      'attributes refused',
      message => (message === 0x1001 ? status(-3) : undefined),
      'FIRMWARE_REFUSED: firmware channel 0: base PROTOCOL_ATTRIBUTES: DENIED',
    ],
    [
      'a vendor that ends early',
      message => (message === 0x1003 ? hex(0, 0x6161_6161) : undefined),
      'FIRMWARE_MALFORMED: firmware channel 0: BASE_DISCOVER_VENDOR: 12 bytes end before vendor_identifier',
    ],
    [
      'attributes with something behind them',
      message => (message === 0x1401 ? hex(0, 14, 14) : undefined),
      'FIRMWARE_MALFORMED: firmware channel 0: clock PROTOCOL_ATTRIBUTES: 4 bytes too many',
    ],
    [
      'a list of protocols that is refused',
      message => (message === 0x1006 ? status(-8) : undefined),
      'FIRMWARE_REFUSED: firmware: BASE_DISCOVER_LIST_PROTOCOLS: GENERIC_ERROR',
    ],
    [
      'a list that counts more than it holds',
      message => (message === 0x1006 ? hex(0, 200, 0x14131211) : undefined),
      'FIRMWARE_MALFORMED: firmware channel 0: BASE_DISCOVER_LIST_PROTOCOLS: 16 bytes end before protocols[4]',
    ],
  ])('%s', async (_why, instead, expected) => {
    expect(await failing(find(instead))).toBe(expected)
  })

  test('another message’s answer is none', async () => {
    const asked = example()
    const request: FirmwareRequest = async () => Buffer.from(asked.raw(0, hex(0x4001)), 'hex')
    expect(await failing(discover(request, { channel: 0 }, []))).toMatch(
      /^FIRMWARE_MALFORMED: firmware channel 0: base PROTOCOL_VERSION: header 0x4001 names another message/,
    )
  })

  test('an answer of nonsense to “who am I” is no answer: the list is asked', async () => {
    const nonsense: Instead = (message, _channel, command) =>
      message === 0x1007 && argumentOf(command) === SELF ? hex(0, 1) : undefined
    expect((await find(nonsense)).channels[0]).toMatchObject({ agentId: 2, provenance: 'indexed' })
  })

  test('a list that never ends is cut at the platform’s own count', async () => {
    let asked = 0
    const endless: Instead = message => {
      if (message !== 0x1006) return undefined
      asked++
      return hex(0, 4, 0x1414_1414)
    }
    const { protocols } = await find(endless)
    expect(protocols.map(({ id }) => id)).toEqual([0x14])
    expect(asked).toBe(2) // seven protocols, four at a time
  })

  test('a list that stops early is taken as it is', async () => {
    const short: Instead = (message, _channel, command) =>
      message === 0x1006 ? (argumentOf(command) === 0 ? hex(0, 2, 0x1411) : hex(0, 0)) : undefined
    expect((await find(short)).protocols.map(({ id }) => id)).toEqual([0x11, 0x14])
  })

  test('Base in its own list, and protocols that nobody here knows, are for nobody', async () => {
    const odd: Instead = (message, _channel, command) =>
      message === 0x1006 ? (argumentOf(command) === 0 ? hex(0, 4, 0x8014_1b10) : hex(0, 0)) : undefined
    const { protocols, unknownProtocols } = await find(odd)
    expect(protocols.map(({ id }) => id)).toEqual([0x14])
    expect(unknownProtocols).toEqual([0x1b, 0x80])
  })

  test('a version newer than this program’s is used as the newest it knows', async () => {
    const newer: Instead = message => (message === 0x1400 ? hex(0, 0x7_0000) : undefined)
    expect((await find(newer)).protocols.find(({ id }) => id === 0x14)?.version).toBe(0x3_0000)
  })

  test('no sub-vendor is none', async () => {
    const { subVendor } = await find(message => (message === 0x1004 ? status(-1) : undefined))
    expect(subVendor).toBeUndefined()
  })
})

describe('silence', () => {
  const silent = new MediatorError('FIRMWARE_SILENT', 'the firmware did not answer on channel 3')

  test('of the platform', async () => {
    expect(await failing(find(() => silent))).toBe(
      'FIRMWARE_SILENT: the firmware did not answer on channel 3',
    )
  })

  test('of one channel: it is named, though it was declared', async () => {
    const instead: Instead = (_message, channel) => (channel === 3 ? silent : undefined)
    expect(await failing(find(instead, [{ channel: 3, agentId: 4 }]))).toBe(
      'FIRMWARE_SILENT: firmware channel 3: the firmware did not answer on channel 3',
    )
  })
})

test('a silent platform is asked again, a refusal is not', async () => {
  const outcomes = [
    'FIRMWARE_SILENT',
    'FIRMWARE_SILENT',
    'answer',
    'FIRMWARE_REFUSED',
    'FIRMWARE_SILENT',
    'FIRMWARE_SILENT',
    'FIRMWARE_SILENT',
  ]
  let asked = 0
  const request = patient(async () => {
    const outcome = outcomes[asked++] as string
    if (outcome !== 'answer') throw new MediatorError(outcome as 'FIRMWARE_SILENT', outcome)
    return Uint8Array.of(1)
  }, 3)
  expect(await request(0, new Uint8Array(4))).toEqual(Uint8Array.of(1))
  await expect(request(0, new Uint8Array(4))).rejects.toThrow('FIRMWARE_REFUSED')
  expect(asked).toBe(4)
  await expect(request(0, new Uint8Array(4))).rejects.toThrow('FIRMWARE_SILENT')
  expect(asked).toBe(7)
})
