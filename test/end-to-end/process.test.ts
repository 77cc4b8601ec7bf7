// scmid as a process: how it starts, refuses to, reads its configuration again, stops, and ends when something broke.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { verifyAudit } from '../../src/audit/verify.ts'
import { ControlClient } from '../../src/cli/client.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'
import { MessageGuest } from './message-guest.ts'

const now = { dryRun: false }
const patience = 60_000
const running: ChildProcess[] = []

beforeAll(ensureBuilt, 120_000)
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL')
})

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'scmid-process-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Writes a configuration of the example's machine, with more lines. */
function configure(directory: string, more = ''): string {
  const file = join(directory, 'scmid.yaml')
  writeFileSync(
    file,
    `host: ${example('host.dtb')}\nfirmware:\n  link: embedded\n  platform: ${example('platform.yaml')}\n  management: { channel: 0, agentId: 1 }\n${more}`,
  )
  return file
}

interface Run {
  readonly child: ChildProcess
  readonly err: () => string
  readonly out: () => string
  readonly ended: Promise<number | string>
}

/** Starts scmid; `program` where it is not dist/main.js. */
function scmid(
  directory: string,
  config: string,
  options: { program?: string; umask?: string; args?: string[] } = {},
): Run {
  const args = [
    options.program ?? resolve('dist/main.js'),
    '-c',
    config,
    '--directory',
    directory,
    ...(options.args ?? []),
  ]
  const child =
    options.umask === undefined
      ? spawn(process.execPath, args, { cwd: directory })
      : spawn('/bin/sh', ['-c', `umask ${options.umask}; exec "$@"`, 'sh', process.execPath, ...args], {
          cwd: directory,
        })
  running.push(child)
  let [err, out] = ['', '']
  child.stderr?.on('data', chunk => {
    err += chunk
  })
  child.stdout?.on('data', chunk => {
    out += chunk
  })
  const ended = once(child, 'close').then(([code, signal]) => code ?? signal)
  return { child, err: () => err, out: () => out, ended }
}

async function until(what: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
  const end = Date.now() + ms
  while (!(await what())) {
    if (Date.now() > end) throw new Error(`it did not come: ${what}`)
    await new Promise(done => setTimeout(done, 10))
  }
}

const serving = (run: Run): Promise<void> => until(() => run.err().includes('"msg":"serving"'))

/** What a directory holds but logs, configuration and what is there for the next run, by name. */
const left = (directory: string): string[] =>
  readdirSync(directory)
    .filter(name => !/\.(yaml|lock|dtb)$/.test(name) && !['state', 'log', 'votes'].includes(name))
    .sort()

