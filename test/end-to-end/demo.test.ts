// The main job as a stranger runs it: the compiled demonstration, with real processes, device trees, frames and shared
// memory. What it claims is checked against the audit log read by hand and against the plan written down here.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { verifyAudit } from '../../src/audit/verify.ts'
import { ControlClient } from '../../src/cli/client.ts'
import type { Summary } from '../../src/demo/summary.ts'

const program = 'dist/demo.js'
const folder = mkdtempSync(join(tmpdir(), 'scmi-demo-'))
afterAll(() => rmSync(folder, { recursive: true }))
beforeAll(() => {
  if (!existsSync(program)) throw new Error(`${program} is missing: node scripts/ensure.mjs compiles it`)
})

interface Run {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function run(args: readonly string[]): Promise<Run> {
  const child = spawn(process.execPath, [program, ...args], { env: { ...process.env, TMPDIR: folder } })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    err += text
  })
  const [code] = (await once(child, 'close')) as [number]
  return { code, out, err }
}

type Line = Readonly<Record<string, unknown>>

/** Host nodes of the example's guests, from fixtures/example/host.dts. */
const nodes: Readonly<Record<string, readonly string[]>> = {
  'guest-a': ['/soc/ethernet@e6800000', '/soc/mmc@ee100000', '/soc/gpu@fd000000'],
  'guest-b': ['/soc/usb@ee080000', '/soc/mmc@ee140000', '/soc/adc@e6f30000'],
}
const other = (name: string): string => (name === 'guest-a' ? 'guest-b' : 'guest-a')
/** Resources by protocol that each holds, from the phandles of host.dts; power domain 2 is both's. */
const resources: Readonly<Record<string, Readonly<Record<number, readonly number[]>>>> = {
  'guest-a': { 17: [0, 2, 4], 19: [0], 20: [0, 3, 4, 8], 21: [0], 22: [0, 2, 5], 23: [0, 1] },
  'guest-b': { 17: [1, 2, 5], 20: [1, 2, 5, 6, 11], 21: [1], 22: [1, 3, 7], 23: [2] },
}

