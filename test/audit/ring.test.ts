import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import { ABSENT, ALLOWED, BUSY, DENIED, PLACEHOLDER, VOTE } from '../../src/audit/decision.ts'
import { type AuditProducer, AuditRingWriter } from '../../src/audit/ring.ts'
import { createAuditRing, NO_RESOURCE } from '../../src/audit/ring-layout.ts'
import { AuditRingReader, type RingRecord } from '../../src/audit/ring-reader.ts'
import { MediatorError } from '../../src/errors.ts'
import { collectionsWithin } from '../native/no-garbage.ts'

const deniedStatus = -3

function ring(slots: number, recordsPerSlot: number) {
  const shared = createAuditRing(slots, recordsPerSlot)
  const writer = new AuditRingWriter(shared)
  const reader = new AuditRingReader(shared)
  const records: RingRecord[] = []
  const lost: { slot: number; generation: number; count: number }[] = []
  const sink = {
    message: (record: RingRecord) => {
      records.push({ ...record })
    },
    lost: (slot: number, generation: number, count: number) => {
      lost.push({ slot, generation, count })
    },
  }
  return { writer, reader, producer: writer.producers[0]!, records, lost, sink }
}

/** A denial or an allowed rate of clock `resource`. */
const tell = (producer: AuditProducer, decision: number, resource: number, generation = 1) =>
  producer.append(
    0x14,
    5,
    resource,
    decision,
    decision === ALLOWED ? 0 : deniedStatus,
    7,
    3,
    generation,
    0,
    0,
    9,
  )

test('every field comes out as it went in, at the edges of its range', () => {
  const { writer, reader, producer, records, sink } = ring(3, 4)
  writer.clock[0] = 1_769_860_800_000_001
  producer.append(0xff, 0xff, NO_RESOURCE, BUSY, -128, 0x7fffffff, 65535, 2, -1, 0x80000000, -2)
  writer.producers[2]!.append(0x10, 0, 0, ALLOWED, 0, 0, 0, 0, 0, 0, 0)
  expect(reader.drain(sink)).toBe(2)
  expect(records).toEqual([
    {
      slot: 0,
      generation: 2,
      timeMicros: 1_769_860_800_000_001,
      protocol: 0xff,
      message: 0xff,
      resource: NO_RESOURCE,
      decision: BUSY,
      status: -128,
      durationMicros: 0x7fffffff,
      agentId: 65535,
      argument0: 0xffffffff,
      argument1: 0x80000000,
      rule: 0xfffffffe,
      repeated: 1,
    },
    expect.objectContaining({ slot: 2, protocol: 0x10, message: 0, resource: 0, repeated: 1 }),
  ])
})

describe('coalescing', () => {
  test.each([
    ['equal denials', [DENIED, 7], [DENIED, 7], 1],
    ['equal placeholders', [PLACEHOLDER, 7], [PLACEHOLDER, 7], 1],
    ['equal absent ones', [ABSENT, 7], [ABSENT, 7], 1],
    ['another resource', [DENIED, 7], [DENIED, 8], 2],
    ['another decision', [DENIED, 7], [BUSY, 7], 2],
    ['another tenant of the slot', [DENIED, 7, 1], [DENIED, 7, 2], 2],
    ['allowed ones, each of which had an effect', [ALLOWED, 7], [ALLOWED, 7], 2],
    ['votes, each of which had an effect', [VOTE, 7], [VOTE, 7], 2],
  ] as const)('%s', (_, first, second, expected) => {
    const { reader, producer, records, sink } = ring(1, 4)
    tell(producer, first[0], first[1], first[2])
    tell(producer, second[0], second[1], second[2])
    reader.drain(sink)
    expect(records.map(record => record.repeated)).toEqual(expected === 1 ? [2] : [1, 1])
  })

  test('a different record between them ends it', () => {
    const { reader, producer, records, sink } = ring(1, 4)
    for (const resource of [7, 7, 8, 7]) tell(producer, DENIED, resource)
    reader.drain(sink)
    expect(records.map(({ resource, repeated }) => [resource, repeated])).toEqual([
      [7, 2],
      [8, 1],
      [7, 1],
    ])
  })

  test('a record that the reader has taken is not raised any more', () => {
    const { reader, producer, records, sink } = ring(1, 4)
    tell(producer, DENIED, 7)
    reader.drain(sink)
    tell(producer, DENIED, 7)
    tell(producer, DENIED, 7)
    reader.drain(sink)
    expect(records.map(record => record.repeated)).toEqual([1, 2])
  })

  test('needs no room: a flood of one denial fits in a full share', () => {
    const { reader, producer, records, lost, sink } = ring(1, 1)
    for (let i = 0; i < 1000; i++) expect(tell(producer, DENIED, 7)).toBe(true)
    reader.drain(sink)
    expect(records.map(record => record.repeated)).toEqual([1000])
    expect(lost).toEqual([])
  })
})

