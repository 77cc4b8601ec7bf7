// A guest whose front end listens, over kill -9 of scmid: what it subscribed to and negotiated stands, unless it began
// anew meanwhile. With the virtual SCP in the daemon, beside it, and restarted with it.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { listenUnix } from '../../src/native/unix-socket.ts'
import { PlatformProcess } from '../platform-server/platform-process.ts'
import { FrontEndSocket, Guest } from '../virtio/front-end.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'

const patience = 60_000
const rest = new Int32Array(new SharedArrayBuffer(4))
/** The daemon works on its own: a step is a moment's rest. */
const step = (): void => {
  Atomics.wait(rest, 0, 0, 2)
}
const frame = (...words: number[]): Buffer => Buffer.from(Uint32Array.from(words, each => each >>> 0).buffer)
const header = (protocol: number, id: number): number => id | (protocol << 10)
const [POWER_SET, POWER_NOTIFY] = [header(0x11, 0x4), header(0x11, 0x6)]
const [DISCOVER_AGENT, NEGOTIATE] = [header(0x10, 0x7), header(0x10, 0x10)]
const [ON, OFF] = [0, 0x4000_0000]
/** guest-a's own power domains. */
const [avb, gpu] = [0, 4]
const powerChanged = (domain: number, state: number): string =>
  frame(header(0x11, 0) | (3 << 8), 1, domain, state).toString('hex')

const ends: (() => unknown)[] = []
beforeAll(ensureBuilt, 120_000)
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** guest-a, at a daemon that can be killed. */
class Scene {
  daemon: DaemonProcess
  readonly guest: Guest
  readonly #listening: number
  /** Buffers that the eventq has, in the order in which they are used. */
  #offered: number[] = []
  readonly #config: Readonly<Record<string, unknown>>

  private constructor(
    daemon: DaemonProcess,
    guest: Guest,
    listening: number,
    config: Record<string, unknown>,
  ) {
    this.daemon = daemon
    this.guest = guest
    this.#listening = listening
    this.#config = config
    ends.push(() => this.daemon.destroy())
  }

  static async start(config: Record<string, unknown> = {}): Promise<Scene> {
    const daemon = await DaemonProcess.start({ config })
    const path = daemon.path('a.sock')
    const listening = listenUnix(path, 'stream')
    ends.push(() => libc.close(listening))
    await daemon.client.addDomain(
      {
        name: 'guest-a',
        dtb: readFileSync(example('guest-a.dtb')),
        link: { kind: 'vhost-user', path, role: 'client' },
      },
      { dryRun: false },
    )
    const guest = new Guest(await FrontEndSocket.accepted(listening, step))
    ends.push(() => guest.close())
    guest.negotiate()
    guest.startDriver()
    return new Scene(daemon, guest, listening, config)
  }

  /** The status of a command's answer. */
  status(...words: number[]): number {
    return Buffer.from(this.guest.ask(frame(...words)), 'hex').readInt32LE(4)
  }

  /** Whether BASE_DISCOVER_AGENT is answered as in Base 1.0: the name only. */
  get speaksBase1(): boolean {
    return this.guest.ask(frame(DISCOVER_AGENT, 1)).length === 2 * (4 + 4 + 16)
  }

