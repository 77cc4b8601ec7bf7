// src/mediator/rewrite.ts: what is cleared in answers of a firmware that tells too much. The frames are written by hand.
import { afterAll, describe, expect, test } from 'vitest'
import type { FirmwareHandler, FirmwareLink } from '../../src/firmware-link/firmware-link.ts'
import type { Transfer } from '../../src/transfer.ts'
import { Machine } from './machine.ts'

const COMMS_ERROR = -7

/** A firmware that answers each message with what a test laid down. */
class CannedLink implements FirmwareLink {
  readonly kind = 'canned'
  readonly channels = 5
  readonly maxMessageBytes = 128
  readonly asked: number[] = []
  readonly answers: Map<number, readonly number[]>
  #handler: FirmwareHandler | undefined

  constructor(answers = new Map<number, readonly number[]>()) {
    this.answers = answers
  }

  open(handler: FirmwareHandler): void {
    this.#handler = handler
  }

  send(_channel: number, transfer: Transfer): boolean {
    const header = transfer.words[0] as number
    const message = (((header >>> 10) & 0xff) << 8) | (header & 0xff)
    this.asked.push(message)
    const words = this.answers.get(message) ?? [-1]
    for (const [i, word] of words.entries()) transfer.words[1 + i] = word >>> 0
    transfer.length = 4 + words.length * 4
    transfer.words[0] = transfer.header >>> 0
    this.#handler?.complete(transfer)
    return true
  }

  expire(): void {}
  close(): void {}
}

const canned = new CannedLink()
const machine = new Machine({ firmware: () => canned })
const guest = machine.guest([2, 5]) // sensor 0, clocks 3, 4, 8, power 2, 4, performance 0, voltage 0, 1, reset 2, 5
const oldSensors = new Machine({
  firmware: () => new CannedLink(canned.answers),
  versions: [[0x15, 0x1_0000]],
})
const oldGuest = oldSensors.guest([5])
afterAll(() => {
  machine.stop()
  oldSensors.stop()
})

const name16 = (text: string): number[] => {
  const bytes = Buffer.alloc(16)
  bytes.write(text)
  return [0, 4, 8, 12].map(at => bytes.readUInt32LE(at))
}

/** Message, payload, the firmware's words after the header, those that the guest is to get. */
describe('cleared', () => {
  test.each<[string, number, number[], number[], number[]]>([
    ['power: the statistics area', 0x1101, [], [0, 8, 0x8000_1000, 0x2, 0x400], [0, 8, 0, 0, 0]],
    [
      'performance: the statistics area; the unit stays',
      0x1301,
      [],
      [0, 0x1_0002, 0xffff_f000, 1, 64],
      [0, 0x1_0002, 0, 0, 0],
    ],
    [
      'sensor: the register area, and the count of delayed readings',
      0x1501,
      [],
      [0, 0x0405_0003, 0x1000, 0, 8],
      [0, 0x0400_0003, 0, 0, 0],
    ],
    ['clock: the count of delayed rates', 0x1401, [], [0, 0x00ff_000e], [0, 0xe]],
    ['performance: fast channels of a message', 0x1302, [7], [0, 1], [0, 0]],
    [
      'performance: fast channels and notifications of a domain',
      0x1303,
      [0],
      [0, 0xff00_0000, 5, 6, 7, ...name16('gpu')],
      [0, 0xc700_0000, 5, 6, 7, ...name16('gpu')],
    ],
    [
      'power: notifications and asynchronous states',
      0x1103,
      [2],
      [0, 0xf800_0000, ...name16('sdhi')],
      [0, 0x2800_0000, ...name16('sdhi')],
    ],
    [
      'clock: notifications',
      0x1403,
      [3],
      [0, 0xf800_0003, ...name16('sd0'), 40],
      [0, 0x3800_0003, ...name16('sd0'), 40],
    ],
    [
      'reset: notifications and asynchronous resets',
      0x1603,
      [2],
      [0, 0xe000_0000, 35, ...name16('sd0')],
      [0, 0x2000_0000, 35, ...name16('sd0')],
    ],
    [
      'voltage: asynchronous levels',
      0x1703,
      [0],
      [0, 0xc000_0000, ...name16('vcc')],
      [0, 0x4000_0000, ...name16('vcc')],
    ],
    [
      'nothing of a reading',
      0x1506,
      [0, 0],
      [0, 0xffff_ffff, 0xffff_ffff, 1, 2],
      [0, 0xffff_ffff, 0xffff_ffff, 1, 2],
    ],
  ])('%s', (_name, message, payload, answer, expected) => {
    canned.answers.set(message, answer)
    expect(guest.words(message, ...payload)).toEqual(expected)
    expect(guest.faults).toEqual([])
  })
})