describe('a start that fails says why in one line, leaves no socket and no lock, and exits 1', () => {
  const guests = (...rows: string[]): string => `domains:\n${rows.map(row => `  - { ${row} }\n`).join('')}`
  test.each<[string, (directory: string) => string, RegExp]>([
    [
      'a journal that is none',
      directory => {
        mkdirSync(join(directory, 'state'), { mode: 0o700 })
        writeFileSync(join(directory, 'state/domains.json'), '{')
        return configure(directory)
      },
      /^scmid: .*domains\.json: /,
    ],
    [
      'an audit log that does not hold',
      directory => {
        mkdirSync(join(directory, 'log'), { mode: 0o700 })
        writeFileSync(join(directory, 'log/audit.jsonl'), '{"sequence":1}\n')
        return configure(directory)
      },
      /^scmid: .*audit\.jsonl:1: /,
    ],
    [
      'a channel that is not there',
      directory => configure(directory, '  agents: [{ channel: 9 }]\n'),
      /^scmid: .*there is no channel 9/,
    ],
    [
      'an agent that is another',
      directory => configure(directory, '  agents: [{ channel: 1, agentId: 5 }]\n'),
      /^scmid: firmware channel 1 is declared as agent 5/,
    ],
    [
      'a socket that somebody else’s file stands in for',
      directory => {
        writeFileSync(join(directory, 'scmid.sock'), 'mine')
        return configure(directory)
      },
      /^scmid: .*scmid\.sock: is there already and is no socket/,
    ],
    [
      'a directory that is open to others',
      directory => {
        mkdirSync(join(directory, 'state'))
        chmodSync(join(directory, 'state'), 0o777)
        return configure(directory)
      },
      /^scmid: .*state: mode is 0777, open to others/,
    ],
    [
      'a domain’s tree that is not there',
      directory => configure(directory, guests('name: g, dtb: nowhere.dtb, messageSocket: g.sock')),
      /^scmid: .*nowhere\.dtb: ENOENT/,
    ],
    [
      'nobody behind the firmware’s sockets',
      directory => {
        const file = join(directory, 'scmid.yaml')
        writeFileSync(
          file,
          `host: ${example('host.dtb')}\nfirmware:\n  link: stream-socket\n  management: { path: fw.sock }\n  channels: [{ path: fw1.sock }]\n  connectMs: 200\n`,
        )
        return file
      },
      /^scmid: .*fw\.sock/,
    ],
  ])(
    '%s',
    async (_what, prepare, text) => {
      const directory = folder()
      const config = prepare(directory)
      const before = left(directory)
      const run = scmid(directory, config)
      expect(await run.ended).toBe(1)
      const lines = run
        .err()
        .trim()
        .split('\n')
        .filter(line => !line.startsWith('{'))
      expect(lines).toEqual([expect.stringMatching(text)])
      expect(run.out()).toBe('')
      expect(left(directory)).toEqual(before)
      // Nothing is locked: the next one starts as soon as it can.
      for (const name of ['state/domains.json', 'log/audit.jsonl', 'scmid.sock'])
        rmSync(join(directory, name), { force: true })
      for (const name of ['state', 'log'])
        if (existsSync(join(directory, name))) chmodSync(join(directory, name), 0o700)
      const next = scmid(directory, configure(directory))
      await serving(next)
      next.child.kill('SIGTERM')
      expect(await next.ended).toBe(0)
    },
    patience,
  )

  test(
    'a journal and an audit log that are refused are left as they are',
    async () => {
      const directory = folder()
      mkdirSync(join(directory, 'state'), { mode: 0o700 })
      writeFileSync(join(directory, 'state/domains.json'), '{')
      expect(await scmid(directory, configure(directory)).ended).toBe(1)
      expect(readFileSync(join(directory, 'state/domains.json'), 'utf8')).toBe('{')
    },
    patience,
  )
})

describe('domains of the configuration', () => {
  const guests = (...rows: string[]): string => `domains:\n${rows.map(row => `  - { ${row} }\n`).join('')}`
  const row = (name: string, more = ''): string =>
    `name: ${name}, dtb: ${name}.dtb, messageSocket: ${name}.sock${more}`
  const prepare = (more: string): [string, string] => {
    const directory = folder()
    for (const name of ['guest-a', 'guest-b']) cpSync(example(`${name}.dtb`), join(directory, `${name}.dtb`))
    return [directory, configure(directory, more)]
  }

  test(
    'paths are relative to the file, wherever the daemon was started',
    async () => {
      const [directory, config] = prepare(guests(row('guest-a'), row('guest-b', ', agentId: 5')))
      const run = scmid(directory, config)
      await serving(run)
      const client = new ControlClient(join(directory, 'scmid.sock'))
      expect(
        (await client.domains()).map(({ name, agentId, link }) => [
          name,
          agentId,
          'path' in link && link.path,
        ]),
      ).toEqual([
        ['guest-a', 2, join(directory, 'guest-a.sock')],
        ['guest-b', 5, join(directory, 'guest-b.sock')],
      ])
      run.child.kill('SIGTERM')
      expect(await run.ended).toBe(0)
      expect(left(directory)).toEqual([])
      // They come back by the journal, and are not added twice.
      const next = scmid(directory, config)
      await serving(next)
      expect(await client.domains()).toHaveLength(2)
      expect(await client.status()).toEqual({ state: 'ok', problems: [] })
    },
    patience,
  )

  test(
    'one that cannot be added is told; the others are served',
    async () => {
      const [directory, config] = prepare(guests(row('guest-a', ', agentId: 77'), row('guest-b')))
      const run = scmid(directory, config)
      await serving(run)
      const client = new ControlClient(join(directory, 'scmid.sock'))
      expect((await client.domains()).map(({ name }) => name)).toEqual(['guest-b'])
      expect(await client.status()).toEqual({
        state: 'degraded',
        problems: [
          expect.stringMatching(/^domain guest-a of .*scmid\.yaml was not added: there is no agent 77/),
        ],
      })
    },
    patience,
  )

  test(
    'one that says otherwise than what is served is told in the log, and left alone',
    async () => {
      const [directory, config] = prepare(guests(row('guest-a')))
      const run = scmid(directory, config)
      await serving(run)
      run.child.kill('SIGTERM')
      await run.ended
      configure(directory, guests(row('guest-a', ', domid: 9')))
      const next = scmid(directory, config)
      await serving(next)
      expect(next.err()).toContain('domain guest-a is served as it was added before')
    },
    patience,
  )
})