describe('a full share', () => {
  test('refuses denials and counts them, for that guest alone', () => {
    const { writer, reader, producer, records, lost, sink } = ring(2, 2)
    expect([1, 2, 3, 4].map(resource => tell(producer, DENIED, resource, 5))).toEqual([
      true,
      true,
      false,
      false,
    ])
    expect(tell(writer.producers[1]!, DENIED, 1)).toBe(true)
    reader.drain(sink)
    expect(records).toHaveLength(3)
    expect(lost).toEqual([{ slot: 0, generation: 5, count: 2 }])
    expect(reader.lost(0)).toBe(2)
    reader.drain(sink)
    expect(lost, 'told once').toHaveLength(1)
  })

  test('refuses to reserve, so that nothing is forwarded unrecorded', () => {
    const { reader, producer, lost, sink } = ring(1, 4)
    expect([0, 1, 2, 3].map(() => producer.reserve(1))).toEqual([true, true, true, true])
    expect(producer.room()).toBe(0)
    expect(producer.reserve(1)).toBe(false)
    expect(tell(producer, DENIED, 1), 'reserved records are not free ones').toBe(false)
    reader.drain(sink)
    expect(lost).toEqual([{ slot: 0, generation: 1, count: 2 }])
    expect(producer.complete(0x14, 5, 7, ALLOWED, 0, 1, 3, 1, 0, 0, 9)).toBe(true)
    producer.cancel()
    expect([producer.reserved, producer.room()]).toEqual([2, 1])
  })

  test('completing without a reservation is refused when there is no room', () => {
    const { producer } = ring(1, 1)
    expect(producer.complete(0x14, 5, 7, ALLOWED, 0, 1, 3, 1, 0, 0, 9)).toBe(true)
    expect(producer.complete(0x14, 5, 7, ALLOWED, 0, 1, 3, 1, 0, 0, 9)).toBe(false)
  })
})

test('a record that the sink could not take stays, with all that it stands for', () => {
  const { reader, producer, records, sink } = ring(1, 4)
  tell(producer, DENIED, 7)
  tell(producer, DENIED, 7)
  const failing = {
    ...sink,
    message: () => {
      tell(producer, DENIED, 7) // while the reader holds the record: a new one
      throw new Error('disk full')
    },
  }
  expect(() => reader.drain(failing)).toThrow('disk full')
  tell(producer, DENIED, 7)
  reader.drain(sink)
  expect(records.map(record => record.repeated)).toEqual([2, 2])
})

test.each([
  [0, 4],
  [1.5, 4],
  [65537, 1],
  [1, 0],
  [1, 2 ** 21],
  [65536, 2 ** 20],
])('a ring of %d slots by %d records is refused', (slots, recordsPerSlot) => {
  expect(() => createAuditRing(slots, recordsPerSlot)).toThrow(MediatorError)
})

test('foreign memory is refused', () => {
  expect(() => new AuditRingReader(new SharedArrayBuffer(4096))).toThrow('not an audit ring')
})

const step = fc.oneof(
  fc.record({
    do: fc.constant('append' as const),
    decision: fc.constantFrom(ALLOWED, DENIED, PLACEHOLDER),
    resource: fc.nat(1),
  }),
  fc.record({ do: fc.constant('reserve' as const) }),
  fc.record({ do: fc.constant('complete' as const), resource: fc.nat(1) }),
  fc.record({ do: fc.constant('cancel' as const) }),
  fc.record({ do: fc.constant('drain' as const), limit: fc.integer({ min: 1, max: 4 }) }),
)

