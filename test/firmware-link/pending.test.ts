// src/firmware-link/pending.ts: which frames from a platform are believed, and what becomes of the rest.
import { fc, test as property } from '@fast-check/vitest'
import { beforeEach, describe, expect, test } from 'vitest'
import { Pending } from '../../src/firmware-link/pending.ts'
import { Transfer } from '../../src/transfer.ts'

const RATE_GET = 0x5006
const timeout = 30_000
const quarantine = 60_000_000
const [COMMS_ERROR] = [-7]

const tokenOf = (word: number): number => (word >>> 18) & 0x3ff
let pending: Pending
beforeEach(() => {
  pending = new Pending({ channels: 2, timeoutMs: 30, quarantineSeconds: 60 })
})

/** A command as an agent sent it, with a token of its own. */
function command(header: number, ...payload: number[]): Transfer {
  const transfer = new Transfer(new ArrayBuffer(128), 0, 128)
  transfer.words.set([header, ...payload])
  transfer.header = header
  transfer.length = 4 + 4 * payload.length
  return transfer
}

/** A frame as a platform sent it. */
function frame(...words: number[]) {
  const memory = Uint32Array.from(words, w => w >>> 0)
  return { words: memory, ints: new Int32Array(memory.buffer) }
}
const accept = (channel: number, ...words: number[]) =>
  pending.accept(channel, frame(...words), words.length * 4)

test('a command gets a token of ours, and its answer the agent’s header back', () => {
  const transfer = command(RATE_GET | (0x2aa << 18), 3)
  const word = pending.begin(0, transfer, 0)
  expect(word & 0x3_ffff).toBe(RATE_GET)
  expect(tokenOf(word)).not.toBe(0x2aa)
  expect(transfer.words[0], 'the agent’s frame is not touched').toBe(RATE_GET | (0x2aa << 18))
  expect(accept(0, word, 0, 1000, 0)).toBe(transfer)
  expect(transfer.length).toBe(16)
  expect([...transfer.words.subarray(0, 4)]).toEqual([RATE_GET | (0x2aa << 18), 0, 1000, 0])
  expect(pending.inFlight(0)).toBe(0)
  expect(pending.counters).toEqual({ expired: 0, late: 0, unknown: 0, malformed: 0, forsaken: 0 })
})

describe('is not the answer, and is dropped', () => {
  test.each<[string, (word: number) => [number, number[]]]>([
    ['another token', word => [0, [word + (1 << 18), 0, 0, 0]]],
    ['another message', word => [0, [word + 1, 0, 0, 0]]],
    ['another protocol', word => [0, [word + 0x400, 0, 0, 0]]],
    ['a delayed response', word => [0, [word | 0x200, 0, 0, 0]]],
    ['a notification', word => [0, [word | 0x300, 0, 0, 0]]],
    ['the reserved type', word => [0, [word | 0x100, 0, 0, 0]]],
    ['reserved header bits', word => [0, [word | 0x8000_0000, 0, 0, 0]]],
    ['the other channel', word => [1, [word, 0, 0, 0]]],
    ['a channel that is not there', word => [2, [word, 0, 0, 0]]],
    ['a negative channel', word => [-1, [word, 0, 0, 0]]],
    ['nothing', () => [0, []]],
  ])('%s', (_what, answer) => {
    const transfer = command(RATE_GET, 3)
    const word = pending.begin(0, transfer, 0)
    const [channel, words] = answer(word)
    expect(accept(channel, ...words)).toBeUndefined()
    expect(pending.counters.unknown).toBe(1)
    expect(pending.inFlight(0), 'still awaited').toBe(1)
    expect(accept(0, word, 0, 1, 0)).toBe(transfer)
    expect(accept(0, word, 0, 2, 0), 'a duplicate').toBeUndefined()
    expect(pending.counters.unknown).toBe(2)
    expect(transfer.words[2]).toBe(1)
  })
})

