import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { version } from '../../src/config/version.ts'
import { ControlServer } from '../../src/control/server.ts'
import { InMemoryDaemon } from '../control/in-memory-daemon.ts'
import { fixture, type Ran, scmictl } from './harness.ts'

const quiet = { debug: () => {}, info: () => {}, error: () => {} }
const tree = fixture('example/guest-a.dtb')

let folder = ''
let socket = ''
let daemon: InMemoryDaemon
let server: ControlServer

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scmictl-'))
  socket = join(folder, 's')
  daemon = new InMemoryDaemon()
  daemon.socket = socket
  server = new ControlServer(daemon, { socket, log: quiet })
  await server.start()
})
afterEach(async () => {
  await server.stop()
  rmSync(folder, { recursive: true })
})

const ask = (...args: string[]): Promise<Ran> => scmictl(args, { socket })

describe('command lines that cannot be meant exit 2 and show the usage', () => {
  test.each<[string, string[], string]>([
    ['too few arguments', ['device-attach', 'a'], "'scmictl device-attach' requires at least 2 arguments."],
    ['none where one is needed', ['domain-remove'], "'scmictl domain-remove' requires at least 1 argument."],
    ['one too many', ['list', 'a', 'b'], "'scmictl list' takes at most 1 argument."],
    ['any where none is taken', ['status', 'a'], "'scmictl status' takes no arguments."],
    ['an unknown short option', ['list', '-q'], "option `q' not supported."],
    ['an unknown long option', ['list', '--quick=1'], "option `quick' not supported."],
    ['an unknown option before the command', ['-q', 'list'], "option `q' not supported."],
    ['an option without its value', ['domain-add', 'a', '--dtb'], "option `dtb' requires an argument."],
    ['an option that must be there', ['domain-add', 'a'], "'scmictl domain-add' requires --dtb FILE."],
    [
      'no link',
      ['domain-add', 'a', '--dtb', tree],
      "'scmictl domain-add' requires a link: --trap-socket PATH, --message-socket PATH, --vhost-user [PATH], --vhost-user-client PATH, --xen.",
    ],
    [
      'two links',
      ['domain-add', 'a', '--dtb', tree, '--trap-socket', 'x', '--message-socket', 'y'],
      "'scmictl domain-add' requires one link: --trap-socket PATH, --message-socket PATH, --vhost-user [PATH], --vhost-user-client PATH, --xen.",
    ],
    [
      'an smc id without a trap socket',
      ['domain-add', 'a', '--dtb', tree, '--message-socket', 'y', '--smc-id', '1'],
      "'scmictl domain-add' --smc-id: goes with --trap-socket or --xen only.",
    ],
    [
      'an agent released in passing',
      ['agent-release', '5'],
      'agent-release: say --yes, or look first: scmictl -N agent-release 5',
    ],
    [
      'an agent id that is none',
      ['agent-release', 'five', '--yes'],
      /expected an integer from 1 to 4294967295/,
    ],
    [
      'a release that there is not',
      ['domain-add', 'a', '--dtb', tree, '--message-socket', 'y', '--release', '4.0'],
      /--release: expected 1.0, 2.0, 3.0, 3.1, 3.2, not 4.0/,
    ],
    [
      'versions that are none',
      ['domain-add', 'a', '--dtb', tree, '--message-socket', 'y', '--versions', 'clock=2.0,power'],
      /--versions: expected PROTOCOL=VERSION, as clock=2.0, with commas between, not clock=2.0,power/,
    ],
    [
      'a Xen domain without its number',
      ['domain-add', 'a', '--dtb', tree, '--xen'],
      "'scmictl domain-add' --xen: goes with --domid, by which Xen knows the domain.",
    ],
    [
      'a conduit that there is not',
      ['domain-add', 'a', '--dtb', tree, '--xen', '--domid', '5', '--conduit', 'hvc'],
      /--conduit: expected smc, psci, off, not hvc/,
    ],
    [
      'a conduit where there is none',
      ['domain-add', 'a', '--dtb', tree, '--trap-socket', 'x', '--conduit', 'smc'],
      "'scmictl domain-add' --conduit: goes with --xen only.",
    ],
    [
      'a word for a number',
      ['domain-add', 'a', '--dtb', tree, '--trap-socket', 'x', '--agent-id', 'two'],
      `'scmictl domain-add' --agent-id: expected an integer from 1 to 4294967294, got "two"`,
    ],
    [
      'agent 0, the platform',
      ['domain-add', 'a', '--dtb', tree, '--trap-socket', 'x', '--agent-id', '0'],
      `'scmictl domain-add' --agent-id: expected an integer from 1 to 4294967294, got "0"`,
    ],
    [
      'a dry run of what changes nothing',
      ['-N', 'list'],
      "'scmictl list' modifies nothing: it does not implement -N (dry run).",
    ],
    ['an unknown decision', ['audit', '--decision', 'maybe'], /--decision: expected one of allowed, denied,/],
    ['an unknown time', ['audit', '--since', 'noon'], /--since: "noon" is no time/],
    ['an unknown action', ['audit', 'burn'], `'scmictl audit' expects list or verify, got "burn".`],
    ['filters for a verification', ['audit', 'verify', '-n', '3'], /takes no filters/],
  ] as [string, string[], string][])('%s', async (_, args, text) => {
    const { code, stdout, stderr } = await ask(...args)
    const [first, blank, usage, ...more] = stderr.split('\n')
    expect(first).toMatch(typeof text === 'string' ? new RegExp(`^${escaped(text)}$`) : text)
    expect([blank, more]).toEqual(['', ['']])
    expect(usage).toMatch(/^Usage: scmictl \[-v\] /)
    expect([code, stdout]).toEqual([2, ''])
    expect(daemon.specs).toEqual([])
  })
})

