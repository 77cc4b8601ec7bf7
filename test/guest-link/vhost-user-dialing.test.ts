// A vhost-user link whose front end listens: what it must not offer there.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { VhostUserLink } from '../../src/guest-link/vhost-user/vhost-user.ts'
import { accept4, close } from '../../src/native/libc.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { listenUnix } from '../../src/native/unix-socket.ts'
import { FrontEndSocket, vu } from '../virtio/front-end.ts'
import { EchoHandler } from './handlers.ts'

// QEMU 10.0.13 as socket server, recorded: when the back end comes back after a crash it negotiates nothing anew, and with
// CONFIGURE_MEM_SLOTS (bit 15) it tells differences to the memory it told before, which are none.
test('memory slots are not offered to a front end that listens', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vhost-user-'))
  const path = join(folder, 'guest.sock')
  const listener = listenUnix(path, 'stream')
  const reactor = new Reactor(() => {})
  const parts = { reactor, handler: new EchoHandler(), log: () => {} }
  const link = new VhostUserLink({ path, role: 'client', guest: 0 }, parts)
  const step = () => {
    for (let i = 0; i < 4; i++) reactor.step(0)
  }
  step()
  const socket = new FrontEndSocket(accept4(listener, 0), step)
  step()
  const offered = socket.ask(vu.GET_PROTOCOL_FEATURES).payload.readUInt32LE(0)
  expect(offered & 0x8008).toBe(0x0008) // REPLY_ACK alone of the two
  socket.close()
  link.close()
  reactor.close()
  close(listener)
  rmSync(folder, { recursive: true })
})
