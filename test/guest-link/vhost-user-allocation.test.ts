import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { VhostUserLink } from '../../src/guest-link/vhost-user/vhost-user.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { collectionsOf } from '../native/no-garbage.ts'
import { Guest } from '../virtio/front-end.ts'
import { EchoHandler } from './handlers.ts'

const folder = mkdtempSync(join(tmpdir(), 'vhost-allocation-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('a million commands and a hundred thousand events, with a log of what is under way, collect no garbage', async () => {
  const reactor = new Reactor((_source, error) => {
    throw error
  })
  const path = join(folder, 'guest.sock')
  const link = new VhostUserLink(
    { path, role: 'server', guest: 0, inflightFile: join(folder, 'guest.inflight') },
    { reactor, handler: new EchoHandler(), log: () => {} },
  )
  const guest = Guest.start(path, () => {
    for (let i = 0; i < 4; i++) reactor.step(0)
  })
  for (let i = 0; i < 32; i++) guest.post(Buffer.from('0150140000000000', 'hex'))
  for (let i = 0; i < 4; i++) guest.offer()
  const event = new Uint8Array(16)
  let answered = 0
  let told = 0
  const collected = await collectionsOf(times => {
    for (let round = 0; round < times; round++) {
      reactor.step(0)
      for (let head = guest.commands.take(); head >= 0; head = guest.commands.take()) {
        guest.commands.again(head)
        answered++
      }
      guest.commands.arm()
      if (guest.commands.wantsKick()) guest.kick(0)
      link.deliver(event, 16)
      link.deliver(event, 16)
      link.deliver(event, 16)
      for (let head = guest.events.take(); head >= 0; head = guest.events.take()) {
        guest.events.again(head)
        told++
      }
    }
  }, 32_000)
  expect(collected).toBe(0)
  expect(answered).toBeGreaterThan(1_000_000)
  expect(told).toBeGreaterThan(100_000 - 4_000)
  guest.close()
  link.close()
  reactor.close()
})
