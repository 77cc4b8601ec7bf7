// The platform, described as the reference machine of SCP-firmware, against what SCP-firmware 2.14 itself answered.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { hex, platformFrom, word } from './ask.ts'

const recorded = readFileSync(new URL('scp-firmware.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter(line => line !== '' && !line.startsWith('#'))
  .map(line => line.split(' ') as [string, string])

/** Where the two differ, and why. */
const differences: Record<string, readonly [string, string]> = {
  '0544000000000000': ['054400000000000000000000', 'composite state of a core and its cluster; here ON'],
  '0544000001000000': ['054400000000000000000000', 'the same'],
  '024c00000b000000': [
    '024c00000000000000000000',
    'built without fast channels there; here each domain says so',
  ],
}

test('SCP-firmware and the platform answer the same to the same sequence of commands', () => {
  const asked = platformFrom('scp-firmware.yaml')
  const differing = new Set<string>()
  for (const [command, response] of recorded) {
    const ours = asked.raw(0, command)
    const difference = differences[command]
    if (difference !== undefined && ours !== response) {
      differing.add(command)
      expect(ours, `${command}: ${difference[1]}`).toBe(difference[0])
    } else expect(ours, command).toBe(response)
  }
  expect([...differing].sort(), 'every listed difference is one').toEqual(Object.keys(differences).sort())
  expect(recorded.length).toBe(293)
})

test('a changed level is told as SCP-firmware tells it', () => {
  const asked = platformFrom('scp-firmware.yaml')
  expect(asked.raw(0, hex(word(0x13, 0xa), 0, 1))).toBe(hex(word(0x13, 0xa), 0)) // PERFORMANCE_NOTIFY_LEVEL
  asked.raw(0, hex(word(0x13, 0x7), 0, 998_000))
  asked.takeEvents()
  asked.raw(0, hex(word(0x13, 0x7), 0, 1_596_000)) // PERFORMANCE_LEVEL_SET
  expect(asked.takeEvents()).toEqual([{ channel: 0, frame: '014f00000100000000000000605a1800' }])
})
