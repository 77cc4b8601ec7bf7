// The line of text: what it says, that nothing a guest sends can break out of it, and that no bytes bring it down.
import { describe, expect, test } from 'vitest'
import { describe as text } from '../../src/scmi/describe.ts'
import { goldenFrames } from './golden-frames.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))

describe('text', () => {
  test.each([
    ['', {}, 'no frame: 0 bytes, a header has 4'],
    ['0550', {}, 'no frame: 2 bytes, a header has 4: 0550'],
    ['00500000', {}, 'clock PROTOCOL_VERSION command (by its length), token 0'],
    ['00500000', { direction: 'command' }, 'clock PROTOCOL_VERSION command, token 0'],
    ['06500c00 fdffffff', { direction: 'response' }, 'clock CLOCK_RATE_GET response, token 3: DENIED (-3)'],
    ['06500c00 7fffffff', { direction: 'response' }, 'clock CLOCK_RATE_GET response, token 3: VENDOR(-129)'],
    [
      '04500000 00000000 03100000 0100000000000000 0200000000000000 0300000000000000',
      {},
      'clock CLOCK_DESCRIBE_RATES response (by its length), token 0: SUCCESS (0) num_rates_flags={returned=3 triplet=1} rates=[1, 2, 3]',
    ],
    [
      '05500000 01000000 07000000 00',
      { direction: 'command' },
      'clock CLOCK_RATE_SET command, token 0: flags={async=1} clock_id=7 1 more bytes 00 [ends before rate]',
    ],
    [
      '03500000 01000000 6162',
      { direction: 'command' },
      'clock CLOCK_ATTRIBUTES command, token 0: clock_id=1 2 more bytes 6162',
    ],
    ['12500000 01000000', {}, 'clock message 0x12 command (by its length), token 0: 4 more bytes 01000000'],
    ['00640200', {}, 'protocol 0x99 message 0x0 command (by its length), token 0'],
    ['00670200 01', {}, 'protocol 0x99 notification 0x0 notification, token 0: 1 more bytes 01'],
    ['05510000', {}, 'clock CLOCK_RATE_SET message of reserved type 1, token 0'],
    [
      '00430000 02000000 01000080 041c0400 fdffffff',
      {},
      'base BASE_ERROR_EVENT notification, token 0: agent_id=2 error_status={reports=1 fatal=1} reports=[(header=0x41c04 status=DENIED)]',
    ],
    [
      '05440000 00000000 00000040',
      {},
      'power POWER_STATE_GET response (by its length), token 0: SUCCESS (0) power_state=0x40000000',
    ],
  ] as const)('of %s with %j is %s', (hex, options, line) => {
    expect(text(bytes(hex), options)).toBe(line)
  })

  test('of a name keeps to printable characters', () => {
    const hostile = '1b5b324a 9b31 0a 22 5c c3 7f 41 0041'.replaceAll(' ', '').padEnd(32, '0')
    expect(text(bytes(`03500000 00000000 00000000 ${hostile}`), { version: () => 0x1_0000 })).toBe(
      'clock CLOCK_ATTRIBUTES response (by its length), token 0: SUCCESS (0) attributes=0 ' +
        'name="\\x1b[2J\\x9b1\\x0a\\x22\\x5c\\xc3\\x7fA"',
    )
  })

  test('of a long list and of many bytes behind a frame is cut, and says so', () => {
    const rates = `04500000 00000000 ff0f0000 ${'0100000000000000'.repeat(0xfff)} ${'ab'.repeat(1000)}`
    const line = text(bytes(rates), { direction: 'response' })
    expect(line).toMatch(/rates=\[(1, ){32}… 4063 more\] 1000 more bytes (ab){64}…$/)
  })
})

/** Marsaglia's xorshift: the same frames on every run, without fast-check's bookkeeping for each. */
function random(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** A golden frame with a few bytes changed, cut or appended; or noise behind a header that names something. */
function hostileFrame(next: (below: number) => number): Uint8Array {
  if (next(4) === 0) {
    const frame = Uint8Array.from({ length: next(140) }, () => next(256))
    if (frame.length > 1 && next(2) === 0) {
      frame[0] = next(0x12)
      frame[1] = 0x40 + next(0x24)
    }
    return frame
  }
  const golden = goldenFrames[next(goldenFrames.length)] as (typeof goldenFrames)[number]
  const frame = new Uint8Array(Math.max(0, golden.bytes.length + next(24) - 12))
  frame.set(golden.bytes.subarray(0, frame.length))
  for (let changes = next(6); changes > 0 && frame.length > 0; changes--)
    frame[next(frame.length)] = next(256)
  return frame
}

const versions = [undefined, 0, 0x1_0000, 0x2_0000, 0x2_0001, 0x3_0000, 0x4_0000, 0xffff_ffff]
const directions = [{}, { direction: 'command' }, { direction: 'response' }] as const

describe('any bytes', () => {
  test('100000 random and mutated frames: one printable line of bounded length, nothing thrown', () => {
    const next = random(1)
    for (let run = 0; run < 100_000; run++) {
      const frame = hostileFrame(next)
      const version = versions[next(versions.length)]
      const line = text(frame, { version: () => version, ...directions[next(3)] })
      if (!/^[ -~…]+$/.test(line) || line.length > 12_000)
        throw new Error(`${Buffer.from(frame).toString('hex')} gives ${JSON.stringify(line)}`)
    }
  })

  test('a frame of 64 KiB of entries ends quickly', () => {
    const head = bytes('06400000 00000000 ffffffff')
    const frame = new Uint8Array(1 << 16)
    frame.set(head)
    expect(text(frame, { direction: 'response' }).length).toBeLessThan(1000)
  })
})