describe('one daemon to a directory', () => {
  test(
    'a second is refused, and touches nothing of the first’s',
    async () => {
      const first = await DaemonProcess.start()
      onTestFinished(() => first.destroy())
      const link = { kind: 'message-socket', path: first.path('a.sock') } as const
      await first.client.addDomain({ name: 'guest-a', dtb: readFileSync(example('guest-a.dtb')), link }, now)
      await first.client.flushAudit()
      const state = () =>
        ['scmid.sock', 'a.sock', 'scmid.lock', 'state/domains.json', 'log/audit.jsonl'].map(name => {
          const { ino, size, mtimeMs, mode } = statSync(join(first.directory, name))
          return [name, ino, size, mtimeMs, mode]
        })
      const before = state()
      const second = scmid(first.directory, join(first.directory, 'scmid.yaml'))
      expect(await second.ended).toBe(1)
      expect(second.err()).toMatch(/^scmid: another scmid serves from .*\n$/)
      expect(state()).toEqual(before)
      expect(await first.client.status()).toEqual({ state: 'ok', problems: [] })
    },
    patience,
  )

  test(
    'nor may two share a state or a log directory under different run directories',
    async () => {
      const first = await DaemonProcess.start()
      onTestFinished(() => first.destroy())
      const run = folder()
      const shared = configure(
        run,
        `directories: { run: ${run}, state: ${join(first.directory, 'state')}, log: ${join(run, 'log')} }\n`,
      )
      const { status, stderr } = spawnSync(process.execPath, [resolve('dist/main.js'), '-c', shared], {
        encoding: 'utf8',
      })
      expect([status, stderr]).toEqual([
        1,
        expect.stringMatching(/^scmid: another scmid serves from .*state /),
      ])
    },
    patience,
  )

  test(
    'two at once: one serves',
    async () => {
      const directory = folder()
      const config = configure(directory)
      const runs = [scmid(directory, config), scmid(directory, config)]
      const first = await Promise.race(runs.map(async (run, i) => [i, await run.ended] as const))
      expect(first[1]).toBe(1)
      const other = runs[1 - first[0]] as Run
      await serving(other)
      other.child.kill('SIGTERM')
      expect(await other.ended).toBe(0)
    },
    patience,
  )
})

