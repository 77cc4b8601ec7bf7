import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { LinkCounters } from '../../src/guest-link/link-parts.ts'
import { LogShare } from '../../src/guest-link/log-share.ts'
import { SocketDoor } from '../../src/guest-link/socket-door.ts'
import * as libc from '../../src/native/libc.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { connectUnix } from '../../src/native/unix-socket.ts'

const folder = mkdtempSync(join(tmpdir(), 'socket-door-'))
const path = join(folder, 'door')
afterAll(() => rmSync(folder, { recursive: true }))

let reactor: Reactor
let admitted: number[]
let log: string[]
const counters = new LinkCounters()
const open = (at = path) => {
  const host = { occupied: false, leaving: false, admit: (fd: number) => admitted.push(fd) }
  return new SocketDoor(
    at,
    'stream',
    reactor,
    host,
    counters,
    new LogShare('door', reactor, (_level, text) => log.push(text)),
  )
}
beforeEach(() => {
  reactor = new Reactor(error => {
    throw error
  })
  admitted = []
  log = []
})
afterEach(() => {
  for (const fd of admitted) libc.close(fd)
  reactor.close()
})

test('closing removes the socket file, unless another has taken its place', () => {
  const door = open()
  door.close()
  expect(existsSync(path)).toBe(false)
  const replaced = open()
  renameSync(path, `${path}.old`)
  writeFileSync(path, 'somebody else')
  replaced.close()
  expect(existsSync(path)).toBe(true)
  rmSync(path)
})

test('one path has one door', () => {
  const door = open()
  expect(() => open()).toThrow(expect.objectContaining({ code: 'SOCKET_PATH' }))
  expect(() => open(`${path}${'x'.repeat(108)}`)).toThrow(/at most 107/)
  door.close()
})

const prlimit = '/usr/bin/prlimit'
test.skipIf(!existsSync(prlimit))(
  'without descriptors to spare it rests for a second, then lets in who waits',
  () => {
    const door = open()
    const limit = (files: string) =>
      execFileSync(prlimit, ['--pid', String(process.pid), `--nofile=${files}`])
    const client = connectUnix(path, 'stream')
    const soft = execFileSync(prlimit, [
      '--pid',
      String(process.pid),
      '--nofile',
      '--output',
      'SOFT',
      '--noheadings',
    ])
    limit('256:')
    const hoard: number[] = []
    for (let fd = libc.eventfd(); fd >= 0; fd = libc.eventfd()) hoard.push(fd)
    let rounds = 0
    reactor.step(0)
    while (reactor.step(20) === 0 && rounds < 20) rounds++
    for (const fd of hoard) libc.close(fd)
    limit(`${String(soft).trim()}:`)
    expect(log).toEqual(['door: cannot accept a connection: EMFILE'])
    expect(admitted).toEqual([])
    expect(rounds).toBe(20) // it does not spin
    const began = Date.now()
    while (admitted.length === 0 && Date.now() - began < 5000) reactor.step(-1)
    expect(admitted.length).toBe(1)
    libc.close(client)
    door.close()
  },
)
