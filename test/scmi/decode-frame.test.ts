// What a frame is taken for when nobody tells: direction and version, guessed from recorded traffic and hard cases.
import { describe, expect, test } from 'vitest'
import { type DecodedFrame, decodeFrame } from '../../src/scmi/decode-frame.ts'
import { goldenFrames, titleOf } from './golden-frames.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))

const decode = (hex: string, options = {}): DecodedFrame => {
  const frame = decodeFrame(bytes(hex), options)
  if (frame === undefined) throw new Error('no frame')
  return frame
}

/** Problems that speak of the reading; that a value is forbidden is true of frames that a test suite sent. */
const misread = (frame: DecodedFrame | undefined): readonly string[] | undefined =>
  frame?.problems.filter(problem => !problem.endsWith('is not valid'))

describe('direction', () => {
  const type0 = goldenFrames.filter(({ part }) => part === 'command' || part === 'response')
  test.each(type0.map(frame => [titleOf(frame), frame] as const))(
    'of %s is guessed right, and said so',
    (_, frame) => {
      const decoded = decodeFrame(frame.bytes)
      expect([decoded?.part, decoded?.guessed]).toEqual([frame.part, true])
      expect(misread(decoded)).toEqual([])
      expect(decoded?.rest).toHaveLength(0)
    },
  )

  test.each([
    ['07400000 ffffffff', 'command', 'BASE_DISCOVER_AGENT asks for itself: the id looks like NOT_SUPPORTED'],
    ['07400000 feffffff', 'response', 'INVALID_PARAMETERS: nobody has four thousand million agents'],
    ['05500000 00000000 00000000', 'command', 'neither whole, no status: a command cut short'],
    ['05500000 fdffffff 00000000', 'response', 'neither whole, but a failure'],
    ['04500000 00000000 00000000', 'command', 'clock 0 from index 0, or an empty list: who would send that'],
    ['05480000 00000000', 'response', 'SYSTEM_POWER_STATE_NOTIFY: SUCCESS, or unsubscribe'],
    ['05480000 01000000', 'command', 'SYSTEM_POWER_STATE_NOTIFY: subscribe'],
    ['10400000 00000100', 'command', 'NEGOTIATE_PROTOCOL_VERSION: 1.0'],
    ['10400000 ffffffff', 'response', 'NEGOTIATE_PROTOCOL_VERSION: NOT_SUPPORTED'],
    ['20500000 fcffffff', 'response', 'a message that nobody has, NOT_FOUND'],
    ['20500000 04000000', 'command', 'a message that nobody has'],
    ['00640000 ffffffff', 'response', 'a protocol that nobody has, NOT_SUPPORTED'],
    ['00680000', 'command', 'a protocol that nobody has'],
  ])('%s is a %s: %s', (hex, part, _why: string) => {
    expect(decode(hex).part).toBe(part)
  })

  test('is not guessed where it is told', () => {
    const told = decode('05480000 00000000', { direction: 'command' })
    expect([told.part, told.guessed, told.value]).toEqual([
      'command',
      undefined,
      { notify_enable: { enable: 0 } },
    ])
  })
})

describe('version', () => {
  test.each([
    ['07500000 01000000 01000000', 0x2_ffff, 'CLOCK_CONFIG_SET of 8 bytes is older than version 3'],
    ['07500000 01000000 01000000 00000000', 0x3_0000, 'of 12 bytes it is version 3'],
    ['134c0000', 0x4_0000, 'a message that nobody has: the newest'],
    ['045c0100', 0x2_0001, 'a message that never changed: the newest'],
    ['00490000 01000000 00000000 02000000', undefined, 'type 1 has no form'],
  ])('of %s is 0x%x: %s', (hex, version, _why: string) => {
    const decoded = decode(hex)
    if (decoded.name === undefined) expect(decoded.version).toBeUndefined()
    else if (decoded.part !== 'reserved') expect(decoded.version).toBe(version)
  })

  test.each(goldenFrames.map(frame => [titleOf(frame), frame] as const))(
    'of %s need not be told',
    (_, frame) => {
      const decoded = decodeFrame(frame.bytes)
      expect([decoded?.name, decoded?.part, misread(decoded)]).toEqual([frame.message, frame.part, []])
      expect(decoded?.rest).toHaveLength(0)
      if (frame.part !== 'command') expect(decoded?.status).toBe(frame.status)
    },
  )

  test('that is told is kept to, even where the frame fits another', () => {
    const told = decode('07500000 01000000 01000000', { version: () => 0x3_0000 })
    expect([told.version, told.problems]).toEqual([0x3_0000, ['ends before extended_config_val']])
  })

  test('that does not have the message is said', () => {
    expect(decode('0f500000 01000000', { version: () => 0x1_0000 }).problems).toEqual(['not in version 1.0'])
    expect(decode('0f500000 01000000', { version: () => undefined }).problems).toEqual([])
  })

  test('is asked for the protocol of the frame, and only if the schema knows it', () => {
    const asked: number[] = []
    const version = (protocolId: number) => {
      asked.push(protocolId)
      return 0x1_0000
    }
    for (const hex of ['06500000 01000000', '00680000']) decodeFrame(bytes(hex), { version })
    expect(asked).toEqual([0x14])
  })
})

