// scmi-platform as a process: its options, its sockets, its end; and the daemon's link to it when it dies.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { version } from '../../src/config/version.ts'
import { StreamSocketLink } from '../../src/firmware-link/stream-socket/stream-socket.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { NOT_SUPPORTED } from '../../src/scmi/status.ts'
import { type Transfer, TransferPool } from '../../src/transfer.ts'
import { ensureBuilt } from '../end-to-end/daemon-process.ts'
import { hex, word } from '../platform/ask.ts'
import { examplePlatform, PlatformProcess } from './platform-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'scmi-platform-program-'))
const running: PlatformProcess[] = []
beforeAll(ensureBuilt)
afterEach(async () => {
  for (const platform of running.splice(0)) await platform.destroy()
})
afterAll(() => rmSync(folder, { recursive: true }))

const run = (...args: string[]) => {
  const program = resolve('dist/platform-server/main.js')
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    timeout: 10_000,
  })
  return { status, stdout, stderr: stderr.replaceAll(folder, '') }
}

async function start(...more: string[]): Promise<PlatformProcess> {
  const platform = await PlatformProcess.start(examplePlatform, ...more)
  running.push(platform)
  return platform
}

describe('options', () => {
  test('--help and --version', () => {
    expect(run('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' })
    const { status, stdout } = run('--help')
    expect([status, stdout.includes('--socket-prefix')]).toEqual([0, true])
  })

  test.each<[string, string[], number, string]>([
    ['no file', [], 2, "error: required option '-c, --config <file>' not specified\n"],
    [
      'no place for the sockets',
      ['-c', examplePlatform],
      2,
      'scmi-platform: say where: --directory DIR or --socket-prefix PREFIX\n',
    ],
    [
      'two places',
      ['-c', examplePlatform, '--directory', folder, '--socket-prefix', 'x'],
      2,
      "error: option '--directory <dir>' cannot be used with option '--socket-prefix <prefix>'\n",
    ],
    [
      'an unknown profile',
      ['-c', examplePlatform, '--directory', folder, '--profile', 'other'],
      2,
      "error: option '--profile <name>' argument 'other' is invalid. Allowed choices are standard, scp-2.14, scmi-msg, imx-sm.\n",
    ],
    [
      'a file that is not there',
      ['-c', join(folder, 'none.yaml'), '--directory', folder],
      1,
      "scmi-platform: /none.yaml: cannot be read: ENOENT: no such file or directory, open '/none.yaml'\n",
    ],
    [
      'a file that is no platform',
      ['-c', join(folder, 'bad.yaml'), '--directory', folder],
      1,
      'scmi-platform: /bad.yaml: agents is missing\n',
    ],
    [
      'a path too long for a socket',
      ['-c', examplePlatform, '--socket-prefix', `/${'s'.repeat(101)}`],
      1,
      `scmi-platform: /${'s'.repeat(101)}1.sock: a Unix socket's path may have 107 bytes, this has 108\n`,
    ],
    [
      'a directory that is a file',
      ['-c', examplePlatform, '--directory', join(folder, 'bad.yaml')],
      1,
      "scmi-platform: /bad.yaml: mkdir failed: EEXIST: file already exists, mkdir '/bad.yaml'\n",
    ],
    [
      'a socket that is another file',
      ['-c', examplePlatform, '--socket-prefix', join(folder, 'taken-')],
      1,
      'scmi-platform: /taken-2.sock: exists and is not a socket; it was left alone\n',
    ],
  ])('%s is told in one line', (_, args, status, stderr) => {
    writeFileSync(join(folder, 'bad.yaml'), 'vendor: x\n')
    writeFileSync(join(folder, 'taken-2.sock'), '')
    expect(run(...args)).toEqual({ status, stdout: '', stderr })
    expect(existsSync(join(folder, 'taken-1.sock'))).toBe(false)
  })
})

describe('the process', () => {
  test('says where its sockets are, lets their owner alone in, and removes them when it ends', async () => {
    const platform = await start()
    expect(platform.ready).toMatchObject({ version, vendor: 'example' })
    expect(
      platform.ready?.sockets.map(({ agentId, name, trusted, path }) => [agentId, name, trusted, path]),
    ).toEqual(
      ['mediator', 'guest0', 'guest1', 'guest2', 'guest3'].map((name, i) => [
        i + 1,
        name,
        i === 0,
        platform.socket(i + 1),
      ]),
    )
    for (let id = 1; id <= 5; id++) expect(statSync(platform.socket(id)).mode & 0o777).toBe(0o600)
    expect(await platform.end('SIGTERM')).toBe(0)
    expect([1, 2, 3, 4, 5].filter(id => existsSync(platform.socket(id)))).toEqual([])
  })

  test('imitates the profile it is told, whatever the file says', async () => {
    expect((await start()).ready?.profile).toBe('standard')
    const platform = await start('--profile', 'imx-sm')
    expect(platform.ready?.profile).toBe('imx-sm')
    const socket = connect(platform.socket(1))
    socket.write(Buffer.from(`04000000${hex(word(0x14, 0xee))}`, 'hex')) // no such message
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString('hex')).toBe(`08000000${hex(word(0x14, 0xee), NOT_SUPPORTED)}`)
    socket.destroy()
  })

  test('starts over the sockets of one that was killed', async () => {
    const platform = await start()
    await platform.end('SIGKILL')
    expect(existsSync(platform.socket(1))).toBe(true)
    await platform.start()
    expect(await platform.end('SIGINT')).toBe(0)
  })

  test('without --json it prints a line for each agent', async () => {
    const platform = new PlatformProcess()
    running.push(platform)
    const { stdout } = spawnSync(
      'timeout',
      [
        '-s',
        'TERM',
        '2',
        process.execPath,
        resolve('dist/platform-server/main.js'),
        '-c',
        examplePlatform,
      ].concat('--socket-prefix', `${platform.directory}/scp.`),
      { encoding: 'utf8' },
    )
    expect(stdout.split('\n').slice(0, 2)).toEqual([
      `agent 1 mediator (trusted): ${platform.directory}/scp.1.sock`,
      `agent 2 guest0: ${platform.directory}/scp.2.sock`,
    ])
  })
})