describe('matches, but is no answer: COMMS_ERROR', () => {
  test.each<[string, number[]]>([
    ['a success that is too short', [0, 1]],
    ['a success that is too long', [0, 1, 0, 0]],
    ['a success of the status alone', [0]],
    ['no status', []],
    ['a status above zero', [1, 1, 0]],
  ])('%s', (_what, words) => {
    const transfer = command(RATE_GET, 3)
    const word = pending.begin(0, transfer, 0)
    expect(accept(0, word, ...words)).toBe(transfer)
    expect([transfer.length, transfer.words[0], transfer.ints[1]]).toEqual([8, RATE_GET, COMMS_ERROR])
    expect(pending.counters.malformed).toBe(1)
    expect(pending.inFlight(0)).toBe(0)
  })

  test('a success beyond what the agent’s frame can hold', () => {
    const transfer = command(0x5404, 0)
    const word = pending.begin(0, transfer, 0)
    const long = [word, 0, 6, ...new Array<number>(6 * 13).fill(0)]
    transfer.words[0] = 0x5403
    pending.abandon(0, word)
    const list = command(0x5403, 0)
    const listWord = pending.begin(0, list, 0)
    long[0] = listWord
    expect(accept(0, ...long)).toBe(list)
    expect(list.ints[1]).toBe(COMMS_ERROR)
  })

  test('a length that claims more than the frame has', () => {
    const transfer = command(0x5403, 0)
    const word = pending.begin(0, transfer, 0)
    expect(pending.accept(0, frame(word, 0, 1), 12 + 52)).toBe(transfer)
    expect(transfer.ints[1]).toBe(COMMS_ERROR)
  })
})

test('an error status stands alone; what follows it is cut', () => {
  const transfer = command(RATE_GET, 3)
  const word = pending.begin(0, transfer, 0)
  expect(accept(0, word, -3, 0xdead, 0xbeef)).toBe(transfer)
  expect([transfer.length, transfer.ints[1]]).toEqual([8, -3])
  expect(transfer.words[2]).not.toBe(0xdead)
  expect(pending.counters.malformed).toBe(0)
})

describe('lengths follow the version in force', () => {
  const ATTRIBUTES = 0x5003
  const answers = (channel: number, bytes: number): number => {
    const transfer = command(ATTRIBUTES, 0)
    const word = pending.begin(channel, transfer, 0)
    pending.accept(channel, frame(word, ...new Array<number>(bytes / 4 - 1).fill(0)), bytes)
    return transfer.ints[1] as number
  }
  const ask = (channel: number, header: number, payload: number[], ...body: number[]) =>
    accept(channel, pending.begin(channel, command(header, ...payload), 0), 0, ...body)

  test('any, while none is known', () => {
    expect([answers(0, 28), answers(0, 32), answers(0, 36)]).toEqual([0, 0, COMMS_ERROR])
  })

  test('the one that PROTOCOL_VERSION told, on every channel', () => {
    ask(0, 0x5000, [], 0x1_0000)
    expect([answers(0, 28), answers(1, 28), answers(0, 32)]).toEqual([0, 0, COMMS_ERROR])
    ask(0, 0x5000, [], 0x3_0000)
    expect([answers(0, 28), answers(1, 32)]).toEqual([COMMS_ERROR, 0])
    ask(0, 0x5000, [], 0x7_0000)
    expect(answers(0, 32), 'newer than known: as the newest known').toBe(0)
  })

  test('the one negotiated on the channel, until an agent is reset', () => {
    ask(0, 0x5000, [], 0x3_0000)
    ask(1, 0x5010, [0x1_0000])
    expect([answers(0, 32), answers(1, 28), answers(1, 32)]).toEqual([0, 0, COMMS_ERROR])
    ask(0, 0x400b, [2, 1])
    expect([answers(0, 28), answers(1, 28), answers(1, 32)], 'whose reset it was is not known').toEqual([
      COMMS_ERROR,
      0,
      0,
    ])
  })

  test('a refused negotiation changes nothing', () => {
    ask(0, 0x5000, [], 0x3_0000)
    const word = pending.begin(1, command(0x5010, 0x1_0000), 0)
    accept(1, word, -1)
    expect(answers(1, 32)).toBe(0)
  })
})

describe('a lost connection', () => {
  test('answers COMMS_ERROR on its channel alone, oldest first, and their tokens rest', () => {
    const sent = [0, 1, 0, 0].map(channel => {
      const transfer = command(RATE_GET, 3)
      return { channel, transfer, word: pending.begin(channel, transfer, 0) }
    })
    const severed: (Transfer | undefined)[] = []
    for (let i = 0; i < 4; i++) severed.push(pending.sever(0, 5))
    expect(severed).toEqual([sent[0]?.transfer, sent[2]?.transfer, sent[3]?.transfer, undefined])
    for (const { transfer } of [sent[0]!, sent[2]!, sent[3]!])
      expect([transfer.length, transfer.ints[1]]).toEqual([8, COMMS_ERROR])
    expect([pending.inFlight(0), pending.quarantined(0), pending.inFlight(1)]).toEqual([0, 3, 1])
    expect(accept(0, sent[2]!.word, 0, 1, 0), 'from the connection after it').toBeUndefined()
    expect([pending.counters.late, pending.counters.expired]).toEqual([1, 0])
    expect(accept(1, sent[1]!.word, 0, 1, 0)).toBe(sent[1]?.transfer)
  })

  test('leaves open which version is in force, where one was negotiated', () => {
    const ask = (channel: number, header: number, payload: number[], ...answer: number[]) =>
      accept(channel, pending.begin(channel, command(header, ...payload), 0), 0, ...answer)
    const attributes = (channel: number, words: number) =>
      ask(channel, 0x5003, [0], ...Array<number>(words).fill(0))?.ints[1]
    ask(0, 0x5000, [], 0x3_0000)
    ask(0, 0x5010, [0x1_0000])
    expect([attributes(0, 5), attributes(0, 6)], 'version 1 has no delay').toEqual([0, COMMS_ERROR])
    pending.sever(0, 0)
    expect([attributes(0, 5), attributes(0, 6)]).toEqual([0, 0])
    expect([attributes(1, 5), attributes(1, 6)], 'as presented').toEqual([COMMS_ERROR, 0])
  })
})

