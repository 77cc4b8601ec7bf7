import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FrameHandler } from '../../src/guest-link/guest-link.ts'
import { VhostUserLink, type VhostUserOptions } from '../../src/guest-link/vhost-user/vhost-user.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { type FrontEndOptions, FrontEndSocket, Guest, vu } from '../virtio/front-end.ts'
import { EchoHandler } from './handlers.ts'

const folder = mkdtempSync(join(tmpdir(), 'vhost-user-'))
const path = join(folder, 'guest.sock')
afterAll(() => rmSync(folder, { recursive: true }))

let reactor: Reactor
let link: VhostUserLink
let log: string[]
let faults: unknown[]
let guests: { close(): void }[]
const step = () => {
  for (let i = 0; i < 4; i++) reactor.step(0)
}
function serve(handler: FrameHandler, options: Partial<VhostUserOptions> = {}): void {
  link = new VhostUserLink(
    { path, role: 'server', guest: 3, ...options },
    { reactor, handler, log: (level, text) => log.push(`${level} ${text}`) },
  )
}
function start(options: FrontEndOptions = {}): Guest {
  const guest = Guest.start(path, step, options)
  guests.push(guest)
  return guest
}
beforeEach(() => {
  log = []
  faults = []
  guests = []
  reactor = new Reactor((_source, error) => faults.push(error))
})
afterEach(() => {
  for (const guest of guests) guest.close()
  link.close()
  link.close()
  reactor.close()
  expect(existsSync(path)).toBe(false)
  expect(faults).toEqual([])
})

describe('a front end that behaves', () => {
  test('learns what is offered', () => {
    serve(new EchoHandler())
    const socket = FrontEndSocket.connect(path, step)
    guests.push(socket)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(socket.ask(vu.GET_FEATURES).payload.toString('hex')).toBe('0100007001000000')
    expect(socket.ask(vu.GET_PROTOCOL_FEATURES).payload.toString('hex')).toBe('0980000000000000')
    expect(socket.ask(vu.GET_QUEUE_NUM).payload.readUInt32LE(0)).toBe(2)
    expect(socket.ask(vu.GET_MAX_MEM_SLOTS).payload.readUInt32LE(0)).toBe(64)
  })

  test('has each command answered in its buffer, and the ring signalled', () => {
    serve(new EchoHandler())
    const guest = start()
    expect(guest.ask(Buffer.from('01501400aabbccdd', 'hex'))).toBe('0150140000000000aabbccdd')
    expect(guest.signals(0)).toBeGreaterThan(0)
    for (let i = 0; i < 200; i++) {
      expect(guest.ask(Buffer.from('0150140000000000', 'hex'))).toBe('015014000000000000000000')
    }
    expect(log.filter(line => !line.startsWith('info'))).toEqual([])
  })
})
