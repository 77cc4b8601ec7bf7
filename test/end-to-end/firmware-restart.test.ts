// The firmware is killed and started again under two guests that go on working: afterwards everything is as it was.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { observedPlatform, PlatformProcess } from '../platform-server/platform-process.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'
import { MessageGuest } from './message-guest.ts'

const [CLOCK, POWER, VOLTAGE] = [0x14, 0x11, 0x17]
const [RATE_GET, CLOCK_CONFIG_SET, STATE_SET, STATE_GET, VOLTAGE_CONFIG_SET] = [0x6, 0x7, 0x4, 0x5, 0x5]
const [SUCCESS, DENIED, BUSY, COMMS_ERROR] = [0, -3, -6, -7]
const [ON, OFF] = [0, 0x4000_0000]
/** Power domains that guests decide about: avb, usb0, sdhi (shared), gpu, adc. */
const domains = [0, 1, 2, 4, 5]
const kills = 2

const ends: (() => unknown)[] = []
beforeAll(ensureBuilt)
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

function makePlatform(): PlatformProcess {
  const folder = mkdtempSync(join(tmpdir(), 'scmi-restart-'))
  ends.push(() => rmSync(folder, { recursive: true }))
  const platform = new PlatformProcess(observedPlatform(folder))
  ends.push(() => platform.destroy())
  return platform
}

async function startDaemon(platform: PlatformProcess): Promise<DaemonProcess> {
  const channel = (agentId: number) => ({ path: platform.socket(agentId), agentId })
  const daemon = await DaemonProcess.start({
    config: {
      firmware: {
        link: 'stream-socket',
        deadlineMs: 2000,
        management: channel(1),
        channels: [2, 3, 4, 5].map(channel),
      },
    },
  })
  ends.push(() => daemon.destroy())
  return daemon
}

async function addGuest(daemon: DaemonProcess, name: string): Promise<MessageGuest> {
  const path = daemon.path(`${name}.sock`)
  const dtb = readFileSync(example(`${name}.dtb`))
  await daemon.client.addDomain({ name, dtb, link: { kind: 'message-socket', path } }, { dryRun: false })
  const guest = await MessageGuest.connect(path)
  ends.push(() => guest.close())
  return guest
}

/** Asks until the firmware is back; any status but these two is an answer. */
async function insist(guest: MessageGuest, ...[protocol, message, ...words]: [number, number, ...number[]]) {
  const end = Date.now() + 10_000
  for (;;) {
    const answer = await guest.ask(protocol, message, ...words)
    if (![BUSY, COMMS_ERROR].includes(answer.status) || Date.now() > end) return answer
    await new Promise(done => setTimeout(done, 5))
  }
}

/** Reads its rate and toggles a domain of its own for ever; keeps count of what it is answered. */
class Traffic {
  readonly statuses = new Map<number, number>()
  #running = true
  readonly #done: Promise<void>

  constructor(guest: MessageGuest, clock: number, domain: number) {
    this.#done = this.#work(guest, clock, domain)
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#done
  }

  async #work(guest: MessageGuest, clock: number, domain: number): Promise<void> {
    for (let round = 0; this.#running; round++) {
      const state = round % 2 === 0 ? ON : OFF
      const answers = [
        ...(await Promise.all(Array.from({ length: 8 }, () => guest.ask(CLOCK, RATE_GET, clock)))),
        await guest.ask(POWER, STATE_SET, 0, domain, state),
      ]
      for (const { status } of answers) this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
      await new Promise(done => setTimeout(done, 2)) // slower than the audit log is written
    }
    await insist(guest, POWER, STATE_SET, 0, domain, OFF)
  }
}

test(`killed ${kills} times under traffic: votes, grants and guests are as before`, async () => {
  const platform = makePlatform()
  await platform.start()
  const daemon = await startDaemon(platform)
  const [a, b] = [await addGuest(daemon, 'guest-a'), await addGuest(daemon, 'guest-b')]
  const truth = async (): Promise<number[]> => {
    const observer = await MessageGuest.connect(platform.socket(6))
    const states: number[] = []
    for (const domain of domains)
      states.push((await observer.ask(POWER, STATE_GET, domain)).words[0] as number)
    observer.close()
    return states
  }
  // sdhi: both asked for it, and guest-a has let go. gpu: guest-a alone.
  for (const guest of [a, b]) expect((await guest.ask(POWER, STATE_SET, 0, 2, ON)).status).toBe(SUCCESS)
  expect((await a.ask(POWER, STATE_SET, 0, 2, OFF)).status).toBe(SUCCESS)
  expect((await a.ask(POWER, STATE_SET, 0, 4, ON)).status).toBe(SUCCESS)
  expect((await a.ask(CLOCK, CLOCK_CONFIG_SET, 3, 1, 0)).status).toBe(SUCCESS)
  expect((await b.ask(VOLTAGE, VOLTAGE_CONFIG_SET, 2, 7)).status).toBe(SUCCESS)
  const before = await truth()
  expect(before).toEqual([OFF, OFF, ON, ON, OFF])
  const commandsBefore = (await daemon.client.permissionCommands()).length

  for (let kill = 0; kill < kills; kill++) {
    const traffic = [new Traffic(a, 0, 0), new Traffic(b, 1, 1)]
    await new Promise(done => setTimeout(done, 150))
    await platform.end('SIGKILL')
    await platform.start()
    expect((await insist(a, CLOCK, RATE_GET, 0)).status).toBe(SUCCESS)
    expect((await insist(b, CLOCK, RATE_GET, 1)).status).toBe(SUCCESS)
    await Promise.all(traffic.map(each => each.stop()))
    for (const { statuses } of traffic) {
      expect(statuses.get(SUCCESS)).toBeGreaterThan(0)
      expect([...statuses.keys()].filter(status => ![SUCCESS, BUSY, COMMS_ERROR].includes(status))).toEqual(
        [],
      )
    }
    expect(await truth()).toEqual(before)
    expect((await a.ask(POWER, STATE_GET, 2)).words).toEqual([OFF])
    expect((await b.ask(POWER, STATE_GET, 2)).words).toEqual([ON])
    expect((await a.ask(CLOCK, 0x3, 3)).words[0] as number).toSatisfy((word: number) => (word & 1) === 1)
    expect((await b.ask(VOLTAGE, 0x6, 2)).words).toEqual([7])
    expect((await daemon.client.status()).problems).toEqual([])
  }
  // What both hold goes off with the last of them, as ever.
  expect((await b.ask(POWER, STATE_SET, 0, 2, OFF)).status).toBe(SUCCESS)
  expect(await truth()).toEqual([OFF, OFF, OFF, ON, OFF])
  // Nine devices are told of for each guest and each start.
  expect(await daemon.client.permissionCommands()).toHaveLength(commandsBefore + kills * 2 * 9)
  expect(daemon.log).not.toMatch(/internal error/)

  // What the platform itself lets the two agents do, asked without the daemon.
  await daemon.end('SIGKILL')
  const allowed = async (agentId: number): Promise<number[]> => {
    const agent = await MessageGuest.connect(platform.socket(agentId))
    const ids: number[] = []
    for (let clock = 0; clock < 14; clock++) {
      const { status } = await agent.ask(CLOCK, RATE_GET, clock)
      if (status === SUCCESS) ids.push(clock)
      else expect(status).toBe(DENIED)
    }
    agent.close()
    return ids
  }
  expect([await allowed(2), await allowed(3), await allowed(4)]).toEqual([[0, 3, 4, 8], [1, 2, 5, 6, 11], []])
})