describe('--once --json', () => {
  let result: Run
  let summary: Summary
  let lines: readonly Line[]
  beforeAll(async () => {
    result = await run(['--once', '--json'])
    summary = JSON.parse(result.out.trimEnd().split('\n').at(-1) ?? '') as Summary
    lines = readFileSync(summary.audit.path, 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Line)
  }, 120_000)
  const messages = (domain: string, decision: string): readonly Line[] =>
    lines.filter(
      line => line['kind'] === 'message' && line['domain'] === domain && line['decision'] === decision,
    )

  test('succeeds, and standard output is the one JSON object', () => {
    expect(summary.problems).toEqual([])
    expect(result.code).toBe(0)
    expect(summary.ok).toBe(true)
    expect(result.out.trimEnd().split('\n')).toHaveLength(1)
    expect(result.err).toContain('everything was as it must be')
  })

  test('counts what the guests sent', () => {
    expect(summary.guests.map(({ name, agentId }) => [name, agentId])).toEqual([
      ['guest-a', 2],
      ['guest-b', 3],
    ])
    for (const { messages: all, allowed, denied, errors } of summary.guests) {
      expect(all).toBe(allowed + denied + errors)
      expect(allowed).toBeGreaterThan(50)
      expect(denied).toBeGreaterThan(50)
      expect(errors).toBe(0)
    }
  })

  test('the platform received exactly the grants of the plan', () => {
    const sorted = [...summary.permissionCommands].sort((a, b) => a.deviceId - b.deviceId)
    expect(sorted).toEqual([
      { agentId: 2, deviceId: 0, allow: true },
      { agentId: 3, deviceId: 1, allow: true },
      { agentId: 2, deviceId: 2, allow: true },
      { agentId: 3, deviceId: 3, allow: true },
      { agentId: 2, deviceId: 5, allow: true },
      { agentId: 3, deviceId: 7, allow: true },
    ])
  })

  test.each(['guest-a', 'guest-b'])('%s controlled every resource of its own with SUCCESS', name => {
    const controlled = messages(name, 'allowed')
    expect(controlled.filter(line => line['status'] !== 0)).toEqual([])
    for (const line of controlled) expect(nodes[name]).toContain(line['node'])
    for (const [protocol, ids] of Object.entries(resources[name] ?? {})) {
      const seen = controlled
        .filter(line => line['protocol'] === Number(protocol))
        .map(line => line['resource'])
      expect([...new Set(seen)].sort((a, b) => Number(a) - Number(b))).toEqual(ids)
    }
  })

  test.each(['guest-a', 'guest-b'])(
    '%s got nothing of the other’s, and the node that decides is named',
    name => {
      const refused = [...messages(name, 'denied'), ...messages(name, 'placeholder')]
      const aboutAll = refused.filter(line => line['resource'] === undefined && line['protocol'] !== 0x10)
      expect(aboutAll).toEqual([]) // both hold something of every protocol they try
      const foreign = refused.filter(line => line['resource'] !== undefined)
      for (const line of foreign) expect(nodes[other(name)]).toContain(line['node'])
      for (const line of messages(name, 'denied')) expect(line['status']).toBe(-3)
      for (const [protocol, ids] of Object.entries(resources[other(name)] ?? {})) {
        const own = resources[name]?.[Number(protocol)] ?? []
        const tried = foreign
          .filter(line => line['protocol'] === Number(protocol))
          .map(line => line['resource'])
        expect([...new Set(tried)].sort((a, b) => Number(a) - Number(b))).toEqual(
          ids.filter(id => !own.includes(id)),
        )
      }
      const privileged = messages(name, 'denied').filter(line => line['protocol'] === 0x10)
      expect([...new Set(privileged.map(line => line['message']))].sort()).toEqual([
        'BASE_RESET_AGENT_CONFIGURATION',
        'BASE_SET_DEVICE_PERMISSIONS',
        'BASE_SET_PROTOCOL_PERMISSIONS',
      ])
    },
  )

  test('a release of the shared power domain was outvoted, naming who still needs it', () => {
    for (const [name, holder] of [
      ['guest-a', '/soc/mmc@ee140000'],
      ['guest-b', '/soc/mmc@ee100000'],
    ] as const) {
      const votes = messages(name, 'vote')
      expect(votes.length).toBeGreaterThan(0)
      for (const line of votes)
        expect(line).toMatchObject({ message: 'POWER_STATE_SET', resource: 2, status: 0, node: holder })
    }
    expect(result.err).toContain('for guest-b it is still on')
  })

  test('its audit log is whole, and one flipped byte is found with its line', async () => {
    expect(summary.audit).toMatchObject({ chain: 'ok', records: lines.length })
    expect(await verifyAudit(summary.audit.path)).toMatchObject({ chain: 'ok', records: lines.length })
    const bytes = readFileSync(summary.audit.path)
    const copy = join(folder, 'flipped.jsonl')
    for (const line of [1, 40, lines.length]) {
      const flipped = Buffer.from(bytes)
      let at = 0
      for (let i = 1; i < line; i++) at = flipped.indexOf('\n', at) + 1
      at += 30
      flipped[at] = (flipped[at] as number) ^ 1
      writeFileSync(copy, flipped)
      expect(await verifyAudit(copy)).toMatchObject({ chain: 'broken', line })
    }
  })

  test('leaves its audit log and nothing that runs or listens', () => {
    const directory = dirname(dirname(summary.audit.path))
    expect(readdirSync(directory).filter(name => name.endsWith('.sock') || name === 'state')).toEqual([])
    expect(existsSync(summary.audit.path)).toBe(true)
  })
})

test('--once tells the same to people, without colour where there is no terminal', async () => {
  const { code, out, err } = await run(['--once', '-v'])
  expect([code, err]).toEqual([0, ''])
  expect(out).toContain('guest-a uses clock 3 (sd0)')
  expect(out).toMatch(/denied {7}.*CLOCK_RATE_SET/)
  expect(out).toContain('not granted: /soc/mmc@ee100000 of guest-a')
  expect(out).toMatch(/< clock CLOCK_RATE_SET response, token \d+: DENIED \(-3\)/)
  expect(out).not.toContain('\x1b')
}, 120_000)

/** Command lines of all processes that name a path. */
const processesNaming = (path: string): readonly string[] =>
  readdirSync('/proc').flatMap(pid => {
    if (!/^\d+$/.test(pid)) return []
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      return line.includes(path) ? [line] : []
    } catch {
      return [] // it has ended meanwhile
    }
  })

test.each<[string, NodeJS.Signals, string]>([
  ['The plan', 'SIGINT', 'while the daemon starts'],
  ['guest-b: agent', 'SIGTERM', 'while the guests start'],
  ['guest-a tries', 'SIGHUP', 'in the middle'],
])(
  'after "%s", %s ends it with all its processes: %s',
  async (text, signal) => {
    const directory = mkdtempSync(join(folder, 'interrupted-'))
    const child = spawn(process.execPath, [program, '--once'], { env: { ...process.env, TMPDIR: directory } })
    let out = ''
    child.stdout.setEncoding('utf8').on('data', more => {
      if (!out.includes(text) && (out + more).includes(text)) child.kill(signal)
      out += more
    })
    expect(await once(child, 'close')).toEqual([1, null])
    expect(out).toContain('stopping')
    expect(processesNaming(directory)).toEqual([])
  },
  60_000,
)

