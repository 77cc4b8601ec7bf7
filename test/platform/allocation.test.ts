// That the platform allocates nothing per message.
import { expect, test } from 'vitest'
import { profileNames } from '../../src/platform/profiles.ts'
import { collectionsOf } from '../native/no-garbage.ts'
import { example, extended, newFrame, word } from './ask.ts'

/** Commands of every protocol: good ones, bad values, unknown ids, denied ones, lists; with words above 2^31. */
const commands: readonly (readonly [channel: number, ...words: number[]])[] = [
  [0, word(0x10, 0x0)],
  [0, word(0x10, 0x1)],
  [0, word(0x10, 0x2), 0x9],
  [1, word(0x10, 0x6), 0],
  [1, word(0x10, 0x7), 0xffff_ffff],
  [0, word(0x10, 0x9), 3, 1, 1],
  [0, word(0x10, 0xa), 3, 1, 0x14, 0],
  [0, word(0x10, 0xa), 3, 1, 0x14, 1],
  [0, word(0x10, 0xa), 3, 1, 0xffff_ffff, 1],
  [1, word(0x10, 0x9), 3, 1, 1],
  [0, word(0x10, 0xb), 3, 1],
  [0, word(0x10, 0x10), 0x2_0000],
  [0, word(0x10, 0x10), 0xffff_ffff],
  [0, word(0x11, 0x3), 0],
  [0, word(0x11, 0x4), 0, 2, 0],
  [0, word(0x11, 0x4), 0, 2, 0x4000_0000],
  [0, word(0x11, 0x4), 0, 2, 0xff00_0000],
  [0, word(0x11, 0x5), 2],
  [0, word(0x11, 0x6), 2, 1],
  [0, word(0x11, 0x8), 2],
  [0, word(0x12, 0x3), 1, 0],
  [0, word(0x12, 0x3), 0, 0xffff_ffff],
  [0, word(0x12, 0x2), 3],
  [0, word(0x12, 0x5), 1],
  [0, word(0x13, 0x3), 0],
  [0, word(0x13, 0x4), 0, 0],
  [0, word(0x13, 0x5), 0, 400, 200],
  [0, word(0x13, 0x5), 0, 600, 200],
  [0, word(0x13, 0x5), 0, 0xffff_ffff, 200],
  [0, word(0x13, 0x7), 0, 600],
  [0, word(0x13, 0x7), 0, 200],
  [0, word(0x13, 0x9), 0, 1],
  [0, word(0x13, 0xa), 0, 1],
  [0, word(0x13, 0xb), 0, 5],
  [0, word(0x14, 0x3), 0],
  [0, word(0x14, 0x4), 3, 0],
  [0, word(0x14, 0x5), 0, 13, 500_000_000, 0],
  [0, word(0x14, 0x5), 8, 13, 1_400_000_000, 0],
  [0, word(0x14, 0x5), 0, 13, 0xffff_ffff, 0xffff_ffff],
  [0, word(0x14, 0x5), 4, 12, 12_000_000, 0],
  [0, word(0x14, 0x6), 12],
  [0, word(0x14, 0x7), 12, 1, 0],
  [0, word(0x14, 0x7), 12, 0, 0],
  [0, word(0x14, 0x7), 11, 0x2_0003, 0xffff_ffff],
  [0, word(0x14, 0x7), 11, 0x1_0003, 40],
  [0, word(0x14, 0x9), 13, 1],
  [0, word(0x14, 0xb), 11, 1],
  [0, word(0x14, 0xc), 12, 0],
  [0, word(0x14, 0xd), 12, 13],
  [0, word(0x14, 0xd), 12, 7],
  [0, word(0x14, 0xf), 12],
  [0, word(0x14, 0x6), 0xffff_ffff],
  [2, word(0x14, 0x6), 1],
  [0, word(0x15, 0x3), 0],
  [0, word(0x15, 0x5), 0, 1, 0xffff_ffff, 0xffff_ffff],
  [0, word(0x15, 0x6), 0, 0],
  [0, word(0x15, 0x8), 1, 0],
  [0, word(0x15, 0xa), 1, 0x1_f001],
  [0, word(0x15, 0x9), 1],
  [0, word(0x15, 0xb), 1, 1],
  [0, word(0x16, 0x3), 1],
  [0, word(0x16, 0x4), 1, 1, 0],
  [0, word(0x16, 0x4), 1, 2, 0],
  [0, word(0x16, 0x4), 1, 0, 0xffff_ffff],
  [0, word(0x16, 0x5), 1, 1],
  [0, word(0x17, 0x4), 3, 0],
  [0, word(0x17, 0x5), 3, 7],
  [0, word(0x17, 0x5), 3, 0xffff_ffff],
  [0, word(0x17, 0x7), 3, 0, 900_000],
  [0, word(0x17, 0x7), 3, 0, 0xffff_ffff],
  [0, word(0x17, 0x8), 3],
  [0, word(0x18, 0x3), 0],
  [0, word(0x18, 0xa), 2, 1],
  [0, word(0x18, 0xb), 0, 1, 0, 0xffff_ffff],
  [0, word(0x18, 0x5), 2, 0, 3_900_000_000],
  [0, word(0x18, 0x4), 2],
  [0, word(0x18, 0x5), 2, 0, 0],
  [0, word(0x18, 0x5), 0, 0, 0xffff_ffff],
  [0, word(0x18, 0x5), 0, 2, 1000],
  [0, word(0x18, 0x7), 2, 0, 20],
  [0, word(0x18, 0x7), 2, 0, 0xffff_ffff],
  [0, word(0x18, 0x9), 0],
  [0, word(0x18, 0xc), 2, 5],
  [0, word(0x18, 0x4), 0xffff_ffff],
  [0, word(0x19, 0x3), 0, 1],
  [0, word(0x19, 0x4), 0, 2, 0],
  [0, word(0x19, 0x5), 0, 0x5_0000],
  [0, word(0x19, 0x5), 0, 0x1_00c0],
  [0, word(0x19, 0x6), 0, 0xffff_ffff, 0x9, 4, 1, 192, 0xffff_ffff],
  [0, word(0x19, 0x6), 0, 0, 0x401],
  [0, word(0x19, 0x6), 0, 0xffff_ffff, 0x401],
  [0, word(0x19, 0x6), 0, 0, 0x5, 0xffff_ffff, 1],
  [0, word(0x19, 0x7), 0, 1],
  [0, word(0x19, 0x8), 0, 1],
  [0, word(0x19, 0x9), 4, 0],
  [0, word(0x19, 0x6), 0, 0, 0xffff_ffff],
  [0, word(0x1a, 0x0)],
  [0, word(0x14, 0x6, 0, 3), 0],
  [0, 0xffff_ffff],
]

test.each(profileNames)('%s: the platform collects no garbage in a million mixed messages', async name => {
  const { platform } = example(text => `profile: ${name}\n${extended(text)}`)
  const frame = newFrame()
  let events = 0
  const count = () => {
    events++
  }
  const run = (times: number) => {
    for (let i = 0; i < times; i++) {
      const command = commands[i % commands.length] as readonly [number, ...number[]]
      for (let at = 1; at < command.length; at++) frame.words[at - 1] = command[at] as number
      platform.handle(command[0], frame, (command.length - 1) * 4)
      platform.flush(count)
    }
  }
  // Every handler at its fastest: compiled code is put in place between turns, late on a busy machine.
  for (let i = 0; i < 10; i++) {
    run(50_000)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  expect(await collectionsOf(run, 1_000_000)).toBe(0)
  if (name !== 'scmi-msg') expect(events).toBeGreaterThan(50_000)
})