describe('deadlines', () => {
  test('a silent platform is COMMS_ERROR, not before its time', () => {
    const transfer = command(RATE_GET, 3)
    pending.begin(0, transfer, 1000)
    expect(pending.expire(1000 + timeout - 1)).toBeUndefined()
    expect(pending.expire(1000 + timeout)).toBe(transfer)
    expect([transfer.length, transfer.words[0], transfer.ints[1]]).toEqual([8, RATE_GET, COMMS_ERROR])
    expect(pending.expire(1000 + timeout)).toBeUndefined()
    expect([pending.inFlight(0), pending.quarantined(0), pending.counters.expired]).toEqual([0, 1, 1])
  })

  test('the late answer ends the quarantine and reaches nobody', () => {
    const transfer = command(RATE_GET, 3)
    const word = pending.begin(0, transfer, 0)
    pending.expire(timeout)
    expect(accept(0, word, 0, 1, 0)).toBeUndefined()
    expect([pending.counters.late, pending.counters.unknown, pending.quarantined(0)]).toEqual([1, 0, 0])
    expect(transfer.ints[1]).toBe(COMMS_ERROR)
    expect(accept(0, word, 0, 1, 0)).toBeUndefined()
    expect(pending.counters.unknown).toBe(1)
  })

  test('a token in quarantine is not used; after its time it is', () => {
    pending.begin(0, command(RATE_GET, 3), 0)
    pending.expire(timeout)
    const used = new Set<number>()
    for (;;) {
      const word = pending.begin(0, command(RATE_GET, 3), timeout)
      if (word < 0) break
      used.add(tokenOf(word))
    }
    expect(used.size).toBe(1023)
    const now = timeout + quarantine
    while (pending.expire(now) !== undefined);
    expect(pending.quarantined(0), 'the first is free again').toBe(1023)
    expect(used.has(tokenOf(pending.begin(0, command(RATE_GET, 3), now)))).toBe(false)
  })

  test('come in order of time, also when the clock wraps', () => {
    const start = 0x7fff_ffff - timeout - 2000 // the first deadline lies before the wrap, the second after
    const [first, second] = [command(RATE_GET, 1), command(RATE_GET, 2)]
    pending.begin(0, second, (start + 5000) | 0)
    pending.begin(1, first, start)
    expect(pending.expire((start + timeout) | 0)).toBe(first)
    expect(pending.expire((start + timeout) | 0)).toBeUndefined()
    expect(pending.expire((start + timeout + 5000) | 0)).toBe(second)
    expect(pending.expire(((start + timeout + 5000) >>> 0) + 1), 'unsigned as well').toBeUndefined()
  })
})

test('a channel takes no more than it may have in flight', () => {
  const one = new Pending({ channels: 2, maxInFlight: 1 })
  const word = one.begin(0, command(RATE_GET, 1), 0)
  expect(one.begin(0, command(RATE_GET, 2), 0)).toBe(-1)
  expect(one.begin(1, command(RATE_GET, 2), 0)).toBeGreaterThanOrEqual(0)
  one.abandon(0, word)
  expect(one.begin(0, command(RATE_GET, 2), 0)).toBeGreaterThanOrEqual(0)
})