describe('the link, when the platform dies', () => {
  const COMMS_ERROR = -7
  let reactor: Reactor
  let link: StreamSocketLink
  /** How often each transfer was answered, and with what. */
  let answers: Map<Transfer, number[]>
  let pool: TransferPool

  function open(platform: PlatformProcess): void {
    reactor = new Reactor((_source, error) => {
      throw error
    })
    answers = new Map()
    pool = new TransferPool(32, 128, 0)
    link = new StreamSocketLink(
      { paths: [platform.socket(1), platform.socket(2)], retryMs: 1, retryMostMs: 8, timeoutMs: 20_000 },
      {
        reactor,
        log: () => {},
        handler: {
          complete: transfer => answers.get(transfer)?.push(transfer.ints[1] as number),
          delayed: () => {},
          arrived: () => {},
        },
      },
    )
  }
  afterEach(() => {
    link?.close()
    reactor?.close()
  })
  /** Steps the reactor, and lets node have its turn for the child processes. */
  async function until(what: () => boolean): Promise<void> {
    const end = Date.now() + 10_000
    while (!what()) {
      if (Date.now() > end) throw new Error('it did not come to pass')
      reactor.step(1)
      await new Promise(done => setImmediate(done))
    }
  }
  function ask(token: number): Transfer | undefined {
    const transfer = pool.take() as Transfer
    transfer.words[0] = word(0x14, 6, token)
    transfer.words[1] = token % 14
    transfer.header = transfer.ints[0] as number
    transfer.length = 8
    answers.set(transfer, [])
    if (link.send(0, transfer)) return transfer
    pool.give(transfer)
    answers.delete(transfer)
    return undefined
  }

  test('kill -9 with 32 commands in its hands: each is answered exactly once, and the next platform is found', async () => {
    const platform = await start()
    open(platform)
    await until(() => link.isUp(0) && link.isUp(1))
    platform.signal('SIGSTOP')
    for (let i = 0; i < 32; i++) expect(ask(i)).toBeDefined()
    for (let i = 0; i < 10; i++) reactor.step(2)
    expect([...answers.values()].flat()).toEqual([])
    await platform.end('SIGKILL')
    await until(() => !link.isUp(0))
    expect([...answers.values()]).toEqual(Array.from({ length: 32 }, () => [COMMS_ERROR]))
    await platform.start()
    await until(() => link.isUp(0) && link.isUp(1))
    pool = new TransferPool(32, 128, 0)
    answers.clear()
    for (let i = 0; i < 32; i++) expect(ask(i)).toBeDefined()
    await until(() => [...answers.values()].flat().length === 32)
    expect([...answers.values()]).toEqual(Array.from({ length: 32 }, () => [0]))
    expect(link.counters).toEqual({ expired: 0, late: 0, unknown: 0, malformed: 0, forsaken: 0 })
  })

  test('killed and started again at any moment under load: every command has one answer', async () => {
    const platform = await start()
    open(platform)
    let [sent, good, lost] = [0, 0, 0]
    const drive = async (ms: number) => {
      const end = Date.now() + ms
      while (Date.now() < end) {
        while (pool.free > 0 && ask(sent & 0x3ff) !== undefined) sent++
        reactor.step(0)
        await new Promise(done => setImmediate(done))
        collect()
      }
    }
    const collect = () => {
      for (const [transfer, statuses] of answers) {
        if (statuses.length === 0) continue
        expect(statuses).toHaveLength(1)
        if (statuses[0] === 0) good++
        else {
          expect(statuses[0]).toBe(COMMS_ERROR)
          lost++
        }
        answers.delete(transfer)
        pool.give(transfer)
      }
    }
    for (let round = 0; round < 4; round++) {
      await drive(60 + round * 17)
      const ended = platform.end('SIGKILL')
      await drive(30)
      await ended
      await platform.start()
    }
    await drive(100)
    await until(() => {
      collect()
      return answers.size === 0
    })
    expect(good + lost).toBe(sent)
    expect(good).toBeGreaterThan(1000)
    expect([link.connections.severed, link.counters.expired, link.counters.malformed]).toEqual([lost, 0, 0])
  })
})