test('nothing behind an error status is shown', () => {
  canned.answers.set(0x1101, [-3, 8, 0x8000_1000, 2, 0x400])
  expect(guest.words(0x1101)).toEqual([-3])
  expect(guest.faults).toEqual([])
})

test('a status above 0, which the standard does not have, is an error too', () => {
  canned.answers.set(0x1101, [5, 8, 0x8000_1000, 2, 0x400])
  const before = machine.counters(0)
  expect(guest.words(0x1101)).toEqual([5])
  expect(machine.counters(0)[3]).toBe(before[3] + 1)
})

test.each([0, 1, 40])('DESCRIBE_FASTCHANNEL of domain %i is never forwarded', domain => {
  canned.answers.set(0x130b, [0, 0, 0, 0x1000, 0, 8, 0, 0, 0, 0, 0, 0])
  canned.asked.length = 0
  expect(guest.status(0x130b, domain, 5)).toBe(domain === 40 ? -4 : -1)
  expect(canned.asked).toEqual([])
})

test.each([
  [0x1302, 0xb, 'a fast channel'],
  [0x1402, 0x9, 'a subscription'],
  [0x1402, 0xff, 'nothing'],
  [0x1402, 0x105, 'nothing: 8 bits are all there are'],
  [0x1202, 0x5, 'a protocol not held'],
])('MESSAGE_ATTRIBUTES %i of %i is answered here: %s', (message, id) => {
  canned.answers.set(message, [0, 1])
  canned.asked.length = 0
  expect(guest.status(message, id)).toBe(message === 0x1202 ? -3 : -4)
  expect(canned.asked).toEqual([])
})