property.prop(
  [
    fc.array(
      fc.record({
        what: fc.constantFrom('send', 'answer', 'expire', 'junk'),
        channel: fc.nat(1),
        pick: fc.nat(),
        advance: fc.nat(40_000),
      }),
      { maxLength: 200 },
    ),
  ],
  { seed: 1, numRuns: 300 },
)('every command is answered exactly once, by its own answer or COMMS_ERROR', steps => {
  const table = new Pending({ channels: 2, maxInFlight: 8, timeoutMs: 30, quarantineSeconds: 1 })
  const waiting: { channel: number; word: number; transfer: Transfer; mark: number }[] = []
  const answered = new Set<Transfer>()
  let now = 0
  let mark = 0
  const done = (transfer: Transfer | undefined) => {
    if (transfer === undefined) return
    expect(answered.has(transfer)).toBe(false)
    answered.add(transfer)
    const at = waiting.findIndex(w => w.transfer === transfer)
    expect(at).toBeGreaterThanOrEqual(0)
    const [entry] = waiting.splice(at, 1)
    if (transfer.ints[1] === 0) expect(transfer.words[2]).toBe(entry?.mark)
  }
  for (const { what, channel, pick, advance } of steps) {
    if (what === 'send') {
      const transfer = command(RATE_GET, 0)
      const word = table.begin(channel, transfer, now)
      if (word >= 0) waiting.push({ channel, word, transfer, mark: ++mark })
    } else if (what === 'answer' && waiting.length > 0) {
      const entry = waiting[pick % waiting.length]
      if (entry !== undefined) done(table.accept(entry.channel, frame(entry.word, 0, entry.mark, 0), 16))
    } else if (what === 'expire') {
      now += advance
      for (let t = table.expire(now); t !== undefined; t = table.expire(now)) done(t)
    } else table.accept(channel, frame(((pick % 1024) << 18) | RATE_GET | 0x100, 0, 0, 0), 16)
    expect(table.inFlight(0) + table.inFlight(1)).toBe(waiting.length)
  }
})

describe('a command with a tag, whose delayed response is promised', () => {
  const RATE_SET = 0x5005
  const promised = (tag = 77): { transfer: Transfer; word: number } => {
    const transfer = command(RATE_SET | (0x2aa << 18), 1, 3, 1000, 0)
    transfer.tag = tag
    return { transfer, word: pending.begin(0, transfer, 0) }
  }
  const delayed = (channel: number, word: number, ...rest: number[]): { tag: number; header: number } => {
    const event = frame((word | 0x200) >>> 0, ...rest)
    const tag = pending.acceptDelayed(channel, event, 4 + rest.length * 4)
    return { tag, header: event.words[0] as number }
  }

  test('keeps its token until that has come, under the agent’s own header, once', () => {
    const { transfer, word } = promised()
    expect(accept(0, word, 0)).toBe(transfer) // a bare SUCCESS is enough
    expect(pending.inFlight(0)).toBe(0)
    expect(accept(0, word, 0)).toBeUndefined()
    expect(delayed(0, word, 0, 3, 1000, 0)).toEqual({
      tag: 77,
      header: (RATE_SET | 0x200 | (0x2aa << 18)) >>> 0,
    })
    expect(delayed(0, word, 0, 3, 1000, 0).tag).toBe(0)
    expect(pending.counters.unknown).toBe(2)
  })

  test('may come before the response, which then promises none', () => {
    const { transfer, word } = promised()
    expect(delayed(0, word, 0, 3, 1000, 0).tag).toBe(77)
    expect(accept(0, word, 0)).toBe(transfer)
    expect(transfer.tag).toBe(0)
    expect(delayed(0, word, 0, 3, 1000, 0).tag).toBe(0)
  })

  test.each([
    ['refused', (word: number) => accept(0, word, -3)],
    ['answered with nonsense', (word: number) => accept(0, word, 0, 1, 2, 3)],
    ['silent', () => pending.expire(timeout)],
  ])('%s: there is none', (_what, end) => {
    const { word } = promised()
    end(word)
    expect(delayed(0, word, 0, 3, 1000, 0).tag).toBe(0)
  })

  test('another token, message, channel or length is not it; without a tag there is none', () => {
    const { word } = promised()
    accept(0, word, 0)
    expect(delayed(0, word + (1 << 18), 0, 3).tag).toBe(0)
    expect(delayed(0, word + 1, 0, 3).tag).toBe(0)
    expect(delayed(1, word, 0, 3).tag).toBe(0)
    expect(delayed(0, word).tag).toBe(0)
    const untagged = promised(0)
    accept(0, untagged.word, 0)
    expect(delayed(0, untagged.word, 0, 3).tag).toBe(0)
    expect(delayed(0, word, 0, 3).tag).toBe(77)
  })

  test('is forsaken after a quarantine, and its token used again', () => {
    const { word } = promised()
    accept(0, word, 0)
    expect(pending.forsake(quarantine)).toBe(0)
    expect(pending.forsake(quarantine + timeout)).toBe(77)
    expect(pending.forsake(quarantine + timeout)).toBe(0)
    expect(pending.counters.forsaken).toBe(1)
    for (let i = 0; i < 1024; i++) expect(pending.begin(0, command(RATE_GET, 1), 0)).toBeGreaterThanOrEqual(0)
  })
})
