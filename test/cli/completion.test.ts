import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { commands } from '../../src/cli/commands.ts'
import { bashCompletion } from '../../src/cli/completion.ts'

const hasBash = spawnSync('bash', ['-c', 'type complete']).status === 0

/** What bash offers for the words typed so far; the last one is under way. */
function offered(...words: string[]): string[] {
  const script = `scmictl() { printf 'Name ID\\nguest-a 1\\nguest-b 2\\n'; }
${bashCompletion(commands)}
COMP_WORDS=(scmictl "$@"); COMP_CWORD=$#; _scmictl; printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, stderr, status } = spawnSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8' })
  expect([stderr, status]).toEqual(['', 0])
  return stdout.split('\n').filter(line => line !== '')
}

test.runIf(hasBash).each<[string[], string[]]>([
  [['dom'], ['domain-add', 'domain-remove']],
  [['--so'], ['--socket']],
  [['--json', '--socket', '/s', 'aud'], ['audit']],
  [
    ['help', 'dev'],
    ['device-list', 'device-attach', 'device-detach'],
  ],
  [
    ['domain-remove', ''],
    ['guest-a', 'guest-b'],
  ],
  [['device-attach', 'guest-b'], ['guest-b']],
  [['domain-add', 'x', '--trap'], ['--trap-socket']],
  [
    ['audit', '--domain', ''],
    ['guest-a', 'guest-b'],
  ],
  [['audit', '--since', ''], []],
  [['audit', 'veri'], ['verify']],
  [['domain-remove', '-N'], ['-N']],
  [['list', '-N'], []],
  [['domain-add', 'x', '--dtb', '/proc/self/exe'], ['/proc/self/exe']],
  [['nosuch', '-'], []],
  [['generate', 'x', '--conduit', 'v'], ['virtio']],
  [['domain-add', 'x', '--conduit', 'p'], ['psci']],
  [
    ['generate', 'x', '--format', 'd'],
    ['dts', 'dtb'],
  ],
  [['generate', 'x', '-o', '/proc/self/exe'], ['/proc/self/exe']],
  [
    ['generate', 'gu'],
    ['guest-a', 'guest-b'],
  ],
])('%j offers %j', (words, expected) => {
  expect(offered(...words)).toEqual(expected)
})
