// The systemd unit and the manual pages, by the programs that read them.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { commands } from '../../src/cli/commands.ts'
import { defaultConfig } from '../../src/config/scmid-options.ts'

const packaging = new URL('../../packaging', import.meta.url).pathname
const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0
const unit = readFileSync(join(packaging, 'scmid.service'), 'utf8')
let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scmid-unit-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('scmid.service', () => {
  test.skipIf(!has('systemd-analyze'))('systemd takes every line of it', () => {
    const copy = join(folder, 'scmid.service')
    // The programs are not installed here, their places are another test's.
    writeFileSync(copy, unit.replace(/^(Exec\w+=-?)\/usr\/s?bin\/scm\S+/gm, '$1/bin/true'))
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', copy], {
      encoding: 'utf8',
    })
    const about = stderr.split('\n').filter(line => line.includes('scmid'))
    expect([status, about]).toEqual([0, []])
  })

  const lines = (key: string): string[] =>
    unit
      .split('\n')
      .flatMap(line => (line.startsWith(`${key}=`) ? line.slice(key.length + 1).split(' ') : []))

  test('comes after xenstored and before the guests that are started at boot', () => {
    expect(lines('After')).toContain('xenstored.service')
    expect(lines('Before')).toContain('xendomains.service')
  })

  test('has the directories that the daemon looks for as root, for root alone; others pass through to sockets', () => {
    const modes = { RuntimeDirectory: '0711', StateDirectory: '0700', LogsDirectory: '0700' }
    for (const [key, mode] of Object.entries(modes)) {
      expect(lines(key)).toEqual(['scmid'])
      expect(lines(`${key}Mode`)).toEqual([mode])
    }
    expect(lines('ConditionPathExists')).toEqual([defaultConfig])
  })

  test('starts the daemon anew, but not over a command line that nobody can mean', () => {
    expect([lines('Restart'), lines('RestartPreventExitStatus')]).toEqual([['on-failure'], ['2']])
  })
})

describe.each(readdirSync(join(packaging, 'man')))('%s', page => {
  const path = join(packaging, 'man', page)

  test.skipIf(!has('man'))('man renders it and complains of nothing', () => {
    const { status, stdout, stderr } = spawnSync('man', ['--warnings', '-E', 'UTF-8', '-l', path], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '80', MANPAGER: 'cat' },
    })
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toContain('NAME')
  })
})

test('scmictl(1) has every command', () => {
  const text = readFileSync(join(packaging, 'man/scmictl.1'), 'utf8')
  for (const { name, summary } of commands) {
    expect(text).toContain(`.SS "${name.replaceAll('-', '\\-')}`)
    expect(text).toContain(summary.split('-')[0])
  }
})