describe('the list of sensors', () => {
  const plain = (id: number, low = 0, high = 0x2): number[] => [id, low, high, ...name16(`sensor${id}`)]
  const scalar = (id: number, low = 0): number[] => [...plain(id, low | 0x100), 7, 8, 1, 2, 3, 4]
  const axes = (id: number, low = 0): number[] => [...plain(id, low | 0x100, 0x2_0102), 7]
  const other28 = (id: number): number[] => [id, 0, 0, ...name16(`unused-s${id}`)]
  const other52 = (id: number): number[] => [id, 0x100, 0, ...name16(`unused-s${id}`), 0, 0, 0, 0, 0, 0]
  const P2A = 0xc000_0000
  const listed = (count: number, remaining: number, ...words: number[]) => [
    0,
    count | (remaining << 16),
    ...words,
  ]

  test.each<[string, number[], number[]]>([
    ['none', listed(0, 0), listed(0, 0)],
    [
      'its own, 52 bytes: what promises a message back is cleared',
      listed(1, 2, ...scalar(0, P2A | 3)),
      listed(1, 2, ...scalar(0, 3)),
    ],
    ['its own, 28 bytes', listed(1, 0, ...plain(0, P2A | 3)), listed(1, 0, ...plain(0, 3))],
    ['its own, 32 bytes', listed(1, 0, ...axes(0, P2A | 3)), listed(1, 0, ...axes(0, 3))],
    ['another’s, 52 bytes', listed(1, 0, ...scalar(1, P2A | 3)), listed(1, 0, ...other52(1))],
    ['another’s, 28 bytes', listed(1, 0, ...plain(1, P2A | 3)), listed(1, 0, ...other28(1))],
    ['another’s, 32 bytes, becomes 28', listed(1, 0, ...axes(1, P2A | 3)), listed(1, 0, ...other28(1))],
    [
      'its own between others',
      listed(3, 9, ...plain(1), ...plain(0, 5), ...plain(2)),
      listed(3, 9, ...other28(1), ...plain(0, 5), ...other28(2)),
    ],
    [
      'its own after one that shrinks',
      listed(2, 0, ...axes(2), ...scalar(0, 1)),
      listed(2, 0, ...other28(2), ...scalar(0, 1)),
    ],
    [
      'others after its own',
      listed(3, 0, ...plain(0), ...axes(1), ...plain(2)),
      listed(3, 0, ...plain(0), ...other28(1), ...other28(2)),
    ],
    [
      'axes counted, but not supported: 52 bytes',
      listed(1, 0, ...plain(1, 0x100, 0x2_0002), 7, 8, 1, 2, 3, 4),
      listed(1, 0, ...other52(1)),
    ],
    [
      'axes supported, none counted: 52 bytes',
      listed(1, 0, ...plain(1, 0x100, 0x102), 7, 8, 1, 2, 3, 4),
      listed(1, 0, ...other52(1)),
    ],
    [
      'an id that no bitmap reaches',
      listed(1, 0, ...plain(0xffff_ffff)),
      listed(1, 0, 0xffff_ffff, 0, 0, ...name16('unused-s967295')),
    ],
  ])('%s', (_name, answer, expected) => {
    canned.answers.set(0x1503, answer)
    expect(guest.words(0x1503, 0)).toEqual(expected.map(word => word >>> 0))
    expect(guest.faults).toEqual([])
  })

  test('version 1: 28 bytes each, the async bit is cleared', () => {
    canned.answers.set(
      0x1503,
      listed(2, 0, ...plain(0, 0x8000_0002, 0xe802), ...plain(1, 0x8000_0002, 0xe802)),
    )
    expect(oldGuest.words(0x1503, 0)).toEqual(listed(2, 0, ...plain(0, 2, 0xe802), ...other28(1)))
  })

  test.each<[string, number[]]>([
    ['a count without descriptors', listed(1, 0)],
    ['a count beyond the descriptors', listed(3, 0, ...plain(1), ...plain(0))],
    ['a descriptor that ends early', listed(1, 0, ...plain(1).slice(0, 6))],
    ['an extended descriptor that ends early', listed(1, 0, ...plain(0, 0x100), 7, 8)],
    ['an axis descriptor that ends early', listed(2, 0, ...plain(1), ...plain(0, 0x100, 0x2_0102))],
    ['descriptors beyond the count', listed(1, 0, ...plain(1), ...plain(2))],
    ['a count of 4095', listed(4095, 0, ...plain(1))],
  ])('%s: not to be told from another’s sensor, so COMMS_ERROR', (_name, answer) => {
    canned.answers.set(0x1503, answer)
    expect(guest.words(0x1503, 0)).toEqual([COMMS_ERROR])
    expect(guest.faults).toEqual([])
  })
})

describe('a shared resource shows each holder its own request', () => {
  const shared = new Machine({ firmware: () => new CannedLink(canned.answers), hostDevices: [] })
  const first = shared.guest([2])
  const second = shared.guest([3])
  const alone = shared.guest([0])
  afterAll(() => shared.stop())

  test('OFF at first, whatever the firmware says; the truth to one who is alone', () => {
    canned.answers.set(0x1105, [0, 0])
    expect(first.words(0x1105, 2)).toEqual([0, 0x4000_0000])
    expect(alone.words(0x1105, 0)).toEqual([0, 0])
    canned.answers.set(0x1105, [0, 0x1234])
    expect(alone.words(0x1105, 0)).toEqual([0, 0x1234])
  })

  test('ON after SUCCESS, though the firmware shows OFF', () => {
    canned.answers.set(0x1104, [0])
    canned.answers.set(0x1105, [0, 0x4000_0000])
    expect(first.words(0x1104, 0, 2, 0)).toEqual([0])
    expect(first.words(0x1105, 2)).toEqual([0, 0])
    expect(second.words(0x1105, 2)).toEqual([0, 0x4000_0000])
  })

  test('an error is an error', () => {
    canned.answers.set(0x1105, [-9])
    expect(first.words(0x1105, 2)).toEqual([-9])
  })
})
