import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { EAGAIN, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../src/native/linux.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { connectUnix, listenUnix, peerCredentials, socketPair } from '../../src/native/unix-socket.ts'

const folder = mkdtempSync(join(tmpdir(), 'unix-socket-'))
afterAll(() => rmSync(folder, { recursive: true }))
const code = (what: string) => expect.objectContaining({ code: what })

describe('unix sockets', () => {
  test.each(['stream', 'seqpacket'] as const)(
    '%s: listens with mode 0600, accepts and carries bytes',
    kind => {
      const path = join(folder, kind)
      const listening = listenUnix(path, kind)
      expect(statSync(path).mode & 0o777).toBe(0o600)
      expect(libc.accept4(listening, SOCK_NONBLOCK | SOCK_CLOEXEC)).toBe(-EAGAIN)
      const client = connectUnix(path, kind)
      const server = libc.accept4(listening, SOCK_NONBLOCK | SOCK_CLOEXEC)
      expect(server).toBeGreaterThan(0)
      expect(peerCredentials(server)).toEqual({
        pid: process.pid,
        uid: process.getuid?.(),
        gid: process.getgid?.(),
      })
      const memory = NativeMemory.allocate(64)
      memory.words[0] = 0x12345678
      expect(libc.send(client, memory.address, 4, MSG_NOSIGNAL)).toBe(4)
      expect(libc.recv(server, memory.address + 32, 32, MSG_DONTWAIT)).toBe(4)
      expect(memory.words[8]).toBe(0x12345678)
      expect(libc.close(client)).toBe(0)
      expect(libc.recv(server, memory.address, 32, MSG_DONTWAIT)).toBe(0)
      memory.release()
      libc.close(server)
      libc.close(listening)
    },
  )

  test('takes the place of a socket whose process is gone, and no other', () => {
    const path = join(folder, 'stale')
    libc.close(listenUnix(path, 'stream'))
    expect(existsSync(path)).toBe(true)
    const living = listenUnix(path, 'seqpacket')
    expect(() => listenUnix(path, 'stream')).toThrow(code('SOCKET_PATH'))
    expect(() => listenUnix(path, 'seqpacket')).toThrow(/another process listens there/)
    libc.close(living)
    const file = join(folder, 'file')
    writeFileSync(file, 'precious')
    expect(() => listenUnix(file, 'stream')).toThrow(/is not a socket; it was left alone/)
    expect(existsSync(file)).toBe(true)
  })

  test.each([
    ['x'.repeat(108), /108 bytes; at most 107/, 'one byte too long'],
    ['ü'.repeat(54), /108 bytes; at most 107/, 'counted in bytes, not letters'],
    ['', /empty/, 'empty'],
    ['/no/such/folder/s', /cannot listen: ENOENT/, 'nowhere'],
  ])('refuses the path %s: %s', (path, reason) => {
    expect(() => listenUnix(path, 'stream')).toThrow(reason)
    expect(() => listenUnix(path, 'stream')).toThrow(code('SOCKET_PATH'))
  })

  test('a path of exactly 107 bytes works', () => {
    const path = join(folder, 'x'.repeat(107 - folder.length - 1))
    expect(path.length).toBe(107)
    const listening = listenUnix(path, 'stream')
    libc.close(connectUnix(path, 'stream'))
    libc.close(listening)
  })

  test('connecting where nobody listens says so', () => {
    expect(() => connectUnix(join(folder, 'nobody'), 'stream')).toThrow(/cannot connect: ENOENT/)
    const path = join(folder, 'dead')
    libc.close(listenUnix(path, 'stream'))
    chmodSync(path, 0o600)
    expect(() => connectUnix(path, 'stream')).toThrow(/cannot connect: ECONNREFUSED/)
  })

  test('a pair talks', () => {
    const [a, b] = socketPair('seqpacket')
    const memory = NativeMemory.allocate(64)
    expect(libc.send(a, memory.address, 16, MSG_NOSIGNAL)).toBe(16)
    expect(libc.recv(b, memory.address, 64, 0)).toBe(16)
    memory.release()
    libc.close(a)
    libc.close(b)
  })
})

describe('a socket file for others', () => {
  test('has the mode and owner it shall have, whatever the umask', () => {
    const path = join(folder, 'shared.sock')
    const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0]
    libc.close(listenUnix(path, 'stream', { mode: 0o666, uid, gid }))
    const stat = statSync(path)
    expect([stat.mode & 0o777, stat.uid, stat.gid]).toEqual([0o666, uid, gid])
  })

  test('is not there when it cannot be given away', () => {
    const path = join(folder, 'nobody.sock')
    expect(() => listenUnix(path, 'stream', { uid: 2 ** 40 })).toThrow(code('SOCKET_PATH'))
    expect(existsSync(path)).toBe(false)
  })
})