describe('signals', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s at any moment of the start: a clean end',
    async signal => {
      let served = 0
      for (const delay of [-1, 0, 5, 10, 20, 40, 60, 80, 110, 150, 200]) {
        const directory = folder()
        const run = scmid(directory, configure(directory))
        // From its first trace on; before that, the signal does what it does to every process.
        if (delay >= 0) await until(() => existsSync(join(directory, 'scmid.lock')))
        await new Promise(done => setTimeout(done, Math.max(delay, 0)))
        run.child.kill(signal)
        const code = await run.ended
        expect(code).toBe(delay < 0 ? signal : 0)
        if (run.err().includes('"msg":"serving"')) served++
        expect(left(directory)).toEqual([])
        expect(run.err()).not.toContain('"level":60')
        if (existsSync(join(directory, 'log/audit.jsonl')))
          expect(await verifyAudit(join(directory, 'log/audit.jsonl'))).toMatchObject({ chain: 'ok' })
      }
      expect(served).toBeLessThan(10) // some came while it started
    },
    patience,
  )

  test(
    'SIGTERM while the firmware does not come: not when patience ends',
    async () => {
      const directory = folder()
      const config = join(directory, 'scmid.yaml')
      writeFileSync(
        config,
        `host: ${example('host.dtb')}\nfirmware:\n  link: stream-socket\n  management: { path: fw.sock }\n  channels: [{ path: fw1.sock }]\n  connectMs: 60000\n`,
      )
      const run = scmid(directory, config)
      await until(() => existsSync(join(directory, 'state/scmid.lock')))
      await new Promise(done => setTimeout(done, 1500))
      run.child.kill('SIGTERM')
      expect(await run.ended, '70 would mean that it was waited for longer than a stop may take').toBe(0)
      expect(left(directory)).toEqual([])
    },
    patience,
  )

  test(
    'SIGTERM under load: answered to the end, stopped before its patience is over, the log whole',
    async () => {
      for (let round = 0; round < 3; round++) {
        const daemon = await DaemonProcess.start()
        onTestFinished(() => daemon.destroy())
        let answers = 0
        let load = true
        for (const [name, clock] of [
          ['guest-a', 0],
          ['guest-b', 1],
        ] as const) {
          const link = { kind: 'message-socket', path: daemon.path(`${name}.sock`) } as const
          await daemon.client.addDomain({ name, dtb: readFileSync(example(`${name}.dtb`)), link }, now)
          const guest = await MessageGuest.connect(link.path)
          const ask = async (): Promise<void> => {
            while (load) {
              try {
                await guest.ask(0x14, 0x7, clock, 1, 0)
                answers++
              } catch {
                return
              }
            }
          }
          void Promise.all([ask(), ask(), ask(), ask()])
        }
        const polling = (async () => {
          while (load) await daemon.client.domains().catch(() => {})
        })()
        await until(() => answers > 500)
        expect(await daemon.end('SIGTERM'), 'not 70').toBe(0)
        load = false
        await polling
        expect(left(daemon.directory)).toEqual([])
        const { path } = { path: join(daemon.directory, 'log/audit.jsonl') }
        expect(await verifyAudit(path)).toMatchObject({ chain: 'ok' })
        const last = readFileSync(path, 'utf8').trim().split('\n').at(-1)
        expect(JSON.parse(last ?? '')).toMatchObject({ kind: 'stop' })
      }
    },
    patience,
  )

  test(
    'SIGTERM twice is once',
    async () => {
      const directory = folder()
      const run = scmid(directory, configure(directory))
      await serving(run)
      run.child.kill('SIGTERM')
      run.child.kill('SIGINT')
      run.child.kill('SIGTERM')
      expect(await run.ended).toBe(0)
      expect(run.err().split('"msg":"stopping"')).toHaveLength(2)
    },
    patience,
  )

  test(
    'SIGHUP takes the log level, and nothing from a file that is broken',
    async () => {
      const directory = folder()
      const config = configure(directory)
      const run = scmid(directory, config)
      await serving(run)
      const client = new ControlClient(join(directory, 'scmid.sock'))
      await client.info()
      expect(run.err()).not.toContain('"level":20')
      configure(directory, 'log: { level: debug }\n')
      run.child.kill('SIGHUP')
      await until(() => run.err().includes('configuration read again'))
      await client.info()
      await until(() => run.err().includes('"level":20'))
      configure(directory, 'log: { level: shouting }\n')
      run.child.kill('SIGHUP')
      await until(() => run.err().includes('configuration not taken'))
      rmSync(config)
      run.child.kill('SIGHUP')
      await until(() => run.err().split('configuration not taken').length === 3)
      expect(await client.status()).toEqual({ state: 'ok', problems: [] })
      const { path } = await client.flushAudit()
      const reloads = readFileSync(path, 'utf8')
        .split('\n')
        .filter(line => line.includes('"kind":"reload"'))
      expect(reloads.map(line => JSON.parse(line).text)).toEqual([
        'log level debug; all else from the next start',
        expect.stringContaining('shouting'),
        expect.stringContaining('ENOENT'),
      ])
    },
    patience,
  )
})