test.prop([fc.array(step, { maxLength: 60 }), fc.constantFrom(1, 2, 8)], { seed: 1, numRuns: 2000 })(
  'whatever the interleaving: every message comes out once, in order, or is counted as lost',
  (steps, capacity) => {
    const { reader, producer, records, lost, sink } = ring(1, capacity)
    const expected: string[] = []
    let refused = 0
    let reserved = 0
    for (const todo of steps) {
      if (todo.do === 'append') {
        if (tell(producer, todo.decision, todo.resource)) expected.push(`${todo.decision}/${todo.resource}`)
        else refused++
      } else if (todo.do === 'reserve') {
        if (producer.reserve(1)) reserved++
        else refused++
      } else if (todo.do === 'complete' && reserved > 0) {
        reserved--
        expect(producer.complete(0x14, 5, todo.resource, ALLOWED, 0, 7, 3, 1, 0, 0, 9)).toBe(true)
        expected.push(`${ALLOWED}/${todo.resource}`)
      } else if (todo.do === 'cancel' && reserved > 0) {
        reserved--
        producer.cancel()
      } else if (todo.do === 'drain') reader.drain(sink, todo.limit)
      expect(producer.reserved).toBe(reserved)
      expect(producer.room()).toBeGreaterThanOrEqual(0)
    }
    reader.drain(sink)
    expect(records.flatMap(r => new Array<string>(r.repeated).fill(`${r.decision}/${r.resource}`))).toEqual(
      expected,
    )
    expect(lost.reduce((sum, report) => sum + report.count, 0)).toBe(refused)
    expect(producer.room()).toBe(capacity - reserved)
  },
)

test('the counters of records may wrap, and a full share is still full', () => {
  const shared = createAuditRing(1, 4)
  const words = new Int32Array(shared)
  words[16] = words[17] = 0x7ffffffe // head and tail of slot 0, just before they turn negative
  const producer = new AuditRingWriter(shared).producers[0]!
  const reader = new AuditRingReader(shared)
  const resources: number[] = []
  let lost = 0
  const sink = {
    message: (record: RingRecord) => void resources.push(record.resource),
    lost: (_slot: number, _generation: number, count: number) => {
      lost += count
    },
  }
  for (let round = 0; round < 4; round++) {
    const took = [0, 1, 2, 3, 4].map(i => tell(producer, ALLOWED, round * 5 + i))
    expect([took, producer.room()]).toEqual([[true, true, true, true, false], 0])
    reader.drain(sink, 3)
    expect(producer.room()).toBe(3)
    reader.drain(sink)
  }
  expect(resources).toEqual([0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18])
  expect(lost).toBe(4)
})

test('ten million records, reservations and drains collect no garbage', async () => {
  const { writer, reader, producer } = ring(4, 1024)
  let taken = 0
  let checksum = 0
  const sink = {
    message: (record: RingRecord) => {
      taken += record.repeated
      checksum = (checksum + record.argument0 + record.resource) | 0
    },
    lost: () => {},
  }
  const words = new Int32Array([-1, 0x7fffffff, -0x80000000, 0]) // arguments as a guest gives them: any bits
  const run = (count: number) => {
    for (let i = 0; i < count; i++) {
      writer.clock[0] = 1.7e15 + i
      const argument = words[i & 3]! ^ i
      if ((i & 3) === 0)
        producer.append(0x14, 5, i & 31, DENIED, -3, i & 1023, 3, 1, argument, argument, i & 7)
      else if ((i & 3) === 1) producer.append(0x14, 5, 1, DENIED, -3, i & 1023, 3, 1, argument, argument, 2)
      else if ((i & 3) === 2) producer.reserve(1)
      else producer.complete(0x14, 5, i & 31, ALLOWED, 0, i & 1023, 3, 1, argument, argument, i & 7)
      if ((i & 511) === 511) reader.drain(sink)
    }
  }
  run(2e5)
  const collections = await collectionsWithin(() => run(1e7))
  reader.drain(sink)
  expect(collections).toBe(0)
  expect(taken).toBe((2e5 + 1e7) * 0.75)
  expect(checksum).not.toBe(0)
})
