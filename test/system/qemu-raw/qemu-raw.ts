// System test `qemu-raw`: from inside a real guest, by the raw mode of its kernel's SCMI driver, a hundred thousand random
// and malformed frames; the daemon and the other guest go on.
import { equal, match, ok } from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import type { Steps, SystemTest } from '../lib/report.ts'
import { type Guest, readSensor } from '../qemu/guest.ts'
import { guestTree } from '../qemu/nodes.ts'
import { Scene } from '../qemu/scene.ts'
import { rawFrames, rawKernel } from './raw-kernel.ts'

export const qemuRaw: SystemTest = { name: 'qemu-raw', run }

const frames = 100_000
const seed = 20_260_101

async function run(steps: Steps): Promise<void> {
  const scene = await Scene.prepare(steps)
  try {
    const image = await steps.phase('small kernel with raw mode, built', rawKernel)
    const program = await steps.phase('raw-frames, compiled', rawFrames)
    const [a, b] = await steps.phase('a raw guest and a common one boot', () =>
      Promise.all([
        scene.boot('guest-a', 'QEMU', {
          image,
          modules: [],
          programs: { 'bin/raw-frames': program },
          // Frames that are no commands are waited for in vain: not for this transport's 60 s.
          tree: async machine =>
            `${await guestTree('guest-a', machine)}\n&scmi { arm,max-rx-timeout-ms = <500>; };`,
        }),
        scene.boot('guest-b', 'scmid'),
      ]),
    )
    await steps.check('raw mode works: what is owned answers, what is not is refused', () => spoken(a))
    await steps.check(`${frames} random and malformed frames: every command is answered`, async () => {
      await b.ask(readSensor('in0'))
      const before = held(scene.daemon.pid)
      const output = await a.ask(`raw-frames ${frames} ${seed}`, 1_800_000)
      console.log(`        ${output.split('\n').at(-1)}`)
      match(output, / others, 0 refused by this kernel, 0 wrong$/)
      const after = held(scene.daemon.pid)
      equal(after.files, before.files)
      ok(after.mappings <= before.mappings + 8, `mappings ${before.mappings} became ${after.mappings}`)
    })
    await steps.check('the other guest read its sensor all the time, and owns what it owned', async () => {
      await b.ask('touch /tmp/stop')
      equal(await b.ask('cat /tmp/failed 2>/dev/null; true'), '')
      ok((await b.readings()) > 100)
      await b.write('sdhi2', 'rate', 50_000_000)
      equal(await b.read('sdhi2', 'rate'), '50000000')
    })
    await steps.check('the raw guest itself is served as before', () => spoken(a))
    await steps.check('the daemon lives and has nothing to complain of', async () => {
      equal(scene.daemon.exitCode, null)
      equal((await scene.daemon.client.status()).state, 'ok')
    })
  } finally {
    await scene.destroy()
  }
}

/** Headers of CLOCK_RATE_GET and CLOCK_CONFIG_SET, token 0. */
const CLOCK_RATE_GET = (0x14 << 10) | 0x06
const CLOCK_CONFIG_SET = (0x14 << 10) | 0x07

/** A rate that the guest may know, and clock 5 of the other guest, which it may not switch. */
async function spoken(guest: Guest): Promise<void> {
  const words = async (...sent: number[]) =>
    (await guest.ask(`raw-frames -1 ${sent.map(word => word.toString(16)).join(' ')}`)).split(' ')
  equal((await words(CLOCK_RATE_GET, 8))[1], '00000000')
  equal((await words(CLOCK_CONFIG_SET, 5, 1, 0))[1], 'fffffffd') // DENIED
}

/** Open files and mappings of a process. */
function held(pid: number): { files: number; mappings: number } {
  return {
    files: readdirSync(`/proc/${pid}/fd`).length,
    mappings: readFileSync(`/proc/${pid}/maps`, 'utf8').trim().split('\n').length,
  }
}
