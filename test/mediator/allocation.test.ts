// That filter, copy-in, handle and complete allocate nothing per message, over the embedded platform. A process of its own.

import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { createAuditRing, HEAD, headerOffset, openAuditRing, TAIL } from '../../src/audit/ring-layout.ts'
import { EmbeddedLink } from '../../src/firmware-link/embedded/embedded-link.ts'
import type { FrameHandler, GuestLink } from '../../src/guest-link/guest-link.ts'
import { createCounters } from '../../src/mediator/counters.ts'
import { maxGuests } from '../../src/mediator/guest.ts'
import { Relay } from '../../src/mediator/relay.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { compileDense } from '../../src/permissions/dense.ts'
import { compileGrants, noGrants, protocolIds } from '../../src/permissions/grants.ts'
import { Transfer } from '../../src/transfer.ts'
import { temporaryFolder } from '../audit/temporary.ts'
import { collectionsWithin } from '../native/no-garbage.ts'
import { example, word } from '../platform/ask.ts'

/** A guest with one transfer: copies a frame in, as a link does, and counts what comes back. */
class OneTransfer implements GuestLink {
  readonly kind = 'memory'
  readonly maxMessageBytes = 128
  readonly maxInFlight = 1
  readonly hasP2A = false
  readonly occupied = true
  answered = 0
  readonly #transfer: Transfer
  readonly #handler: FrameHandler

  constructor(slot: number, handler: FrameHandler) {
    this.#handler = handler
    this.#transfer = new Transfer(new ArrayBuffer(128), 0, 128)
    this.#transfer.guest = slot
  }

  send(frame: Int32Array): void {
    const transfer = this.#transfer
    transfer.ints.set(frame)
    transfer.length = frame.length * 4
    this.#handler.handle(transfer, this)
  }

  complete(transfer: Transfer): void {
    this.answered += transfer.length > 0 ? 1 : 0
  }

  deliver(): boolean {
    return false
  }
  close(): void {}
}

/** Of a guest that holds sdhi0 and the gpu; the second one shares its power domain. */
const frames = [
  // Forwarded queries, one with a list.
  [word(0x14, 0x6), 8],
  [word(0x14, 0x3), 3],
  [word(0x15, 0x3), 0],
  [word(0x11, 0x5), 2],
  [word(0x11, 0x1)],
  // Forwarded controls, one that the firmware refuses.
  [word(0x14, 0x7), 3, 1, 0],
  [word(0x14, 0x7), 3, 0, 0],
  [word(0x14, 0x5), 0, 8, 300_000_000, 0],
  [word(0x14, 0x5), 0, 8, 0xffff_ffff, 0xffff_ffff],
  [word(0x16, 0x4), 2, 1, 0],
  // Votes: on, off.
  [word(0x11, 0x4), 0, 2, 0],
  [word(0x11, 0x4), 0, 2, 0x4000_0000],
  // Placeholders, with a name, with a list, past its end.
  [word(0x11, 0x3), 3],
  [word(0x14, 0x4), 7, 0],
  [word(0x14, 0x4), 7, 0xffff_ffff],
  [word(0x15, 0x6), 2, 0],
  // Releases of nothing, denials, refusals; words above 2^31.
  [word(0x11, 0x4), 0, 3, 0x4000_0000],
  [word(0x11, 0x4), 0, 3, 0],
  [word(0x11, 0x4), 0xffff_ffff, 3, 0xffff_ffff],
  [word(0x14, 0x7), 7, 1, 0],
  [word(0x14, 0x6), 0xffff_ffff],
  [word(0x10, 0x9), 2, 1, 1],
  [word(0x12, 0x3), 0, 1],
  [word(0x14, 0x6, 0, 3), 8],
  [0xffff_ffff],
  // Base and what is answered about protocols.
  [word(0x10, 0x0)],
  [word(0x10, 0x6), 0],
  [word(0x10, 0x7), 0xffff_ffff],
  [word(0x10, 0x2), 0xffff_ffff],
  [word(0x14, 0x2), 0xffff_ffff],
].map(words => Int32Array.from(words, each => each | 0))

/** Of a guest with ids of its own: clocks are a hole, 1 and 2, and it has a sensor, a reset and a power domain. */
const denseFrames = [
  [word(0x14, 0x6), 1],
  [word(0x14, 0x7), 2, 1, 0],
  [word(0x14, 0x7), 2, 0, 0],
  [word(0x14, 0xc), 1, 0],
  [word(0x14, 0xe), 1],
  [word(0x14, 0x1)],
  [word(0x14, 0x3), 0],
  [word(0x14, 0x6), 3],
  [word(0x14, 0x6), 0xffff_ffff],
  [word(0x14, 0xd), 1, 0xffff_ffff],
  [word(0x15, 0x3), 0],
  [word(0x15, 0x3), 0xffff_ffff],
  [word(0x16, 0x4), 0, 1, 0],
  [word(0x11, 0x4), 0, 0, 0],
].map(words => Int32Array.from(words, each => each | 0))