describe('what is broken within', () => {
  /** A copy of the program, to be damaged. */
  function copy(): string {
    const root = folder()
    cpSync(resolve('dist'), join(root, 'dist'), { recursive: true })
    cpSync(resolve('package.json'), join(root, 'package.json'))
    spawnSync('ln', ['-s', resolve('node_modules'), join(root, 'node_modules')])
    return join(root, 'dist')
  }

  test(
    'no relay program: exits 70, and says what is missing',
    async () => {
      const dist = copy()
      rmSync(join(dist, 'relay-worker.js'))
      const directory = folder()
      const run = scmid(directory, configure(directory), { program: join(dist, 'main.js') })
      expect(await run.ended).toBe(70)
      expect(run.err()).toContain('relay-worker.js')
      expect(left(directory)).toEqual([])
    },
    patience,
  )

  test.each<[string, string, string]>([
    ['the relay thread throws while it serves', 'relay-worker.js', 'setTimeoutInRelay()'],
    ['the relay thread ends while it serves', 'relay-worker.js', 'process.exit(0)'],
  ])(
    '%s: exits 70 at once',
    async (_what, file, statement) => {
      const dist = copy()
      const path = join(dist, file)
      // Its own loop meets the fault at the 200th round.
      const text = readFileSync(path, 'utf8')
      expect(text).toContain('reactor.run();')
      writeFileSync(
        path,
        text.replace('reactor.run();', `for (let i = 0; i < 200; i++) reactor.step(-1); ${statement};`),
      )
      const directory = folder()
      const run = scmid(directory, configure(directory), { program: join(dist, 'main.js') })
      expect(await run.ended).toBe(70)
      expect(run.err()).toContain('"level":60')
      expect(left(directory)).toEqual([])
    },
    patience,
  )

  test.each<[string, string]>([
    ['throws', "setTimeout(() => { throw new Error('planted') }, 300);"],
    ['rejects unheard', "setTimeout(() => { void Promise.reject(new Error('planted')) }, 300);"],
  ])(
    'the main thread %s while the relay waits: exits 70, does not hang, leaves no socket',
    async (_what, statement) => {
      const dist = copy()
      const path = join(dist, 'daemon.js')
      const text = readFileSync(path, 'utf8')
      expect(text).toContain('await control.start();')
      writeFileSync(path, text.replace('await control.start();', `await control.start(); ${statement}`))
      const directory = folder()
      const run = scmid(directory, configure(directory), { program: join(dist, 'main.js') })
      await serving(run)
      expect(await run.ended).toBe(70)
      expect(run.err()).toContain('planted')
      expect(left(directory)).toEqual([])
    },
    patience,
  )

  test(
    'the main thread throws, and stopping hangs: exits 70 all the same',
    async () => {
      const dist = copy()
      const path = join(dist, 'daemon.js')
      const text = readFileSync(path, 'utf8')
      writeFileSync(
        path,
        text.replace(
          'await control.start();',
          "await control.start(); running.add(() => new Promise(() => {})); setTimeout(() => { throw new Error('planted') }, 200);",
        ),
      )
      const directory = folder()
      const run = scmid(directory, configure(directory), { program: join(dist, 'main.js') })
      await serving(run)
      expect(await run.ended).toBe(70)
    },
    patience,
  )
})

