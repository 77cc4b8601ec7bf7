// That the way through the stream-socket link, and through a served platform, allocates nothing per message. A process of
// its own.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { StreamSocketLink } from '../../src/firmware-link/stream-socket/stream-socket.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { loadPlatform } from '../../src/platform/load.ts'
import { Platform } from '../../src/platform/platform.ts'
import { PlatformServer } from '../../src/platform-server/platform-server.ts'
import { agentSockets } from '../../src/platform-server/sockets.ts'
import { type Transfer, TransferPool } from '../../src/transfer.ts'
import { collectionsOf } from '../native/no-garbage.ts'
import { examplePath } from '../platform/ask.ts'

test('half a million frames: commands, answers and notifications', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'stream-'))
  const faults: unknown[] = []
  const reactor = new Reactor((_source, error) => faults.push(error))
  const config = loadPlatform(examplePath)
  const sockets = agentSockets(config, join(folder, 'agent-'))
  const server = new PlatformServer(new Platform(config), sockets, { reactor, log: () => {} })
  const pool = new TransferPool(32, 128, 0)
  let [answers, events, sum] = [0, 0, 0]
  const link = new StreamSocketLink(
    { paths: sockets.map(({ path }) => path), timeoutMs: 60_000 },
    {
      reactor,
      log: () => {},
      handler: {
        complete(transfer: Transfer) {
          answers++
          sum = (sum + (transfer.ints[1] as number)) | 0
          pool.give(transfer)
        },
        delayed: () => {},
        arrived() {
          events++
        },
      },
    },
  )
  const ask = (header: number, a: number, b: number, c: number, length: number) => {
    const transfer = pool.take() as Transfer
    transfer.words[0] = header
    transfer.words[1] = a
    transfer.words[2] = b
    transfer.words[3] = c
    transfer.header = header
    transfer.length = length
    if (!link.send(0, transfer)) throw new Error('refused')
  }
  for (let i = 0; i < 20; i++) reactor.step(0)
  ask(0x4406, 2, 1, 0, 12) // subscribes to POWER_STATE_CHANGED of domain 2
  let asked = 1
  const run = (times: number) => {
    for (let i = 0; i < times; i++) {
      for (let j = 0; j < 8; j++) {
        ask(0x5006 | ((i & 0x3ff) << 18), 3, 0, 0, 8)
        ask(0x4404, 0, 2, (j & 1) << 30, 16)
      }
      asked += 16
      while (answers < asked) {
        reactor.step(0)
        link.expire(reactor.now)
      }
    }
  }
  const collections = await collectionsOf(run, 10_000)
  expect([faults, sum, answers]).toEqual([[], 0, asked])
  expect(events).toBeGreaterThan(50_000)
  expect(collections).toBe(0)
  link.close()
  server.close()
  reactor.close()
  rmSync(folder, { recursive: true })
})
