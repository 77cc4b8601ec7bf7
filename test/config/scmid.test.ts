import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { parseConfig, type ScmidConfig } from '../../src/config/scmid.ts'
import { MediatorError } from '../../src/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'scmid-config-'))
afterAll(() => rmSync(folder, { recursive: true }))
const file = join(folder, 'scmid.yaml')

const parse = (text: string | Uint8Array): ScmidConfig => {
  writeFileSync(file, text)
  return parseConfig(file)
}

const refusal = (run: () => unknown): MediatorError => {
  try {
    run()
  } catch (error) {
    if (error instanceof MediatorError) return error
    throw error
  }
  throw new Error('was accepted')
}

/** The smallest configuration there is, with `more` behind it. */
const minimal = (more = ''): string =>
  `host: host.dtb\nfirmware:\n  link: embedded\n  platform: platform.yaml\n${more}`

test('the smallest configuration takes every default', () => {
  expect(parse(minimal())).toEqual({
    file,
    host: join(folder, 'host.dtb'),
    firmware: {
      link: 'embedded',
      platform: join(folder, 'platform.yaml'),
      deadlineMs: 20,
      management: { channel: 0 },
      agents: [],
    },
    guests: { maxMessageBytes: 128, smcId: 0x82000002, unsealedMemory: 'copy', spinMicros: 50 },
    xen: { callsAtOnce: 64, callsPerSecond: 2000 },
    audit: { queries: false, recordsPerGuest: 1024, maxFileBytes: 16_777_216, files: 64 },
    log: { level: 'info' },
    directories: {},
    domains: [],
    toolstack: {
      kind: 'none',
      userdata: '/var/lib/xen',
      late: 'deny',
      refused: 'deny',
      configurationMs: 60_000,
      conduit: 'smc',
      leaveArmed: false,
      domains: [],
    },
  })
})

test('a toolstack arrives as it is written, paths absolute', () => {
  const text = minimal(
    'toolstack: { kind: xen, xenstore: run/socket, late: destroy, conduit: psci, domains: [{ name: a, agentId: 3, conduit: smc }] }\n',
  )
  expect(parse(text).toolstack).toEqual({
    kind: 'xen',
    xenstore: join(folder, 'run/socket'),
    userdata: '/var/lib/xen',
    late: 'destroy',
    refused: 'deny',
    configurationMs: 60_000,
    conduit: 'psci',
    leaveArmed: false,
    domains: [{ name: 'a', agentId: 3, conduit: 'smc' }],
  })
})

