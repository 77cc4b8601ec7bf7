// The log of what is under way against bytes laid out by hand after the vhost-user standard's "Inflight I/O tracking":
// struct QueueRegionSplit { u64 features; u16 version, desc_num, last_batch_head, used_idx; DescStateSplit desc[]; } with
// struct DescStateSplit { u8 inflight; u8 padding[5]; u16 next; u64 counter; }.
import { describe, expect, test } from 'vitest'
import { InflightLog, inflightBytes } from '../../src/virtio/inflight.ts'

const size = 4
const hex = (buffer: ArrayBuffer) =>
  (Buffer.from(buffer).toString('hex').match(/.{32}/g) ?? []).slice(0, 1 + size)
const fresh = (): { buffer: ArrayBuffer; log: InflightLog } => {
  const buffer = new ArrayBuffer(inflightBytes(size))
  const log = new InflightLog(buffer, 0, size)
  log.reset(7)
  return { buffer, log }
}

describe('the layout', () => {
  test('of a log of four entries takes 128 bytes: 16 for the header, 16 each, rounded up to 64', () => {
    expect(inflightBytes(size)).toBe(128)
  })

  test('follows a command from its fetch to its return', () => {
    const { buffer, log } = fresh()
    const empty = '00000000000000000000000000000000'
    expect(hex(buffer)).toEqual([
      '0000000000000000' + '0100' + '0400' + '0000' + '0700',
      empty,
      empty,
      empty,
      empty,
    ])
    log.begin(2)
    log.begin(1)
    expect(hex(buffer).slice(2, 4)).toEqual([
      '01' + '0000000000' + '0000' + '0200000000000000',
      '01' + '0000000000' + '0000' + '0100000000000000',
    ])
    log.done(1) // next = the former last_batch_head, last_batch_head = 1
    log.done(2)
    expect(hex(buffer)[0]).toBe('0000000000000000' + '0100' + '0400' + '0200' + '0700')
    expect(hex(buffer)[3]).toBe('01' + '0000000000' + '0100' + '0100000000000000')
    log.shown(9)
    expect(hex(buffer)[0]).toBe('0000000000000000' + '0100' + '0400' + '0200' + '0900')
    expect(
      hex(buffer)
        .slice(2, 4)
        .map(entry => entry.slice(0, 2)),
    ).toEqual(['00', '00'])
  })
})

describe('what a successor finds', () => {
  test('is what was taken and not shown, in the order it was taken', () => {
    const { buffer, log } = fresh()
    for (const head of [3, 0, 2]) log.begin(head)
    log.done(0)
    log.shown(8)
    expect(new InflightLog(buffer, 0, size).recover(8)).toEqual([3, 2])
  })

  test('is in the order of counters that another back end has counted beyond 2^32', () => {
    const { buffer, log } = fresh()
    for (const head of [3, 0, 2, 1]) log.begin(head)
    const words = new DataView(buffer)
    for (const [head, counter] of [0x1_0000_0001n, 0xffff_ffffn, 0x1_0000_0000n, 5n].entries())
      words.setBigUint64(16 + head * 16 + 8, counter, true)
    expect(new InflightLog(buffer, 0, size).recover(7)).toEqual([3, 1, 2, 0])
    expect(hex(buffer)[2]).toBe('01' + '0000000000' + '0000' + '0200000000000000')
  })

  test('does not hold what the driver was shown just before the end', () => {
    const { buffer, log } = fresh()
    for (const head of [3, 0, 2]) log.begin(head)
    log.done(0)
    log.done(3) // the used index went to 9, and the end came before `shown`
    expect(new InflightLog(buffer, 0, size).recover(9)).toEqual([2])
  })

  test('holds what was in the used ring, but not shown', () => {
    const { buffer, log } = fresh()
    log.begin(3)
    log.done(3)
    expect(new InflightLog(buffer, 0, size).recover(7)).toEqual([3])
  })

  test.each<[string, (bytes: DataView) => void, number]>([
    ['of another version', bytes => bytes.setUint16(8, 2, true), 7],
    ['of another size', bytes => bytes.setUint16(10, 8, true), 7],
    ['that is further behind than the ring is long', () => {}, 12],
    ['whose last batch leads nowhere', bytes => bytes.setUint16(12, 9, true), 8],
  ])('is nothing in a log %s', (_what, change, used) => {
    const { buffer, log } = fresh()
    log.begin(1)
    change(new DataView(buffer))
    expect(new InflightLog(buffer, 0, size).recover(used)).toBeUndefined()
  })
})