  /** Switches a domain, and gives what came by the eventq until the answer was there and a little longer. */
  switched(domain: number, state: number): string[] {
    const { guest } = this
    this.#offered.push(guest.offer(), guest.offer())
    expect(this.status(POWER_SET, 0, domain, state)).toBe(0)
    for (let i = 0; i < 20; i++) step()
    const came: string[] = []
    for (let head = guest.events.take(); head >= 0; head = guest.events.take()) {
      came.push(guest.hex(this.#offered.shift() ?? 0, guest.events.written))
      guest.events.release(head)
    }
    return came
  }

  /** The driver was reset. */
  wipe(): void {
    this.guest.wipe()
    this.#offered = []
  }

  async killed(meanwhile: () => unknown = () => {}): Promise<void> {
    await this.daemon.end('SIGKILL')
    await meanwhile()
    this.daemon = await DaemonProcess.start({ directory: this.daemon.directory, config: this.#config })
    this.guest.resume(await FrontEndSocket.accepted(this.#listening, step))
  }
}

async function platformOf(): Promise<{ platform: PlatformProcess; config: Record<string, unknown> }> {
  const platform = new PlatformProcess(example('platform.yaml'))
  ends.push(() => platform.destroy())
  await platform.start()
  const channel = (agentId: number) => ({ path: platform.socket(agentId), agentId })
  const firmware = {
    link: 'stream-socket',
    management: channel(1),
    channels: [2, 3, 4, 5].map(channel),
  }
  return { platform, config: { firmware } }
}

describe('what a guest subscribed to and negotiated stands after kill -9', () => {
  const places = {
    'the platform in the daemon': async () => ({ config: {}, meanwhile: () => {}, times: 2 }),
    'a platform that lives on': async () => ({ ...(await platformOf()), meanwhile: () => {}, times: 1 }),
    'a platform that is killed with it': async () => {
      const { platform, config } = await platformOf()
      const meanwhile = async (): Promise<void> => {
        await platform.end('SIGKILL')
        await platform.start()
      }
      return { config, meanwhile, times: 1 }
    },
  }
  test.each(Object.entries(places))(
    '%s',
    async (_name, place) => {
      const { config, meanwhile, times } = await place()
      const scene = await Scene.start(config)
      expect(scene.status(POWER_NOTIFY, gpu, 1)).toBe(0)
      expect(scene.status(POWER_NOTIFY, avb, 1)).toBe(0)
      expect(scene.status(POWER_NOTIFY, avb, 0)).toBe(0)
      expect(scene.status(NEGOTIATE, 0x1_0000)).toBe(0)
      for (let kills = 0; kills < times; kills++) {
        await scene.killed(meanwhile)
        expect(scene.switched(gpu, ON)).toContain(powerChanged(gpu, ON))
        await expect
          .poll(() => scene.daemon.log)
          .toMatch(/guest-a: goes on as a former run left it \(subscriptions: 1\)/)
        expect(scene.switched(gpu, OFF).at(-1)).toBe(powerChanged(gpu, OFF))
        expect(scene.switched(avb, ON)).toEqual([])
        expect(scene.switched(avb, OFF)).toEqual([])
        expect(scene.speaksBase1).toBe(true)
      }
    },
    patience,
  )
})

test(
  'a driver that was reset while no daemon was there begins with nothing, and what it then does stands over the next',
  async () => {
    const scene = await Scene.start()
    expect(scene.status(POWER_NOTIFY, gpu, 1)).toBe(0)
    expect(scene.status(NEGOTIATE, 0x1_0000)).toBe(0)
    await scene.killed(() => scene.wipe())
    expect(scene.switched(gpu, ON)).toEqual([])
    expect(scene.speaksBase1).toBe(false)
    expect(scene.status(POWER_NOTIFY, avb, 1)).toBe(0)
    await scene.killed()
    expect(scene.switched(avb, ON)).toContain(powerChanged(avb, ON))
    expect(scene.switched(gpu, OFF)).toEqual([])
  },
  patience,
)

test(
  'a device that was taken away stays so, and a domain that was removed leaves nothing',
  async () => {
    const scene = await Scene.start()
    for (const domain of [avb, gpu]) expect(scene.status(POWER_NOTIFY, domain, 1)).toBe(0)
    const kept = join(scene.daemon.directory, 'guest-a.session')
    await scene.daemon.client.detachDevice('guest-a', '/soc/gpu@fd000000', { dryRun: false })
    await scene.killed()
    expect(scene.switched(avb, ON)).toContain(powerChanged(avb, ON))
    await expect.poll(() => scene.daemon.log).toMatch(/\(subscriptions: 1\)/)
    expect(existsSync(kept)).toBe(true)
    await scene.daemon.client.removeDomain('guest-a', { dryRun: false })
    expect(existsSync(kept)).toBe(false)
  },
  patience,
)