test('everything that may be said arrives, paths absolute', () => {
  const config = parse(
    minimal(`  deadlineMs: 5
  management: { channel: 2, agentId: 9 }
  agents: [{ channel: 0, agentId: 3, smcId: 0xc2000001, shmem: 0x47ff0000 }, { channel: 1 }]
guests: { maxMessageBytes: 4096, smcId: 0x82000005, unsealedMemory: refuse, spinMicros: 0 }
xen:
  libraries: { xenctrl: libxenctrl.so.4.20, xenevtchn: /lib/e.so, xenforeignmemory: m.so }
  callsPerSecond: 10
audit: { queries: true, recordsPerGuest: 16, maxFileBytes: 65536, files: 1 }
log: { level: debug }
directories: { run: run, state: /state }
domains:
  - { name: a, domid: 7, dtb: ../a.dtb, agentId: 3, discovery: dense, trapSocket: a.sock, smcId: 0x82000009 }
  - { name: b, dtb: b.dtb, messageSocket: /run/b.sock, release: '3.0', versions: { clock: '2.0' } }
  - { name: c, dtb: c.dtb, vhostUser: { path: c.sock } }
  - { name: d, dtb: d.dtb, vhostUser: { path: d.sock, mode: '0660', owner: 'root:7' } }
  - { name: e, dtb: e.dtb, vhostUser: { path: e.sock, role: client } }
  - { name: g, dtb: g.dtb, vhostUser: {} }
  - { name: f, domid: 9, dtb: f.dtb, smcId: 0x82000003, xen: { conduit: psci, leaveArmed: true } }
`),
  )
  expect(config.firmware.management).toEqual({ channel: 2, agentId: 9 })
  expect(config.firmware.agents).toEqual([
    { channel: 0, agentId: 3, smcId: 0xc2000001, shmem: 0x47ff0000 },
    { channel: 1 },
  ])
  expect(config.firmware.deadlineMs).toBe(5)
  expect(config.guests).toEqual({
    maxMessageBytes: 4096,
    smcId: 0x82000005,
    unsealedMemory: 'refuse',
    spinMicros: 0,
  })
  expect(config.xen).toEqual({
    libraries: { xenctrl: 'libxenctrl.so.4.20', xenevtchn: '/lib/e.so', xenforeignmemory: 'm.so' },
    callsAtOnce: 64,
    callsPerSecond: 10,
  })
  expect(config.audit).toEqual({ queries: true, recordsPerGuest: 16, maxFileBytes: 65536, files: 1 })
  expect(config.log).toEqual({ level: 'debug' })
  expect(config.directories).toEqual({ run: join(folder, 'run'), state: '/state' })
  expect(config.domains).toEqual([
    {
      name: 'a',
      domid: 7,
      discovery: 'dense',
      dtb: join(folder, '../a.dtb'),
      agentId: 3,
      link: { kind: 'trap-socket', path: join(folder, 'a.sock'), smcId: 0x82000009 },
    },
    {
      name: 'b',
      dtb: join(folder, 'b.dtb'),
      link: { kind: 'message-socket', path: '/run/b.sock' },
      release: '3.0',
      versions: { clock: '2.0' },
    },
    {
      name: 'c',
      dtb: join(folder, 'c.dtb'),
      link: { kind: 'vhost-user', path: join(folder, 'c.sock'), role: 'server' },
    },
    {
      name: 'd',
      dtb: join(folder, 'd.dtb'),
      link: { kind: 'vhost-user', path: join(folder, 'd.sock'), role: 'server', mode: 0o660, uid: 0, gid: 7 },
    },
    {
      name: 'e',
      dtb: join(folder, 'e.dtb'),
      link: { kind: 'vhost-user', path: join(folder, 'e.sock'), role: 'client' },
    },
    { name: 'g', dtb: join(folder, 'g.dtb'), link: { kind: 'vhost-user', role: 'server' } },
    {
      name: 'f',
      domid: 9,
      dtb: join(folder, 'f.dtb'),
      link: { kind: 'xen-smc', conduit: 'psci', leaveArmed: true, smcId: 0x82000003 },
    },
  ])
})

test('the example says what it comments: its defaults are the real ones', () => {
  const example = fileURLToPath(new URL('../../fixtures/example/scmid.yaml', import.meta.url))
  const config = parseConfig(example)
  const smallest = parse(minimal())
  for (const section of ['guests', 'xen', 'audit', 'log', 'directories', 'domains'] as const)
    expect(config[section]).toEqual(smallest[section])
  expect(config.host).toBe(example.replace('scmid.yaml', 'host.dtb'))
  expect(config.firmware.management).toEqual({ channel: 0, agentId: 1 })
  expect(config.firmware.agents.map(agent => agent.agentId)).toEqual([2, 3, 4, 5])
})

test('a stream-socket link: the management socket is channel 0, the others follow in order', () => {
  const config = parse(
    `host: h
firmware:
  link: stream-socket
  deadlineMs: 7
  management: { path: run/1, agentId: 1 }
  channels: [{ path: /run/2, agentId: 2, smcId: 0x82000003, shmem: 4096 }, { path: run/3 }]
`,
  )
  expect(config.firmware).toEqual({
    link: 'stream-socket',
    sockets: [join(folder, 'run/1'), '/run/2', join(folder, 'run/3')],
    connectMs: 5000,
    deadlineMs: 7,
    management: { channel: 0, agentId: 1 },
    agents: [{ channel: 1, agentId: 2, smcId: 0x82000003, shmem: 4096 }, { channel: 2 }],
  })
})

