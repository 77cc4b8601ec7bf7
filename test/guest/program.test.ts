// The compiled program as a process: modes, outputs and exit codes, over both links. dist/ is what npm test compiled.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostileSummary } from '../../src/guest/hostile.ts'
import { kinds, PlatformHandler, Served } from './served.ts'

const program = 'dist/guest/main.js'
const folder = mkdtempSync(join(tmpdir(), 'scmi-guest-program-'))
beforeAll(() => {
  if (!existsSync(program)) throw new Error(`${program} is missing: node scripts/ensure.mjs compiles it`)
})
afterAll(() => rmSync(folder, { recursive: true }))

async function run(args: readonly string[], input = ''): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, [program, ...args])
  let out = ''
  let err = ''
  child.stdout.on('data', chunk => {
    out += chunk
  })
  child.stderr.on('data', chunk => {
    err += chunk
  })
  child.stdin.end(input)
  const [code] = (await once(child, 'close')) as [number]
  return { code, out, err }
}
const file = (text: string): string => {
  const path = join(folder, 'script')
  writeFileSync(path, text)
  return path
}

describe.each(kinds)('over the %s', kind => {
  const served = async <T>(play: (option: readonly string[], served: Served) => Promise<T>): Promise<T> => {
    const link = new Served(kind, new PlatformHandler())
    try {
      return await play([`--${kind}`, link.path], link)
    } finally {
      link.close()
      expect(link.faults).toEqual([])
    }
  }

  test('a script from a file: every message answered, exit 0', () =>
    served(async to => {
      const { code, out, err } = await run([
        ...to,
        '--script',
        file('use clock 0\nPOWER_STATE_GET domain_id=0'),
      ])
      expect([code, err]).toEqual([0, ''])
      expect(out).toContain('< clock CLOCK_RATE_SET response, token')
      expect(out.trimEnd().split('\n').at(-1)).toMatch(/< power POWER_STATE_GET response.*SUCCESS/)
    }))

  test('a script from standard input with --json', () =>
    served(async to => {
      const { code, out } = await run(
        [...to, '--json', '--script', '-'],
        'CLOCK_RATE_GET clock_id=0\nmark x\n',
      )
      expect(code).toBe(0)
      const lines = out
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line) as Record<string, unknown>)
      expect(lines.map(line => line['message'] ?? line['mark'])).toEqual([
        'PROTOCOL_VERSION',
        'CLOCK_RATE_GET',
        'x',
      ])
      expect(lines[1]).toMatchObject({ value: { rate: 125_000_000 } })
    }))

  test('a bad line in a file is told before anything is sent: exit 2', () =>
    served(async (to, { link }) => {
      const { code, out, err } = await run([...to, '--script', file('CLOCK_RATE_GET clock_id=0\nnonsense')])
      expect([code, out]).toEqual([2, ''])
      expect(err).toMatch(/script:2: no message nonsense/)
      expect(link.counters.commands).toBe(0)
    }))

  test('without a terminal, the prompt takes lines, tells mistakes and goes on', () =>
    served(async to => {
      const { code, out } = await run(
        [...to],
        'help\nnonsense\nCLOCK_RATE_GET clock_id=0\nquit\nclock.PROTOCOL_VERSION\n',
      )
      expect(code).toBe(0)
      expect(out).toContain('use clock 0,3')
      expect(out).toContain('? no message nonsense')
      expect(out).toContain('rate=125000000')
      expect(out).not.toContain('scmi-guest>')
      expect(out.trimEnd().split('\n').at(-1)).toContain('CLOCK_RATE_GET')
    }))

  test('--discover prints what is there', () =>
    served(async to => {
      const { code, out } = await run([...to, '--discover'])
      expect(code).toBe(0)
      expect(out).toContain('platform example r-car-h3, implementation version 0x10000')
      const json = await run([...to, '--discover', '--json'])
      expect(JSON.parse(json.out)).toMatchObject({ vendor: 'example', self: 1 })
    }))

  test('a link that breaks: exit 1', async () => {
    const { code, err } = await run([`--${kind}`, join(folder, 'nobody'), '--script', '-'], '40000000\n')
    expect(code).toBe(1)
    expect(err).toMatch(/nobody: cannot connect/)
  })

  test('hostile: finishes its programme, is served to the end, and the same seed does the same', () =>
    served(async to => {
      const play = async (seed: number): Promise<HostileSummary> => {
        const args = [...to, '--hostile', '--seed', `${seed}`, '--messages', '150', '--limit', '60', '--json']
        const { code, out, err } = await run(args)
        expect([code, err]).toEqual([0, ''])
        return JSON.parse(out) as HostileSummary
      }
      const first = await play(7)
      expect(first).toMatchObject({ seed: 7, attacks: 150, stillServed: true })
      expect(first.unfinished).toBeUndefined()
      expect(Object.keys(first.kinds)).toEqual(
        expect.arrayContaining([
          'random bytes',
          'types 1, 2 and 3',
          'permission commands',
          'a second connection',
        ]),
      )
      if (kind === 'trap-socket') expect(first.kinds['rewriting the page']?.sent).toBeGreaterThan(0)
      const runs = (summary: HostileSummary) =>
        Object.fromEntries(Object.entries(summary.kinds).map(([name, { runs: count }]) => [name, count]))
      expect(runs(await play(7))).toEqual(runs(first))
      expect(runs(await play(8))).not.toEqual(runs(first))
    }))
})

test.each([
  [[], 'say which: --trap-socket PATH or --message-socket PATH', 'no link'],
  [['--trap-socket', 'a', '--message-socket', 'b'], 'cannot be used with', 'both links'],
  [['--message-socket', 'a', '--hostile', '--discover'], 'one of --script', 'two modes'],
  [['--message-socket', 'a', '--hostile', '--seed', '-1'], 'expected a number', 'a seed that is none'],
  [['--message-socket', 'a', '--script', '/nonexistent'], 'ENOENT', 'no script'],
  [['--message-socket', 'a', 'extra'], 'too many arguments', 'a stray argument'],
])('usage: %s exits 2: %s', async (args, text) => {
  const { code, err } = await run(args)
  expect(code).toBe(2)
  expect(err).toContain(text)
})