test.each<[string, string[], 'stdout' | 'stderr']>([
  ['standard output', ['--once'], 'stdout'],
  ['standard error, where --json prints', ['--once', '--json'], 'stderr'],
])(
  'a reader that leaves ends it with all its processes: %s',
  async (_, args, stream) => {
    const directory = mkdtempSync(join(folder, 'unread-'))
    const child = spawn(process.execPath, [program, ...args], { env: { ...process.env, TMPDIR: directory } })
    let out = ''
    child[stream].setEncoding('utf8').on('data', more => {
      out += more
      if (out.includes('guest-a: agent')) child[stream].destroy()
    })
    expect(await once(child, 'close')).toEqual([1, null])
    expect(processesNaming(directory)).toEqual([])
  },
  60_000,
)

test.each([
  [['--help'], 0, /Usage: npm start -- \[options\]/],
  [['--version'], 0, /^\d+\.\d+\.\d+\n$/],
])('%s', async (args, code, text) => {
  const result = await run(args)
  expect(result.code).toBe(code)
  expect(result.out).toMatch(text)
})

test('an unknown option is a usage error', async () => {
  const { code, err } = await run(['--twice'])
  expect(code).toBe(2)
  expect(err).toContain('unknown option')
})

/** Files outside of the user's home can be read by anybody: then the demonstration can run as nobody. */
const nobody = 65534
const canBeNobody = process.geteuid?.() === 0 && worldCanEnter(process.cwd())
function worldCanEnter(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false
    if (at === '/') return true
  }
}

describe.skipIf(process.geteuid?.() === 0 && !canBeNobody)('without --once', () => {
  const identity = canBeNobody ? { uid: nobody, gid: nobody } : {}
  let runtime: string
  let child: ChildProcessWithoutNullStreams
  let out: string
  beforeEach(() => {
    runtime = mkdtempSync(join(tmpdir(), 'scmi-demo-'))
    if (canBeNobody) chownSync(runtime, nobody, nobody)
    chmodSync(runtime, 0o700)
    out = ''
  })
  afterEach(() => {
    child.kill('SIGKILL')
    rmSync(runtime, { recursive: true })
  })
  const start = (): ChildProcessWithoutNullStreams => {
    const env = { ...process.env, XDG_RUNTIME_DIR: runtime }
    const started = spawn(process.execPath, [program], { env, ...identity })
    started.stdout.setEncoding('utf8').on('data', text => {
      out += text
    })
    started.stderr.setEncoding('utf8').on('data', text => {
      out += text
    })
    return started
  }
  const serves = async (): Promise<void> => {
    for (let i = 0; i < 3000 && !out.includes('Ctrl-C stops everything'); i++) await sleep(10)
    expect(out).toContain('Ctrl-C stops everything')
  }

  test('stays serving where scmictl looks, refuses a second one, and Ctrl-C leaves nothing behind', async () => {
    child = start()
    await serves()
    const directory = join(runtime, 'scmid')
    const client = new ControlClient(join(directory, 'scmid.sock'))
    const pid = (await client.info()).pid
    const domains = await client.domains()
    expect(domains.map(({ name, state, connected }) => [name, state, connected])).toEqual([
      ['guest-a', 'running', true],
      ['guest-b', 'running', true],
    ])
    const second = start()
    const [code] = (await once(second, 'close')) as [number]
    expect(code).toBe(1)
    expect(out).toContain('another scmid serves')
    expect((await client.domains()).length).toBe(2)
    child.kill('SIGINT')
    const [ended] = (await once(child, 'close')) as [number]
    expect(ended).toBe(0)
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    expect(readdirSync(directory).filter(name => name.endsWith('.sock'))).toEqual([])
  }, 60_000)

  test('a daemon that dies is told of, and the guests end too', async () => {
    child = start()
    await serves()
    const client = new ControlClient(join(runtime, 'scmid', 'scmid.sock'))
    process.kill((await client.info()).pid, 'SIGKILL')
    const [code] = (await once(child, 'close')) as [number]
    expect(code).toBe(1)
    expect(out).toContain('scmid ended (SIGKILL)')
    child = start() // what it left behind is taken up and removed
    out = ''
    await serves()
    expect(out).toContain('guest-a is left from an earlier run; removed')
    child.kill('SIGTERM')
    expect(await once(child, 'close')).toEqual([0, null])
  }, 60_000)
})