describe('names of commands', () => {
  test('an unknown one exits 1', async () => {
    expect(await ask('frobnicate')).toEqual({
      code: 1,
      stdout: '',
      stderr: "scmictl: 'frobnicate': command not implemented; see 'scmictl help'\n",
    })
  })

  test.each([[['--json', 'nosuch']], [['nosuch', '--json']]])(
    'an unknown one with --json is a document too: %j',
    async args => {
      const { code, stdout } = await scmictl(args)
      expect(code).toBe(1)
      expect(JSON.parse(stdout)).toEqual({
        error: {
          code: 'NOT_SUPPORTED',
          text: "'nosuch': command not implemented; see 'scmictl help'",
        },
      })
    },
  )

  test('an ambiguous one lists what it may mean', async () => {
    expect(await ask('d')).toMatchObject({
      code: 1,
      stderr:
        "scmictl: 'd' may mean domain-add, domain-remove, device-list, device-attach, device-detach, decode\n",
    })
  })

  test('an unambiguous part is enough', async () => {
    expect(await ask('stat')).toEqual({ code: 0, stdout: 'ok\n', stderr: '' })
  })

  test('alone it prints the help and exits 1, asked for it exits 0', async () => {
    const alone = await scmictl([])
    expect(alone.code).toBe(1)
    for (const args of [['-h'], ['--help'], ['help']])
      expect(await scmictl(args)).toEqual({ code: 0, stdout: alone.stdout, stderr: '' })
    expect(alone.stdout).toMatch(
      /^Usage: scmictl \[-v\] \[-N\] \[--json\] \[--socket PATH\] <command> \[args\]\n/,
    )
    expect(alone.stdout).toMatch(/\n {2}device-attach {7}Give a device/)
  })

  test("a command's help comes three ways, whatever else is missing", async () => {
    const { code, stdout } = await scmictl(['help', 'domain-add'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Usage: scmictl .* domain-add <NAME> --dtb FILE/)
    for (const args of [
      ['domain-add', '-h'],
      ['-h', 'domain-add'],
      ['domain-add', 'x', '--help'],
    ])
      expect(await scmictl(args)).toEqual({ code: 0, stdout, stderr: '' })
  })

  test('help of nothing we have exits 1', async () => {
    expect((await scmictl(['help', 'nosuch'])).code).toBe(1)
  })

  test('the version', async () => {
    expect(await scmictl(['--version'])).toEqual({ code: 0, stdout: `scmictl ${version}\n`, stderr: '' })
    expect(JSON.parse((await scmictl(['--json', '--version'])).stdout)).toEqual({ version })
  })
})

describe('a domain comes and goes', () => {
  const add = ['domain-add', 'guest-a', '--dtb', tree, '--trap-socket', '/run/a.sock', '--domid', '7']

  test('silently', async () => {
    const silent = { code: 0, stdout: '', stderr: '' }
    expect(await ask(...add, '--agent-id', '3', '--smc-id', '0x82000009')).toEqual(silent)
    expect(daemon.specs[0]).toMatchObject({
      name: 'guest-a',
      domid: 7,
      agentId: 3,
      dtbPath: tree,
      link: { kind: 'trap-socket', path: '/run/a.sock', smcId: 0x82000009 },
    })
    expect(Buffer.from(daemon.specs[0]?.dtb ?? []).equals(readFileSync(tree))).toBe(true)
    expect(await ask('device-attach', '7', 'ethernet@e6800000')).toEqual(silent)
    expect(await ask('device-detach', 'guest-a', '/soc/ethernet@e6800000')).toEqual(silent)
    expect(await ask('domain-remove', 'guest-a')).toEqual(silent)
    expect(daemon.domains()).toEqual([])
  })

  test('a relative socket is taken from here', async () => {
    await ask('domain-add', 'b', '--dtb', tree, '--message-socket', 'x/b.sock')
    expect(daemon.specs[0]?.link).toEqual({ kind: 'message-socket', path: join(process.cwd(), 'x/b.sock') })
  })

  test('a vhost-user socket may be left for the daemon to place, and has an owner and a mode all the same', async () => {
    await ask('domain-add', 'b', '--dtb', tree, '--vhost-user')
    await ask(
      'domain-add',
      'c',
      '--dtb',
      tree,
      '--vhost-user',
      '--socket-mode',
      '660',
      '--socket-owner',
      '0:7',
    )
    await ask('domain-add', 'd', '--dtb', tree, '--vhost-user', '/run/d.sock', '--socket-owner', ':7')
    expect(daemon.specs.map(({ link }) => link)).toEqual([
      { kind: 'vhost-user', role: 'server' },
      { kind: 'vhost-user', role: 'server', mode: 0o660, uid: 0, gid: 7 },
      { kind: 'vhost-user', role: 'server', path: '/run/d.sock', gid: 7 },
    ])
  })

  test('-N before or behind shows what would be, and does not do it', async () => {
    await ask(...add)
    for (const args of [
      ['-N', 'device-attach', 'guest-a', '0'],
      ['device-attach', '-N', 'guest-a', '0'],
    ]) {
      const { code, stdout } = await ask(...args)
      expect(code).toBe(0)
      expect(stdout.split('\n')).toEqual([
        'guest-a: agent 2 (dry run, nothing was done)',
        '  grant clock 0 (/soc/ethernet@e6800000 clocks[0])',
        '  grant power 0 (/soc/ethernet@e6800000 power-domains[0])',
        '  grant reset 0 (/soc/ethernet@e6800000 resets[0])',
        '  BASE_SET_DEVICE_PERMISSIONS agent_id=2 device_id=0 flags=1',
        '',
      ])
    }
    expect(daemon.permissionCommands()).toEqual([])
    expect(JSON.parse((await ask('--json', 'device-attach', 'guest-a', '0', '-N')).stdout)).toMatchObject({
      dryRun: true,
      domain: 'guest-a',
    })
    expect((await ask('-v', 'device-attach', 'guest-a', '0')).stdout).toMatch(
      /^guest-a: agent 2\n {2}grant clock 0/,
    )
    expect(daemon.permissionCommands()).toHaveLength(1)
  })

  test("warnings of the daemon's plan go to stderr", async () => {
    daemon.addDomain = async spec => ({
      dryRun: false,
      domain: spec.name,
      agentId: 2,
      permissionCommands: [],
      granted: [],
      revoked: [],
      problems: [{ severity: 'warning', code: 'resource-shared', node: '/soc/x', text: 'clock 9 is shared' }],
    })
    expect(await ask(...add)).toEqual({
      code: 0,
      stdout: '',
      stderr: 'warning: /soc/x: clock 9 is shared (resource-shared)\n',
    })
  })

  test('a refusal is one line, and with --json a document too', async () => {
    await ask(...add)
    expect(await ask(...add)).toEqual({ code: 1, stdout: '', stderr: 'scmictl: guest-a is there already\n' })
    const { code, stdout } = await ask('--json', 'domain-remove', 'nobody')
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toEqual({
      error: { code: 'DOMAIN_UNKNOWN', text: 'nobody is no domain here', path: 'nobody' },
    })
  })

  test.each<[string, string, RegExp]>([
    ['a file that is not there', '/nowhere/x.dtb', /^scmictl: \/nowhere\/x\.dtb: ENOENT/],
    [
      'a file that is no tree',
      fixture('example/guest-a.dts'),
      /^scmictl: .*guest-a\.dts: not a device tree blob/,
    ],
    ['a directory', fixture('example'), /^scmictl: .*example: /],
  ])('%s is told with its name before the daemon is asked', async (_, file, text) => {
    const { code, stderr } = await ask('domain-add', 'a', '--dtb', file, '--trap-socket', 'x')
    expect(stderr).toMatch(text)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(code).toBe(1)
    expect(daemon.specs).toEqual([])
  })

  test('a socket path that is too long is told here', async () => {
    const { code, stderr } = await ask(
      'domain-add',
      'a',
      '--dtb',
      tree,
      '--trap-socket',
      `/${'x'.repeat(107)}`,
    )
    expect([code, stderr]).toEqual([1, expect.stringMatching(/may have 107 bytes, this has 108\n$/)])
  })
})

describe('what is shown', () => {
  beforeEach(async () => {
    await ask('domain-add', 'guest-a', '--dtb', tree, '--trap-socket', '/run/a.sock', '--domid', '7')
    await ask('device-attach', 'guest-a', '0')
  })

  test('list', async () => {
    expect((await ask('list')).stdout).toBe(
      'Name                                ID Agent State    Link           Discovery Up  Devices   Messages   Denied   Errors\n' +
        'guest-a                              7     2 running  trap-socket    identity  no        1         12        2        1\n',
    )
    expect((await ask('list', '7')).stdout).toBe((await ask('list', 'guest-a')).stdout)
    expect((await ask('list', 'nobody')).code).toBe(1)
  })

  test('list -l is JSON, as xl has it, and so is --json', async () => {
    const { stdout } = await ask('list', '-l')
    expect(JSON.parse(stdout)).toEqual(daemon.domains())
    expect((await ask('list', '--json')).stdout).toBe(stdout)
    expect(stdout.trimEnd()).not.toContain('\n')
  })

  test('agent-list tells who holds what, and why one is quarantined', async () => {
    expect((await ask('agent-list')).stdout).toBe(
      'Agent Channel Name             State       Provenance Domain                      ID  Denials Protocols                        Reason\n' +
        '    1       0 mediator         management  discovered -                            -        0 -                                -\n' +
        '    2       1 guest0           assigned    discovered guest-a                      7        2 power,clock,reset                -\n' +
        '    5       4 -                quarantined indexed    -                            -        0 -                                BASE_RESET_AGENT_CONFIGURATION answered GENERIC_ERROR\n',
    )
  })

  test('device-list, and -l a line for each resource', async () => {
    expect((await ask('device-list')).stdout).toBe(
      'Device                                   Ids      Domain                   Resources\n' +
        '/soc/ethernet@e6800000                   0        guest-a                  clock 1, power 1, reset 1\n' +
        '/soc/usb@ee080000                        1        -                        clock 1, pin-control 1\n',
    )
    const long = (await ask('device-list', '-l', 'guest-a')).stdout.split('\n')
    expect(long).toHaveLength(5)
    expect(long[1]).toBe(
      '/soc/ethernet@e6800000                   0        guest-a                  clock            0 avb              clocks[0]',
    )
    expect((await ask('device-list', '-l')).stdout).toMatch(/pin-control +- - +pinctrl-0\[0\]\n$/)
  })

  test('info', async () => {
    const { stdout } = await ask('info')
    expect(stdout).toMatch(/^version {16}: 9\.8\.7\npid {20}: 4711\n/)
    expect(stdout).toContain(`socket                 : ${socket}\n`)
    expect(stdout).toContain('protocol_0x14          : clock 3.0, 14 resources\n')
    expect(stdout).toContain('host_tree              : -\n')
  })

  test('status tells by its exit code', async () => {
    expect(await ask('status')).toEqual({ code: 0, stdout: 'ok\n', stderr: '' })
    daemon.problems = ['agent 5 is quarantined', 'the audit log cannot be written']
    expect(await ask('status')).toEqual({
      code: 1,
      stdout: 'degraded\n  agent 5 is quarantined\n  the audit log cannot be written\n',
      stderr: '',
    })
    expect(JSON.parse((await ask('status', '--json')).stdout)).toEqual({
      state: 'degraded',
      problems: daemon.problems,
    })
    await server.stop()
    const gone = await ask('status')
    expect(gone).toMatchObject({ code: 1, stdout: '' })
    expect(gone.stderr).toBe(
      `scmictl: ${socket}: no daemon: there is no such socket; start scmid, or name its socket with --socket\n`,
    )
    const document = await ask('status', '--json')
    expect(document.code).toBe(1)
    expect(JSON.parse(document.stdout)).toMatchObject({ state: 'unreachable' })
  })

  test.each<[string[]]>([
    [['status']],
    [['info']],
    [['list']],
    [['list', 'guest-a']],
    [['agent-list']],
    [['device-list']],
    [['device-detach', 'guest-a', '0']],
    [['domain-remove', 'guest-a', '-N']],
    [['help']],
    [['help', 'list']],
    [['completion']],
    [['decode', '00100000']],
    [['list', 'nobody']],
  ])('%j --json is one JSON document on one line', async args => {
    const { stdout } = await ask(...args, '--json')
    expect(() => JSON.parse(stdout)).not.toThrow()
    expect(stdout.indexOf('\n')).toBe(stdout.length - 1)
  })

  test('a long name widens its column for all', async () => {
    const name = 'a-name-that-is-longer-than-the-column-of-xl'
    await ask('domain-add', name, '--dtb', tree, '--trap-socket', '/run/b.sock')
    const lines = (await ask('list')).stdout.trimEnd().split('\n')
    expect(lines.map(line => line.length)).toEqual([lines[0]?.length, lines[0]?.length, lines[0]?.length])
    expect(lines[2]).toContain(`${name}     -     `)
  })

  test('names from elsewhere cannot speak to the terminal', async () => {
    daemon.status = () => ({ state: 'degraded', problems: ['agent "\x1b[2J\u009b\u202e" is odd\r'] })
    const { stdout } = await ask('status')
    expect(stdout).toBe('degraded\n  agent "\\u{1b}[2J\\u{9b}\\u{202e}" is odd\\u{d}\n')
  })

  test('colours stand where they are asked for, and do not move columns', async () => {
    const plain = (await ask('agent-list')).stdout
    const coloured = (await scmictl(['agent-list'], { socket, colour: true })).stdout
    expect(coloured).toContain('\x1b[31mquarantined\x1b[0m indexed')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is taken out
    expect(coloured.replace(/\x1b\[\d*m/g, '')).toBe(plain)
  })
})

test('-v tells the cause of an error', async () => {
  const missing = join(folder, 'none')
  const { stderr } = await scmictl(['-v', 'list'], { socket: missing })
  expect(stderr.split('\n')).toHaveLength(3)
  expect(stderr).toMatch(/\n {2}because: connect ENOENT /)
})

test('--socket behind the command wins over the one before it', async () => {
  expect((await scmictl(['status', '--socket', socket], { socket: '/nowhere/s' })).code).toBe(0)
})

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
