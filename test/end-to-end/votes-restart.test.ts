// Two guests that share a power domain, over the end of scmid: where whoever writes last decides, the OFF of one does not
// cut the other. Beside a platform that lives on, one that is killed too, and one in the daemon.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { listenUnix } from '../../src/native/unix-socket.ts'
import { observedPlatform, PlatformProcess } from '../platform-server/platform-process.ts'
import { FrontEndSocket, Guest } from '../virtio/front-end.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'
import { MessageGuest } from './message-guest.ts'

const patience = 60_000
const rest = new Int32Array(new SharedArrayBuffer(4))
const step = (): void => {
  Atomics.wait(rest, 0, 0, 2)
}
const header = (protocol: number, id: number): number => id | (protocol << 10)
const [POWER_SET, POWER_GET] = [header(0x11, 0x4), header(0x11, 0x5)]
const [ON, OFF] = [0, 0x4000_0000]
/** guest-a's alone; of guest-a and guest-b. */
const [gpu, sdhi] = [4, 2]

const ends: (() => unknown)[] = []
beforeAll(ensureBuilt, 120_000)
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

function platformFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'scmi-votes-'))
  ends.push(() => rmSync(folder, { recursive: true }))
  return observedPlatform(folder)
}

/** A guest whose front end listens. */
class Listening {
  guest: Guest
  readonly name: string
  readonly #fd: number

  private constructor(name: string, fd: number, guest: Guest) {
    this.name = name
    this.#fd = fd
    this.guest = guest
    ends.push(() => guest.close())
  }

  static async add(daemon: DaemonProcess, name: string): Promise<Listening> {
    const path = daemon.path(`${name}.vmm`)
    const fd = listenUnix(path, 'stream')
    ends.push(() => libc.close(fd))
    await daemon.client.addDomain(
      { name, dtb: readFileSync(example(`${name}.dtb`)), link: { kind: 'vhost-user', path, role: 'client' } },
      { dryRun: false },
    )
    const guest = new Guest(await FrontEndSocket.accepted(fd, step))
    guest.negotiate()
    guest.startDriver()
    return new Listening(name, fd, guest)
  }

  async resume(): Promise<void> {
    this.guest.resume(await FrontEndSocket.accepted(this.#fd, step))
  }

  #words(...words: number[]): number[] {
    const answer = Buffer.from(this.guest.ask(Buffer.from(Uint32Array.from(words).buffer)), 'hex')
    return Array.from({ length: answer.length / 4 }, (_, i) => answer.readInt32LE(i * 4))
  }
  power(domain: number, state: number): number {
    return this.#words(POWER_SET, 0, domain, state)[1] as number
  }
  view(domain: number): number {
    return this.#words(POWER_GET, domain)[2] as number
  }
}

/** Ends the daemon and starts it, with something meanwhile; all guests go on. */
async function restarted(
  daemon: DaemonProcess,
  config: Readonly<Record<string, unknown>>,
  signal: NodeJS.Signals,
  meanwhile: () => unknown,
): Promise<DaemonProcess> {
  await daemon.end(signal)
  await meanwhile()
  return DaemonProcess.start({ directory: daemon.directory, config })
}

test.each<[string, NodeJS.Signals, boolean]>([
  ['killed, the platform lives on', 'SIGKILL', false],
  ['stopped and started, the platform lives on', 'SIGTERM', false],
  ['killed with the platform', 'SIGKILL', true],
])(
  'scmid %s: what one guest needs stays on while another lets go',
  async (_how, signal, both) => {
    const platform = new PlatformProcess(platformFile())
    ends.push(() => platform.destroy())
    await platform.start()
    const isOn = async (domain: number): Promise<boolean> => {
      const observer = await MessageGuest.connect(platform.socket(6))
      const { words } = await observer.ask(0x11, 0x5, domain)
      observer.close()
      return words[0] === ON
    }
    const channel = (agentId: number) => ({ path: platform.socket(agentId), agentId })
    const config = {
      firmware: { link: 'stream-socket', management: channel(1), channels: [2, 3, 4, 5].map(channel) },
    }
    let daemon = await DaemonProcess.start({ config })
    ends.push(() => daemon.destroy())
    const a = await Listening.add(daemon, 'guest-a')
    const b = await Listening.add(daemon, 'guest-b')
    for (const guest of [a, b]) expect(guest.power(sdhi, ON)).toBe(0)
    expect(a.power(gpu, ON)).toBe(0)
    daemon = await restarted(daemon, config, signal, async () => {
      if (!both) return
      await platform.end('SIGKILL')
      await platform.start()
    })
    await b.resume()
    expect(b.power(sdhi, OFF)).toBe(0)
    expect(await isOn(sdhi)).toBe(true)
    await a.resume()
    expect([a.view(sdhi), b.view(sdhi), a.view(gpu)]).toEqual([ON, OFF, ON])
    expect([await isOn(sdhi), await isOn(gpu)]).toEqual([true, true])
    // And once more, with what was asked for since.
    daemon = await restarted(daemon, config, 'SIGKILL', () => {})
    for (const guest of [a, b]) await guest.resume()
    expect([a.view(sdhi), b.view(sdhi)]).toEqual([ON, OFF])
    expect(a.power(sdhi, OFF)).toBe(0)
    expect([await isOn(sdhi), await isOn(gpu)]).toEqual([false, true])
    // A domain that is removed takes its vote along.
    await daemon.client.removeDomain('guest-a', { dryRun: false })
    expect(await isOn(gpu)).toBe(false)
  },
  patience,
)

test(
  'scmid killed with the platform in it: guests find on what they had switched on',
  async () => {
    const config = { 'firmware.platform': platformFile() }
    let daemon = await DaemonProcess.start({ config })
    ends.push(() => daemon.destroy())
    const [a, b] = [await Listening.add(daemon, 'guest-a'), await Listening.add(daemon, 'guest-b')]
    for (const guest of [a, b]) expect(guest.power(sdhi, ON)).toBe(0)
    expect(a.power(gpu, ON)).toBe(0)
    daemon = await restarted(daemon, config, 'SIGKILL', () => {})
    for (const guest of [a, b]) await guest.resume()
    expect([a.view(sdhi), b.view(sdhi), a.view(gpu)]).toEqual([ON, ON, ON]) // gpu: the platform's own word
    expect(daemon.log).toMatch(/guest-a: 2 switched on again/)
    expect(b.power(sdhi, OFF)).toBe(0)
    expect([a.view(sdhi), b.view(sdhi)]).toEqual([ON, OFF])
  },
  patience,
)
