// The daemon with its firmware in another process: scmid over stream sockets to a scmi-platform, two guests at it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { PlatformProcess } from '../platform-server/platform-process.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'
import { MessageGuest } from './message-guest.ts'

const [CLOCK, POWER] = [0x14, 0x11]
const [SUCCESS, DENIED, BUSY, COMMS_ERROR] = [0, -3, -6, -7]
const [RATE_GET, CONFIG_SET, STATE_SET, STATE_GET] = [0x6, 0x7, 0x4, 0x5]
const now = { dryRun: false }

const ends: (() => unknown)[] = []
beforeAll(ensureBuilt)
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** The firmware part of a configuration, for the example's agents behind sockets. */
const firmware = (platform: PlatformProcess, more: Readonly<Record<string, unknown>> = {}) => ({
  link: 'stream-socket',
  deadlineMs: 2000, // the machine that tests run on may be busy
  management: { path: platform.socket(1), agentId: 1 },
  channels: [2, 3, 4, 5].map(agentId => ({ path: platform.socket(agentId), agentId })),
  ...more,
})

function newPlatform(): PlatformProcess {
  const platform = new PlatformProcess()
  ends.push(() => platform.destroy())
  return platform
}
async function startDaemon(of: Readonly<Record<string, unknown>>): Promise<DaemonProcess> {
  const daemon = await DaemonProcess.start({ config: { firmware: of } })
  ends.push(() => daemon.destroy())
  return daemon
}
async function addGuest(daemon: DaemonProcess, name: string): Promise<MessageGuest> {
  const path = daemon.path(`${name}.sock`)
  const dtb = readFileSync(example(`${name}.dtb`))
  await daemon.client.addDomain({ name, dtb, link: { kind: 'message-socket', path } }, now)
  const guest = await MessageGuest.connect(path)
  ends.push(() => guest.close())
  return guest
}

test('two guests, each on its own; what they share stays on while one needs it', async () => {
  const platform = newPlatform()
  await platform.start()
  const daemon = await startDaemon(firmware(platform))
  expect((await daemon.client.agents()).map(({ agentId, state }) => [agentId, state])).toEqual([
    [1, 'management'],
    [2, 'free'],
    [3, 'free'],
    [4, 'free'],
    [5, 'free'],
  ])
  const [a, b] = [await addGuest(daemon, 'guest-a'), await addGuest(daemon, 'guest-b')]
  expect((await a.ask(CLOCK, CONFIG_SET, 0, 1, 0)).status).toBe(SUCCESS)
  expect((await b.ask(CLOCK, CONFIG_SET, 0, 1, 0)).status).toBe(DENIED)
  expect((await a.ask(CLOCK, RATE_GET, 0)).words).toEqual([125_000_000, 0])
  for (const guest of [a, b]) expect((await guest.ask(POWER, STATE_SET, 0, 2, 0)).status).toBe(SUCCESS)
  expect((await a.ask(POWER, STATE_SET, 0, 2, 0x4000_0000)).status).toBe(SUCCESS)
  expect((await b.ask(POWER, STATE_GET, 2)).words).toEqual([0])

  for (let round = 0; round < 10; round++) {
    const asked = Array.from({ length: 30 }, () => [
      a.ask(CLOCK, RATE_GET, 0),
      b.ask(CLOCK, RATE_GET, 1),
    ]).flat()
    const answers = await Promise.all(asked) // each under its own header
    expect(answers.map(({ words }) => words[0])).toEqual(
      Array.from({ length: 30 }, () => [125_000_000, 133_333_333]).flat(),
    )
  }

  await daemon.client.removeDomain('guest-a', now)
  expect((await b.ask(CLOCK, RATE_GET, 1)).status).toBe(SUCCESS)
  expect(daemon.log).not.toMatch(/internal error/)
  expect(await daemon.end('SIGTERM')).toBe(0)
})

test('a daemon that is started before its platform waits for it', async () => {
  const platform = newPlatform()
  const starting = startDaemon(firmware(platform, { connectMs: 20_000 }))
  await new Promise(done => setTimeout(done, 1000))
  await platform.start()
  const daemon = await starting
  expect((await (await addGuest(daemon, 'guest-a')).ask(CLOCK, RATE_GET, 0)).status).toBe(SUCCESS)
})

test('a daemon whose platform never comes says which socket did not answer', () => {
  const folder = mkdtempSync(join(tmpdir(), 'scmid-alone-'))
  ends.push(() => rmSync(folder, { recursive: true }))
  const config = join(folder, 'scmid.yaml')
  const nowhere = newPlatform()
  writeFileSync(
    config,
    stringify({ host: example('host.dtb'), firmware: firmware(nowhere, { connectMs: 200 }) }),
  )
  const { status, stderr } = spawnSync(
    process.execPath,
    [resolve('dist/main.js'), '-c', config, '--directory', join(folder, 'run')],
    { encoding: 'utf8' },
  )
  expect(status).toBe(1)
  expect(stderr.trimEnd().split('\n').at(-1)).toBe(
    `scmid: the firmware did not answer within 200 ms on channel 0, ${nowhere.socket(1)}: cannot connect: ENOENT, nor did 4 other channels`,
  )
})

test('a platform that is killed under way: each command is answered once, and the next platform is used', async () => {
  const platform = newPlatform()
  await platform.start()
  const daemon = await startDaemon(firmware(platform))
  const [a, b] = [await addGuest(daemon, 'guest-a'), await addGuest(daemon, 'guest-b')]
  platform.signal('SIGSTOP')
  const asked = [a, b].flatMap(guest => Array.from({ length: 16 }, () => guest.ask(CLOCK, RATE_GET, 0)))
  await new Promise(done => setTimeout(done, 100))
  await platform.end('SIGKILL')
  const statuses = (await Promise.all(asked)).map(({ status }) => status)
  // guest-b does not hold clock 0: its placeholder needs no firmware
  expect(statuses).toEqual([...Array(16).fill(COMMS_ERROR), ...Array(16).fill(SUCCESS)])
  await platform.start()
  // Until the daemon has found it and told it again what guest-a has: refused, for the moment.
  const end = Date.now() + 10_000
  let status = COMMS_ERROR
  while (Date.now() < end && [COMMS_ERROR, BUSY].includes(status)) {
    await new Promise(done => setTimeout(done, 50))
    status = (await a.ask(CLOCK, RATE_GET, 0)).status
  }
  expect(status).toBe(SUCCESS)
  expect(daemon.log).toMatch(/firmware channel 1, .*agent-2.sock: connected again/)
})