test('no garbage is collected in ten million messages', async () => {
  const { platform } = example(text => text.replaceAll('permissions: deny', 'permissions: allow'))
  const link = new EmbeddedLink(platform)
  const shared = createAuditRing(maxGuests, 65536)
  const { words } = openAuditRing(shared)
  const reactor = new Reactor((_source, error) => {
    throw error
  })
  const guests: OneTransfer[] = []
  const relay = new Relay({
    reactor,
    makeFirmware: handler => {
      link.open(handler)
      return link
    },
    makeLink: ({ slot }, handler) => {
      guests[slot] = new OneTransfer(slot, handler)
      return guests[slot]
    },
    audit: shared,
    counters: createCounters(maxGuests),
    expireMs: 1000,
    votesFile: join(temporaryFolder(), 'votes'),
  })
  const counts = new Uint32Array(protocolIds)
  for (const [protocol, count] of [
    [0x11, 8],
    [0x13, 2],
    [0x14, 14],
    [0x15, 3],
    [0x16, 9],
    [0x17, 4],
  ] as const)
    counts[protocol] = count
  const versions = new Map([
    [0x10, 0x2_0001],
    [0x11, 0x3_0001],
    [0x12, 0x2_0001],
    [0x13, 0x4_0000],
    [0x14, 0x3_0000],
    [0x15, 0x3_0001],
    [0x16, 0x3_0001],
    [0x17, 0x2_0001],
  ])
  const fail = (error: unknown): void => {
    if (error !== undefined) throw error
  }
  relay.execute(
    {
      type: 'configure',
      setup: {
        versions,
        counts,
        identity: { vendor: 'example', implementationVersion: 1 },
        host: noGrants(),
        auditQueries: false,
      },
    },
    fail,
  )
  const own = (...resources: (readonly [number, number])[]) =>
    compileGrants(
      resources.map(([protocol, id]) => ({ protocol, id })),
      counts,
    )
  const { grants: dense } = compileDense(
    (
      [
        [0x14, 1],
        [0x14, 2],
        [0x15, 1],
        [0x16, 1],
        [0x11, 1],
      ] as const
    ).map(([protocol, id]) => ({ protocol, id })),
    {
      counts,
      versions,
      names: new Map(),
      lists: new Map([
        [0x1503, new Map([[0x15, [{ space: 0x15, entries: [Uint8Array.of(1, ...new Uint8Array(27))] }]]])],
        [0x140c, new Map([[0x14, [undefined, { space: 0x14, entries: [Uint8Array.of(2, 0, 0, 0)] }]]])],
      ]),
    },
    new Map([[0x14, ['#9']]]),
  )
  for (const [slot, grants] of [
    own([0x14, 3], [0x14, 8], [0x11, 2], [0x16, 2], [0x13, 0], [0x15, 0], [0x17, 0]),
    own([0x11, 2], [0x14, 9]),
    dense,
  ].entries())
    relay.execute(
      {
        type: 'open',
        guest: {
          slot,
          generation: slot + 1,
          name: 'guest',
          agentId: slot + 2,
          channel: slot + 1,
          grants,
          link: { kind: 'message-socket', path: 'none' },
          smcId: 0,
          maxMessageBytes: 128,
        },
      },
      fail,
    )
  const [first, second, third] = guests as [OneTransfer, OneTransfer, OneTransfer]
  const on = Int32Array.of(word(0x11, 0x4), 0, 2, 0)
  const off = Int32Array.of(word(0x11, 0x4), 0, 2, 0x4000_0000)
  const tails = [0, 1, 2].map(slot => headerOffset(slot))
  const run = (times: number): void => {
    const rounds = Math.ceil(times / (frames.length + denseFrames.length + 1))
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < frames.length; i++) first.send(frames[i] as Int32Array)
      for (let i = 0; i < denseFrames.length; i++) third.send(denseFrames[i] as Int32Array)
      // The other votes for seven rounds, then lets go: some OFFs are kept here, some go out on both channels.
      second.send((round & 7) === 7 ? off : on)
      if ((round & 1023) === 1023)
        for (let i = 0; i < tails.length; i++) {
          const at = tails[i] as number
          Atomics.store(words, at + TAIL, words[at + HEAD] as number) // the reader has taken everything
        }
    }
  }
  run(300_000)
  // What setting up has left must not be collected in the middle of it: one byte a message would be ten megabytes.
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  run(1_000_000)
  const answered = (): number => first.answered + second.answered + third.answered
  const before = answered()
  expect(await collectionsWithin(() => run(10_000_000))).toBe(0)
  expect(answered() - before).toBeGreaterThanOrEqual(10_000_000)
  relay.close()
  reactor.close()
}, 300_000)
