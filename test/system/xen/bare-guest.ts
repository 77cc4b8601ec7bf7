// The guest without an operating system (guests/bare): builds it, and writes into its image what it is to do.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { once } from '../lib/cache.ts'
import { unpacked } from '../lib/debian.ts'
import { run } from '../lib/process.ts'
import { programOf } from '../lib/trees.ts'

/** What main.c's enum calls the modes. */
const modes = { measure: 0, steady: 1, frames: 2, hostile: 3 }

export interface Orders {
  readonly mode: keyof typeof modes
  readonly smcId: number
  readonly shmem: number
  /** measure: calls of each vCPU; steady: calls that one line tells of; hostile: calls of the flood. */
  readonly count?: number
  /** Begin anew at the end instead of going off. */
  readonly reset?: boolean
  /** Commands to send, each the header first, in words. */
  readonly frames?: readonly (readonly number[])[]
}

const sources = join(import.meta.dirname, 'guests/bare')
/** Where the orders stand in the image, and how many words of frames they hold. */
const ordersAt = 64
const ordersWords = 200

/** An image for xl that follows `orders`. */
export async function bareGuest(orders: Orders): Promise<Uint8Array> {
  const image = Uint8Array.from(readFileSync(join(await built(), 'image')))
  const words = (orders.frames ?? []).flatMap(frame => [frame.length * 4, ...frame])
  if (words.length > ordersWords) throw new Error('too many frames for the orders')
  const fixed = [modes[orders.mode], orders.smcId, orders.shmem, 0, orders.count ?? 0]
  const all = [...fixed, orders.reset === true ? 1 : 0, orders.frames?.length ?? 0, ...words]
  const view = new DataView(image.buffer)
  for (const [i, word] of all.entries()) view.setUint32(ordersAt + 4 * i, word, true)
  return image
}

/** Compiler, assembler and linker for arm64, run one by one: no more of a cross compiler is needed. */
const crossTree = (): Promise<string> =>
  unpacked({ name: 'cross', packages: ['cpp-14-aarch64-linux-gnu', 'binutils-aarch64-linux-gnu'] })

async function built(): Promise<string> {
  const files = ['start.s', 'main.c', 'link.ld'].map(name => readFileSync(join(sources, name), 'utf8'))
  return once('bare-guest', files, async directory => {
    const tree = await crossTree()
    const made = (name: string): string => join(directory, name)
    const step = async (program: string, ...args: string[]): Promise<void> => {
      const [command, ...before] = programOf(tree, program)
      await run(command, [...before, ...args])
    }
    const cc1 = 'usr/libexec/gcc-cross/aarch64-linux-gnu/14/cc1'
    const freestanding = ['-O2', '-ffreestanding', '-fno-stack-protector', '-fpie', '-mgeneral-regs-only']
    const careful = ['-mstrict-align', '-Wall', '-Wextra', '-Werror', '-Wno-main', '-quiet']
    await step(
      cc1,
      ...freestanding,
      ...careful,
      '-fno-tree-loop-distribute-patterns',
      join(sources, 'main.c'),
      '-o',
      made('main.s'),
    )
    await step('usr/bin/aarch64-linux-gnu-as', made('main.s'), '-o', made('main.o'))
    await step('usr/bin/aarch64-linux-gnu-as', join(sources, 'start.s'), '-o', made('start.o'))
    const objects = [made('start.o'), made('main.o')]
    const script = ['-T', join(sources, 'link.ld'), '-z', 'max-page-size=4096', '--no-warn-rwx-segments']
    await step(
      'usr/bin/aarch64-linux-gnu-ld',
      '-pie',
      '--no-dynamic-linker',
      ...script,
      ...objects,
      '-o',
      made('elf'),
    )
    await step('usr/bin/aarch64-linux-gnu-objcopy', '-O', 'binary', made('elf'), made('image'))
  })
}