describe('what is wrong', () => {
  test.each<[string, 'command' | 'response', readonly string[], string]>([
    [
      '05500000 f1000000 01000000 0200000000000000',
      'command',
      ['flags has reserved bits 0xf0'],
      'reserved flags',
    ],
    ['07500000 01000000 03000000 00000000', 'command', ['attributes 0x3 is not valid'], 'a forbidden value'],
    [
      '03500000 00000000 04000000 610000000000000000000000 00000000 00000000',
      'response',
      ['attributes has reserved bits 0x4'],
      'reserved bits in a response',
    ],
    [
      '04440000 00000000 02000000 00000080',
      'command',
      ['power_state 0x80000000 is not valid'],
      'a reserved state',
    ],
    ['05440000 00000000 00000080', 'response', [], 'the platform answers what it likes'],
    ['06500010 01000000', 'command', ['header has reserved bits'], 'bits 31:28 of the header'],
    ['05500000 00000000', 'command', ['ends before clock_id'], 'cut short'],
    ['06500000', 'response', ['ends before status'], 'not even a status'],
    [
      '04500000 00000000 03000000 0100000000000000 02000000',
      'response',
      ['ends before rates[1]'],
      'fewer entries than told',
    ],
  ])('%s as a %s: %j, %s', (hex, direction, problems, _why) => {
    expect(decode(hex, { direction }).problems).toEqual(problems)
  })

  test('bytes that no field accounts for are kept', () => {
    const frame = decode('06500000 01000000 aabbcc', { direction: 'command' })
    expect([frame.value, Buffer.from(frame.rest).toString('hex')]).toEqual([{ clock_id: 1 }, 'aabbcc'])
  })

  test('bytes behind the entries that are told are kept', () => {
    const frame = decode('04500000 00000000 01000000 0100000000000000 0200000000000000', {
      direction: 'response',
    })
    expect([frame.entries, frame.rest.length]).toEqual([[{ rate: 1n }], 8])
  })

  test('what stands behind a failure is kept, and not read', () => {
    const frame = decode('06500000 fcffffff 0100000000000000', { direction: 'response' })
    expect([frame.status, frame.value, frame.rest.length]).toEqual([-4, {}, 8])
  })
})

describe('frames of every type', () => {
  test.each([
    ['05520000 00000000 07000000 0200000000000000', 'delayed', 'CLOCK_RATE_SET', { clock_id: 7, rate: 2n }],
    ['06520000 00000000', 'delayed', 'CLOCK_RATE_GET', {}],
    ['20520000 00000000', 'delayed', undefined, undefined],
    [
      '00530000 01000000 02000000 0300000000000000',
      'notification',
      'CLOCK_RATE_CHANGED',
      { agent_id: 1, clock_id: 2, rate: 3n },
    ],
    ['09530000 01000000', 'notification', undefined, undefined],
    ['00670200 01000000', 'notification', undefined, undefined],
    ['05510000 01000000', 'reserved', 'CLOCK_RATE_SET', {}],
    ['00690000 01000000', 'reserved', undefined, undefined],
  ])('%s is %s %s', (hex, part, name, value) => {
    const frame = decode(hex)
    expect([frame.part, frame.name, frame.value]).toEqual([part, name, value])
    if (name === undefined || part === 'reserved')
      expect(frame.rest.length).toBeGreaterThanOrEqual(part === 'delayed' ? 0 : 4)
  })

  test('a delayed response of a message that has none is a problem', () => {
    expect(decode('06520000 00000000').problems).toEqual(['has no delayed response'])
    expect(decode('075e0000 00000000', { version: () => 0x1_0000 }).problems).toEqual([
      'has no delayed response',
    ])
    expect(decode('075e0000 00000000 01000000 02000000').problems).toEqual([])
  })

  test('fewer bytes than a header are none', () => {
    for (const hex of ['', '05', '0550', '055000']) expect(decodeFrame(bytes(hex))).toBeUndefined()
  })
})