describe('around the process', () => {
  test(
    'nothing on stdout; what it makes is its owner’s alone, whatever the umask',
    async () => {
      const directory = folder()
      const run = scmid(directory, configure(directory), { umask: '000' })
      await serving(run)
      const client = new ControlClient(join(directory, 'scmid.sock'))
      for (const kind of ['message-socket', 'trap-socket'] as const)
        await client.addDomain(
          {
            name: kind === 'trap-socket' ? 'guest-a' : 'guest-b',
            dtb: readFileSync(example(kind === 'trap-socket' ? 'guest-a.dtb' : 'guest-b.dtb')),
            link: { kind, path: join(directory, `${kind}.sock`) },
          },
          now,
        )
      const modes = [
        'scmid.sock',
        'message-socket.sock',
        'trap-socket.sock',
        'scmid.lock',
        'state',
        'log',
        'state/domains.json',
        'log/audit.jsonl',
        'state/scmid.lock',
      ]
      for (const name of modes)
        expect([name, statSync(join(directory, name)).mode & 0o077]).toEqual([name, 0])
      run.child.kill('SIGTERM')
      expect(await run.ended).toBe(0)
      expect(run.out()).toBe('')
      for (const line of run.err().trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow()
    },
    patience,
  )

  test(
    'whoever read the log goes away: guests are served all the same',
    async () => {
      const directory = folder()
      const run = scmid(directory, configure(directory, 'log: { level: debug }\n'))
      await serving(run)
      run.child.stderr?.destroy()
      const client = new ControlClient(join(directory, 'scmid.sock'))
      for (let i = 0; i < 20; i++) expect(await client.status()).toEqual({ state: 'ok', problems: [] })
      run.child.kill('SIGTERM')
      expect(await run.ended).toBe(0)
    },
    patience,
  )

  test.each<[string[], number, RegExp, RegExp]>([
    [['--version'], 0, /^\d+\.\d+\.\d+\n$/, /^$/],
    [['--help'], 0, /Usage: scmid/, /^$/],
    [['--nonsense'], 2, /^$/, /unknown option/],
    [['-c'], 2, /^$/, /argument missing/],
    [['left', 'over'], 2, /^$/, /too many arguments/],
    [['-c', '/nowhere/scmid.yaml'], 1, /^$/, /^scmid: .*\/nowhere\/scmid\.yaml/],
    [['--check', '-c', '/nowhere/scmid.yaml'], 1, /^$/, /^scmid: /],
  ])(
    'scmid %s exits %i',
    (args, status, out, err) => {
      const result = spawnSync(process.execPath, [resolve('dist/main.js'), ...args], { encoding: 'utf8' })
      expect(result.stdout).toMatch(out)
      expect(result.stderr).toMatch(err)
      expect(result.status).toBe(status)
    },
    patience,
  )

  test(
    'a killed daemon’s sockets are taken over',
    async () => {
      const daemon = await DaemonProcess.start()
      const link = { kind: 'message-socket', path: daemon.path('a.sock') } as const
      await daemon.client.addDomain({ name: 'guest-a', dtb: readFileSync(example('guest-a.dtb')), link }, now)
      await daemon.end('SIGKILL')
      expect(left(daemon.directory)).toEqual(['a.sock', 'scmid.sock'])
      const next = await DaemonProcess.start({ directory: daemon.directory })
      onTestFinished(() => next.destroy())
      expect(await next.client.status()).toEqual({ state: 'ok', problems: [] })
      const guest = await MessageGuest.connect(link.path)
      expect((await guest.ask(0x10, 0)).status).toBe(0)
      guest.close()
    },
    patience,
  )
})