test('a socket or an agent of two channels is told with both places', () => {
  const error = refusal(() =>
    parse(`host: h
firmware:
  link: stream-socket
  management: { path: m, agentId: 1 }
  channels: [{ path: m }, { path: n, agentId: 1 }]
`),
  )
  expect(error.code).toBe('AGENT_MISMATCH')
  expect(error.message.replaceAll(file, 'FILE').split('\n')).toEqual([
    'FILE:5:16: firmware.channels[0].path: path m stands already at FILE:4:17',
    'FILE:5:38: firmware.channels[1].agentId: agentId 1 stands already at FILE:4:26',
  ])
})

// each row: what is wrong, the file, every line of the refusal behind `FILE`
test.each<[string, string, string[]]>([
  ['an empty file', '', [':1:1: expected a mapping, found nothing (leave the key out for its default)']],
  ['a list', '- host: x\n', [':1:1: expected a mapping, found a list of 1']],
  [
    'no host, no firmware',
    'log: { level: info }\n',
    [
      ":1:1: host: is missing; expected the path of the host's device tree blob",
      ':1:1: firmware: is missing; expected a mapping',
    ],
  ],
  [
    'a misspelt key names its place and the known ones',
    minimal('guests:\n  smcID: 5\n'),
    [':6:3: guests.smcID: unknown property; known here: maxMessageBytes, smcId, unsealedMemory, spinMicros'],
  ],
  [
    'a string for a number',
    minimal('  deadlineMs: soon\n'),
    [':5:3: firmware.deadlineMs: expected an integer from 1 to 60000, found "soon"'],
  ],
  [
    'a fraction',
    minimal('  deadlineMs: 0.5\n'),
    [':5:3: firmware.deadlineMs: expected an integer from 1 to 60000, found 0.5'],
  ],
  [
    'below the range and above it, both at once',
    minimal('guests: { maxMessageBytes: 31 }\naudit:\n  files: 0\n'),
    [
      ':5:11: guests.maxMessageBytes: expected an integer from 32 to 4096, found 31',
      ':7:3: audit.files: expected an integer from 1 to 100000, found 0',
    ],
  ],
  [
    'a section with nothing in it',
    minimal('audit:\n'),
    [':5:1: audit: expected a mapping, found nothing (leave the key out for its default)'],
  ],
  [
    'an unknown link',
    'host: h\nfirmware: { link: linux-raw, platform: p }\n',
    [':2:13: firmware.link: expected one of embedded, stream-socket, found "linux-raw"'],
  ],
  [
    'an unknown level',
    minimal('log: { level: verbose }\n'),
    [':5:8: log.level: expected one of trace, debug, info, warn, error, fatal, silent, found "verbose"'],
  ],
  [
    'an empty path',
    'host: ""\nfirmware: { link: embedded, platform: p }\n',
    [':1:1: host: expected the path of the host\'s device tree blob, found ""'],
  ],
  [
    'agent 0 is the platform',
    minimal('  agents:\n    - channel: 1\n      agentId: 0\n'),
    [':7:7: firmware.agents[0].agentId: expected an integer from 1 to 4294967294, found 0'],
  ],
  [
    'an agent without a channel',
    minimal('  agents:\n    - agentId: 2\n'),
    [':6:7: firmware.agents[0].channel: is missing; expected an integer from 0 to 65535'],
  ],
  [
    'a domain name of digits only could be a domid',
    minimal('domains: [{ name: "12", dtb: d, trapSocket: s }]\n'),
    [
      ':5:13: domains[0].name: expected a name of at most 63 letters, digits, `_`, `.`, `+`, `@` or `-`, not of digits alone, found "12"',
    ],
  ],
  [
    'a domain without a link',
    minimal('domains:\n  - { name: a, dtb: d }\n'),
    [':6:5: domains[0]: has no link; expected trapSocket, messageSocket, vhostUser or xen'],
  ],
  [
    'a domain with two links',
    minimal('domains:\n  - { name: a, dtb: d, trapSocket: s, messageSocket: t }\n'),
    [':6:39: domains[0].messageSocket: a domain has one link, and trapSocket is there too'],
  ],
  [
    'a front end that listens nowhere',
    minimal('domains:\n  - { name: a, dtb: d, vhostUser: { role: client } }\n'),
    [':6:24: domains[0].vhostUser: role: client goes with path: where the front end listens'],
  ],
  [
    'a vhost-user socket and another link',
    minimal('domains:\n  - { name: a, dtb: d, messageSocket: t, vhostUser: { path: s } }\n'),
    [':6:42: domains[0].vhostUser: a domain has one link, and messageSocket is there too'],
  ],
  [
    'a mode for a socket that is not ours',
    minimal("domains:\n  - { name: a, dtb: d, vhostUser: { path: s, role: client, mode: '0600' } }\n"),
    [":6:60: domains[0].vhostUser.mode: goes with role: server; the socket is the front end's"],
  ],
  [
    'an owner that is not known here',
    minimal("domains:\n  - { name: a, dtb: d, vhostUser: { path: s, owner: 'nobody-at-all' } }\n"),
    [':6:46: domains[0].vhostUser.owner: user nobody-at-all: /etc/passwd has no such name'],
  ],
  [
    'a Xen domain without a domid, and one with two links',
    minimal(
      'domains:\n  - { name: a, dtb: d, xen: {} }\n  - { name: b, domid: 1, dtb: d, trapSocket: s, xen: {} }\n',
    ),
    [
      ':6:24: domains[0].xen: goes with domid: that is how Xen knows the domain',
      ':7:49: domains[1].xen: a domain has one link, and trapSocket is there too',
    ],
  ],
  [
    'a conduit that there is not, and a UUID that is none',
    minimal('domains:\n  - { name: a, domid: 1, dtb: d, xen: { conduit: hvc, uuid: x } }\n'),
    [
      ':6:55: domains[0].xen.uuid: expected a UUID in lower case, found "x"',
      ':6:41: domains[0].xen.conduit: expected one of smc, psci, off, found "hvc"',
    ],
  ],
  [
    'an smcId without a trap socket',
    minimal('domains:\n  - { name: a, dtb: d, messageSocket: t, smcId: 1 }\n'),
    [':6:42: domains[0].smcId: goes with trapSocket or xen; no other link has one'],
  ],
  [
    'two domains of one name, one agent id, one socket',
    minimal(`domains:
  - { name: a, dtb: d, agentId: 3, trapSocket: s }
  - { name: a, dtb: d, agentId: 3, messageSocket: s }
`),
    [
      ':7:7: domains[1].name: another domain has a',
      ':7:24: domains[1].agentId: another domain has 3',
      ':7:36: domains[1].messageSocket: another domain has s',
    ],
  ],
  [
    "a domain with the management agent's id",
    minimal(
      '  management: { channel: 0, agentId: 1 }\ndomains: [{ name: a, dtb: d, agentId: 1, trapSocket: s }]\n',
    ),
    [":6:30: domains[0].agentId: 1 is the management agent's"],
  ],
  [
    'a socket path that is too long once it is absolute',
    minimal(`domains: [{ name: a, dtb: d, trapSocket: /${'s'.repeat(107)} }]\n`),
    [":5:30: domains[0].trapSocket: a Unix socket's path may have 107 bytes, this has 108"],
  ],
  [
    'no platform file for the embedded platform',
    'host: h\nfirmware: { link: embedded }\n',
    [':2:1: firmware.platform: is missing; expected the path of a platform file'],
  ],
  [
    'sockets for the embedded platform',
    minimal('  management: { path: m }\n  channels: []\n  connectMs: 5\n'),
    [
      ':5:3: firmware.management.channel: is missing; expected an integer from 0 to 65535',
      ':6:3: firmware.channels: goes with link: stream-socket',
      ':7:3: firmware.connectMs: goes with link: stream-socket',
      ':5:17: firmware.management.path: goes with link: stream-socket',
    ],
  ],
  [
    'a stream-socket link without its management socket',
    'host: h\nfirmware: { link: stream-socket }\n',
    [':2:1: firmware.management.path: is missing; expected the path of a socket'],
  ],
  [
    'what belongs to the embedded platform, for a stream-socket link',
    'host: h\nfirmware:\n  link: stream-socket\n  platform: p\n  management: { path: m, channel: 0 }\n  agents: []\n',
    [
      ':4:3: firmware.platform: goes with link: embedded',
      ':6:3: firmware.agents: goes with link: embedded',
      ':5:26: firmware.management.channel: goes with link: embedded',
    ],
  ],
  [
    'a firmware socket whose path is too long',
    `host: h\nfirmware:\n  link: stream-socket\n  management: { path: m }\n  channels: [{ path: /${'s'.repeat(107)} }]\n`,
    [":5:16: firmware.channels[0].path: a Unix socket's path may have 107 bytes, this has 108"],
  ],
  ['a key twice', minimal('log: {}\nlog: {}\n'), [':6:1: Map keys must be unique']],
  [
    'broken YAML',
    'host: [\n',
    [':2:1: Flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  ['an unknown tag', 'host: !path x\n', [':1:7: Unresolved tag: !path']],
])('%s', (_, text, lines) => {
  const error = refusal(() => parse(text))
  expect(error.code).toBe('CONFIG_INVALID')
  expect(error.path).toBe(file)
  expect(error.message.replaceAll(file, 'FILE').split('\n')).toEqual(lines.map(line => `FILE${line}`))
})

test.each<[string, string, string]>([
  [
    'channel',
    '{ channel: 0, agentId: 5 }',
    'FILE:6:14: firmware.agents[0].channel: channel 0 stands already at FILE:5:17',
  ],
  [
    'agentId',
    '{ channel: 7, agentId: 1 }',
    'FILE:6:26: firmware.agents[0].agentId: agentId 1 stands already at FILE:5:29',
  ],
  [
    'smcId',
    '{ channel: 7, smcId: 0x82000002 }, { channel: 8, smcId: 0x82000002 }',
    'FILE:6:61: firmware.agents[1].smcId: smcId 0x82000002 stands already at FILE:6:26',
  ],
  [
    'shmem',
    '{ channel: 7, shmem: 0x1000 }, { channel: 8, shmem: 4096 }',
    'FILE:6:57: firmware.agents[1].shmem: shmem 0x1000 stands already at FILE:6:26',
  ],
])('an identity that stands twice names both places: %s', (_, agents, text) => {
  const source = minimal(`  management: { channel: 0, agentId: 1 }\n  agents: [${agents}]\n`)
  const error = refusal(() => parse(source))
  expect(error.code).toBe('AGENT_MISMATCH')
  expect(error.message.replaceAll(file, 'FILE')).toBe(text)
})

test('an alias is followed to its place', () => {
  const error = refusal(() => parse(minimal('guests: &g\n  maxMessageBytes: x\naudit: *g\n')))
  expect(error.message.replaceAll(file, 'FILE').split('\n')).toContain(
    'FILE:6:3: audit.maxMessageBytes: unknown property; known here: queries, recordsPerGuest, maxFileBytes, files',
  )
})

test('aliases that multiply are refused, not expanded', () => {
  const rows = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
  for (let i = 1; i < 9; i++) {
    const name = String.fromCharCode(97 + i)
    const before = `*${String.fromCharCode(96 + i)}`
    rows.push(`${name}: &${name} [${Array(10).fill(before).join(', ')}]`)
  }
  expect(refusal(() => parse(rows.join('\n'))).message).toBe(
    `${file}: Excessive alias count indicates a resource exhaustion attack`,
  )
})

test('a hundred faults are told as twenty and a count', () => {
  const domains = Array.from({ length: 100 }, () => '  - {}').join('\n')
  const lines = refusal(() => parse(minimal(`domains:\n${domains}\n`))).message.split('\n')
  expect(lines).toHaveLength(21)
  expect(lines.at(-1)).toBe(`${file}: and 180 more`)
})

test.each<[string, () => unknown, RegExp]>([
  ['no such file', () => parseConfig(join(folder, 'none.yaml')), /none\.yaml: cannot be read: ENOENT/],
  ['a directory', () => parseConfig(folder), /cannot be read: not a regular file$/],
  [
    'not UTF-8',
    () => parse(Uint8Array.of(0x68, 0xff, 0xfe)),
    /cannot be read: The encoded data was not valid/,
  ],
  ['larger than any configuration', () => parse('#'.repeat((1 << 20) + 1)), /larger than 1048576 bytes$/],
])('%s', (_, run, text) => {
  const error = refusal(run)
  expect(error.code).toBe('CONFIG_INVALID')
  expect(error.message).toMatch(text)
})
