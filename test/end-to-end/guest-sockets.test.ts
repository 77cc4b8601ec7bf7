// Sockets of vhost-user guests that have no path of their own, at a real scmid: where they are, whose, and when they go.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { listenUnix } from '../../src/native/unix-socket.ts'
import { scmictl } from '../cli/harness.ts'
import { Guest } from '../virtio/front-end.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'

const moment = new Int32Array(new SharedArrayBuffer(4))
const step = (): void => {
  Atomics.wait(moment, 0, 0, 2)
}
/** CLOCK_RATE_GET (0x14, 0x6), and guest-a's clock 0 of 125 MHz. */
const rateGet = Buffer.from('0650000000000000', 'hex')
const rate = '065000000000000040597307' + '00000000'

let daemon: DaemonProcess
const guests: Guest[] = []
beforeAll(async () => {
  ensureBuilt()
  daemon = await DaemonProcess.start()
}, 120_000)
afterAll(async () => {
  for (const guest of guests) guest.close()
  await daemon.destroy()
})

const ask = (...args: string[]) => scmictl(args, { socket: daemon.socket })
const add = (name: string, ...more: string[]) =>
  ask('domain-add', name, '--dtb', example('guest-a.dtb'), '--vhost-user', ...more)
const sockets = (): string[] => readdirSync(daemon.directory).filter(name => name.endsWith('.sock'))
const inflight = (): string[] => readdirSync(daemon.directory).filter(name => name.endsWith('.inflight'))

test('a socket stands in the run directory under its domain’s name, is shown, and goes with the domain', async () => {
  const path = daemon.path('guest-a.sock')
  const owner = `${process.getuid?.()}:${process.getgid?.()}`
  expect(await add('guest-a', '--socket-mode', '0660', '--socket-owner', owner)).toMatchObject({ code: 0 })
  expect(statSync(path).mode & 0o777).toBe(0o660)
  const shown = { kind: 'vhost-user', path, role: 'server', mode: '0660' }
  expect(JSON.parse((await ask('list', 'guest-a', '--long')).stdout)[0].link).toMatchObject(shown)
  expect((await ask('generate', 'guest-a', '--format', 'qemu')).stdout).toContain(
    `-chardev socket,id=scmi,path=${path} \\\n`,
  )
  const { stdout } = await ask('generate', 'guest-a', '--format', 'libvirt')
  expect(stdout).toContain(`<qemu:arg value='socket,id=scmi,path=${path}'/>`)
  expect(stdout).toContain(`<!-- scmid listens: mode 0660, user ${process.getuid?.()}, group`)

  const guest = Guest.start(path, step)
  guests.push(guest)
  expect(guest.ask(rateGet)).toBe(rate)
  expect(inflight()).toEqual(['guest-a.inflight'])
  await ask('domain-remove', 'guest-a')
  expect([sockets(), inflight()]).toEqual([['scmid.sock'], []])
})

test('it has mode 0600 unsaid; a stop takes it away, but not what is under way; the next start makes it again', async () => {
  await add('guest-a')
  const path = daemon.path('guest-a.sock')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect((await daemon.client.domain('guest-a')).link).toMatchObject({ mode: '0600' })
  guests.push(Guest.start(path, step))
  await daemon.end()
  expect([sockets(), inflight()]).toEqual([[], ['guest-a.inflight']])
  daemon = await DaemonProcess.start({ directory: daemon.directory })
  const guest = Guest.start(path, step)
  guests.push(guest)
  expect(guest.ask(rateGet)).toBe(rate)
  await daemon.client.removeDomain('guest-a', { dryRun: false })
  expect(inflight()).toEqual([])
})

test('a dead daemon’s socket is replaced; one that answers and what is no socket are left alone', async () => {
  const path = daemon.path('guest-a.sock')
  libc.close(listenUnix(path, 'stream')) // as after kill -9: the file without anybody behind it
  expect((await add('guest-a')).code).toBe(0)
  expect(Guest.start(path, step).ask(rateGet)).toBe(rate)
  await ask('domain-remove', 'guest-a')

  const other: Server = createServer()
  await new Promise<void>(done => other.listen(path, done))
  expect(await add('guest-a')).toMatchObject({
    code: 1,
    stderr: `scmictl: ${path}: another process listens there\n`,
  })
  expect(existsSync(path)).toBe(true)
  await new Promise(done => other.close(done))

  writeFileSync(path, 'mine')
  expect((await add('guest-a')).stderr).toBe(
    `scmictl: ${path}: exists and is not a socket; it was left alone\n`,
  )
  expect(readFileSync(path, 'utf8')).toBe('mine')
  expect(await daemon.client.domains()).toEqual([])
})

test('nobody gets the control socket’s path, neither by name nor by path', async () => {
  const text = `scmictl: ${daemon.socket} is the daemon's control socket; name another\n`
  expect(await add('scmid')).toMatchObject({ code: 1, stderr: text })
  expect(await add('guest-a', `${daemon.directory}/./scmid.sock`)).toMatchObject({ code: 1, stderr: text })
  expect((await add('scmid', daemon.path('other.sock'))).code).toBe(0)
  await ask('domain-remove', 'scmid')
})

test('the configuration may leave the place to the daemon too; such a domain is the same at the next start', async () => {
  const domains = [{ name: 'guest-b', dtb: example('guest-b.dtb'), vhostUser: {} }]
  await daemon.end()
  for (let start = 0; start < 2; start++) {
    daemon = await DaemonProcess.start({ directory: daemon.directory, config: { domains } })
    expect((await daemon.client.domain('guest-b')).link).toMatchObject({
      path: daemon.path('guest-b.sock'),
      mode: '0600',
    })
    expect(await daemon.client.status()).toEqual({ state: 'ok', problems: [] })
    expect(daemon.log).not.toContain('is served as it was added before')
    await daemon.end()
  }
})
