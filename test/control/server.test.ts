import {
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { request } from 'node:http'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ControlClient } from '../../src/cli/client.ts'
import { ControlServer } from '../../src/control/server.ts'
import { maxBlobBytes } from '../../src/dt/fdt-header.ts'
import { MediatorError } from '../../src/errors.ts'
import type { DomainSpec } from '../../src/lifecycle/views.ts'
import { hostDevices, InMemoryDaemon } from './in-memory-daemon.ts'

interface Logged {
  readonly level: string
  readonly facts: Record<string, unknown>
}

let folder = ''
let socket = ''
let daemon: InMemoryDaemon
let logged: Logged[]
let stops: (() => Promise<void>)[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'scmid-control-'))
  socket = join(folder, 'scmid.sock')
  daemon = new InMemoryDaemon()
  logged = []
  stops = []
})
afterEach(async () => {
  for (const stop of stops.reverse()) await stop()
  rmSync(folder, { recursive: true })
})

const log = {
  debug: (facts: object) => logged.push({ level: 'debug', facts: { ...facts } }),
  info: (facts: object) => logged.push({ level: 'info', facts: { ...facts } }),
  error: (facts: object) => logged.push({ level: 'error', facts: { ...facts } }),
}

const server = (path = socket): ControlServer => {
  const made = new ControlServer(daemon, { socket: path, log, drainMs: 200 })
  stops.push(() => made.stop())
  return made
}

const refusal = async (run: Promise<unknown>): Promise<MediatorError> => {
  const error = await run.then(
    () => undefined,
    thrown => thrown,
  )
  if (error instanceof MediatorError) return error
  throw error ?? new Error('was accepted')
}

const spec = (parts: Partial<DomainSpec> = {}): DomainSpec => ({
  name: 'guest-a',
  dtb: Uint8Array.from({ length: 256 }, (_, i) => i),
  link: { kind: 'trap-socket', path: '/run/a.sock' },
  ...parts,
})

const wet = { dryRun: false }

/** A request as bytes would come from any HTTP client. */
function raw(
  method: string,
  path: string,
  body?: string,
  headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' },
): Promise<{ status: number; body: { code?: string; text?: string; path?: string } }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: socket, method, path, headers, agent: false }, answer => {
      let text = ''
      answer.setEncoding('utf8').on('data', chunk => {
        text += chunk
      })
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

describe('through the client', () => {
  let client: ControlClient
  beforeEach(async () => {
    await server().start()
    client = new ControlClient(socket)
  })

  test('every query arrives as the daemon tells it', async () => {
    await client.addDomain(spec({ domid: 7 }), wet)
    expect(await client.info()).toEqual(daemon.info())
    expect(await client.status()).toEqual({ state: 'ok', problems: [] })
    expect(await client.domains()).toEqual(daemon.domains())
    expect(await client.domain('guest-a')).toEqual(daemon.domain('guest-a'))
    expect(await client.domain('7')).toEqual(daemon.domain('guest-a'))
    expect(await client.agents()).toEqual(daemon.agents())
    expect(await client.devices()).toEqual(hostDevices)
    expect(await client.flushAudit()).toEqual({
      records: 3,
      path: '/nowhere/audit.jsonl',
      head: daemon.auditHead,
    })
  })

  test('a domain arrives whole: every byte of its tree, its pin, its link', async () => {
    const given = spec({
      domid: 3,
      dtbPath: '/boot/a.dtb',
      agentId: 4,
      link: { kind: 'trap-socket', path: '/run/a.sock', smcId: 0x82000009 },
    })
    expect(await client.addDomain(given, wet)).toMatchObject({ dryRun: false, domain: 'guest-a', agentId: 4 })
    expect(daemon.specs).toEqual([given])
    await client.addDomain(spec({ name: 'b', link: { kind: 'message-socket', path: '/b' } }), wet)
    expect(daemon.specs[1]).toEqual(spec({ name: 'b', link: { kind: 'message-socket', path: '/b' } }))
    const xen = { kind: 'xen-smc', conduit: 'psci', devices: [{ start: 4096, size: 8192 }] } as const
    await client.addDomain(spec({ name: 'c', domid: 7, link: xen }), wet)
    expect(daemon.specs[2]).toEqual(spec({ name: 'c', domid: 7, link: xen }))
  })

  test('node paths survive the URL, and devices come and go', async () => {
    await client.addDomain(spec(), wet)
    const attached = await client.attachDevice('guest-a', '/soc/ethernet@e6800000', wet)
    expect(attached.granted).toHaveLength(3)
    expect(await client.devices('guest-a')).toHaveLength(1)
    expect((await client.devices())[0]?.domain).toBe('guest-a')
    await client.detachDevice('guest-a', '/soc/ethernet@e6800000', wet)
    expect(await client.devices('guest-a')).toEqual([])
    expect(await client.permissionCommands()).toEqual([
      { agentId: 2, deviceId: 0, allow: true },
      { agentId: 2, deviceId: 0, allow: false },
    ])
    await client.removeDomain('guest-a', wet)
    expect(await client.domains()).toEqual([])
  })

  test('a dry run says so and changes nothing', async () => {
    const dry = { dryRun: true }
    expect(await client.addDomain(spec(), dry)).toMatchObject({ dryRun: true })
    expect(await client.domains()).toEqual([])
    await client.addDomain(spec(), wet)
    expect(await client.attachDevice('guest-a', '0', dry)).toMatchObject({ dryRun: true })
    expect(await client.devices('guest-a')).toEqual([])
    await client.attachDevice('guest-a', '0', wet)
    expect(await client.detachDevice('guest-a', '0', dry)).toMatchObject({ dryRun: true })
    expect(await client.removeDomain('guest-a', dry)).toMatchObject({ dryRun: true })
    expect(await client.devices('guest-a')).toHaveLength(1)
  })

  test('an agent is released, or not, as it was asked', async () => {
    const asked = { dryRun: true, unproven: false }
    expect(await client.releaseAgent(5, asked)).toEqual({
      dryRun: true,
      agentId: 5,
      reason: 'BASE_RESET_AGENT_CONFIGURATION answered GENERIC_ERROR',
    })
    expect(await client.releaseAgent(5, { dryRun: false, unproven: true })).toMatchObject({
      dryRun: false,
      unproven: 'for the test',
    })
    await expect(client.releaseAgent(1, asked)).rejects.toMatchObject({ code: 'AGENT_BUSY' })
  })

  test('a refusal arrives with its code, text and path', async () => {
    await client.addDomain(spec(), wet)
    expect(await refusal(client.addDomain(spec(), wet))).toMatchObject({
      code: 'DOMAIN_EXISTS',
      message: 'guest-a is there already',
      path: 'guest-a',
    })
    expect(await refusal(client.domain('a/b c?d'))).toMatchObject({
      code: 'DOMAIN_UNKNOWN',
      message: 'a/b c?d is no domain here',
    })
  })

  test('a tree as large as a tree may be fits', async () => {
    const dtb = new Uint8Array(maxBlobBytes).fill(0xd0)
    await client.addDomain(spec({ dtb }), wet)
    expect(daemon.specs[0]?.dtb.length).toBe(maxBlobBytes)
  })

  test('what modifies is logged, what asks only at debug', async () => {
    await client.status()
    await client.addDomain(spec(), wet)
    expect(logged.map(({ level, facts }) => [level, facts['method'], facts['url'], facts['status']])).toEqual(
      [
        ['debug', 'GET', '/v1/status', 200],
        ['info', 'POST', '/v1/domains', 200],
      ],
    )
  })

  test('our own fault is logged with its stack and answered as such', async () => {
    daemon.status = () => {
      throw new TypeError('x is not a function')
    }
    expect(await refusal(client.status())).toMatchObject({
      code: 'SYSTEM',
      message: 'internal error: x is not a function',
    })
    expect(logged[0]).toMatchObject({
      level: 'error',
      facts: { err: { stack: expect.stringContaining('TypeError') } },
    })
    expect(await client.domains()).toEqual([])
  })
})

describe('requests of any other client', () => {
  beforeEach(() => server().start())
  const dtb = Buffer.from('tree').toString('base64')
  const link = { kind: 'trap-socket', path: '/s' }

  test.each<[string, string, string, string | undefined, number, string, RegExp]>([
    [
      'an unknown route',
      'GET',
      '/v2/info',
      undefined,
      501,
      'NOT_SUPPORTED',
      /^GET \/v2\/info: this daemon has no/,
    ],
    [
      'an unknown query',
      'GET',
      '/v1/domains?all=1',
      undefined,
      400,
      'REQUEST_INVALID',
      /all: unknown property/,
    ],
    [
      'a dryRun that is neither',
      'DELETE',
      '/v1/domains/x?dryRun=yes',
      undefined,
      400,
      'REQUEST_INVALID',
      /^DELETE \/v1\/domains\/:name: dryRun: expected one of true, false, found "yes"$/,
    ],
    ['no JSON', 'POST', '/v1/domains', '{', 400, 'REQUEST_INVALID', /JSON/],
    ['no body', 'POST', '/v1/domains', undefined, 400, 'REQUEST_INVALID', /expected a mapping/],
    [
      'a list',
      'POST',
      '/v1/domains',
      '[]',
      400,
      'REQUEST_INVALID',
      /body: expected a mapping, found a list of 0$/,
    ],
    [
      'no link',
      'POST',
      '/v1/domains',
      JSON.stringify({ name: 'a', dtb }),
      400,
      'REQUEST_INVALID',
      /link: is missing; expected a mapping$/,
    ],
    [
      'a number for a name is not made a string',
      'POST',
      '/v1/domains',
      JSON.stringify({ name: 5, dtb, link }),
      400,
      'REQUEST_INVALID',
      /name: expected a name of .*, found 5$/,
    ],
    [
      'a property too many is told, not dropped',
      'POST',
      '/v1/domains',
      JSON.stringify({ name: 'a', dtb, link, agentID: 3 }),
      400,
      'REQUEST_INVALID',
      /agentID: unknown property; known here: name, domid, dtb, dtbPath, agentId, discovery, link, release, versions$/,
    ],
    [
      'a tree that is not base64',
      'POST',
      '/v1/domains',
      JSON.stringify({ name: 'a', dtb: 'a tree!', link }),
      400,
      'REQUEST_INVALID',
      /^dtb: expected a device tree blob in base64$/,
    ],
    [
      'a path where there is none',
      'POST',
      '/v1/domains',
      JSON.stringify({ name: 'a', dtb, link: { kind: 'xen-smc', path: '/s' } }),
      400,
      'REQUEST_INVALID',
      /^link\.path: goes with trap-socket or message-socket or vhost-user; no other link has one/,
    ],
    [
      'no path where one is needed',
      'POST',
      '/v1/domains',
      JSON.stringify({ name: 'a', dtb, link: { kind: 'trap-socket' } }),
      400,
      'REQUEST_INVALID',
      /^link\.path: expected a path/,
    ],
    [
      'a front end that listens nowhere',
      'POST',
      '/v1/domains',
      JSON.stringify({ name: 'a', dtb, link: { kind: 'vhost-user', role: 'client' } }),
      400,
      'REQUEST_INVALID',
      /^link\.path: expected a path/,
    ],
    [
      'an smcId where there is none',
      'POST',
      '/v1/domains',
      JSON.stringify({ name: 'a', dtb, link: { kind: 'message-socket', path: '/s', smcId: 1 } }),
      400,
      'REQUEST_INVALID',
      /^link\.smcId: goes with trap-socket/,
    ],
    [
      'a body above the limit',
      'POST',
      '/v1/domains',
      `"${'x'.repeat(12 << 20)}"`,
      413,
      'REQUEST_INVALID',
      /too large/i,
    ],
    ['broken percent-encoding', 'GET', '/v1/domains/%zz', undefined, 400, 'REQUEST_INVALID', /%zz/],
  ])('%s', async (_, method, path, body, status, code, text) => {
    const answer = await raw(method, path, body)
    expect(answer.body.text).toMatch(text)
    expect([answer.status, answer.body.code]).toEqual([status, code])
    expect(daemon.specs).toEqual([])
  })

  test('another content type is refused', async () => {
    expect(await raw('POST', '/v1/domains', 'a=b', { 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
      body: { code: 'REQUEST_INVALID' },
    })
  })
})

describe('the socket', () => {
  test('is for the owner alone, from its first moment and whatever the umask', async () => {
    const before = process.umask(0)
    try {
      await server().start()
      expect(process.umask()).toBe(0)
    } finally {
      process.umask(before)
    }
    expect(statSync(socket).mode & 0o7777).toBe(0o600)
    expect(readdirSync(folder)).toEqual(['scmid.sock'])
  })

  test('a second daemon is refused and the first goes on', async () => {
    await server().start()
    const error = await refusal(server().start())
    expect(error.code).toBe('DAEMON_RUNNING')
    expect(error.message).toContain(socket)
    expect(await new ControlClient(socket).status()).toEqual({ state: 'ok', problems: [] })
    expect(readdirSync(folder)).toEqual(['scmid.sock'])
  })

  test('of two that start at once over a stale socket one gets it', async () => {
    await leaveStale(socket)
    const starts = await Promise.allSettled([server().start(), server().start(), server().start()])
    const codes = starts.map(each =>
      each.status === 'fulfilled' ? 'started' : (each.reason as MediatorError).code,
    )
    expect(codes.sort()).toEqual(['DAEMON_RUNNING', 'DAEMON_RUNNING', 'started'])
    expect(await new ControlClient(socket).status()).toEqual({ state: 'ok', problems: [] })
    expect(readdirSync(folder)).toEqual(['scmid.sock'])
  })

  test('a stale one is replaced', async () => {
    await leaveStale(socket)
    await server().start()
    expect(await new ControlClient(socket).status()).toEqual({ state: 'ok', problems: [] })
  })

  test.each<[string, () => void]>([
    ['a file', () => writeFileSync(socket, 'precious')],
    ['a link to somewhere', () => symlinkSync('/etc/hostname', socket)],
  ])('%s in its place is left alone', async (_, plant) => {
    plant()
    const error = await refusal(server().start())
    expect(error.code).toBe('SOCKET_PATH')
    expect(error.message).toBe(`${socket}: is there already and is no socket; remove it`)
    expect(readdirSync(folder)).toEqual(['scmid.sock'])
  })

  test('a path that is too long, or in no directory, is told', async () => {
    expect((await refusal(server(join(folder, 'x'.repeat(100))).start())).code).toBe('SOCKET_PATH')
    const nowhere = await refusal(server(join(folder, 'none/scmid.sock')).start())
    expect(nowhere.code).toBe('SOCKET_PATH')
    expect(nowhere.message).toContain('none/scmid.sock: cannot listen:')
  })

  test('stop takes it away, twice is once, and it may start again', async () => {
    const one = server()
    await one.start()
    await one.stop()
    await one.stop()
    expect(readdirSync(folder)).toEqual([])
    await one.start()
    expect(await new ControlClient(socket).status()).toEqual({ state: 'ok', problems: [] })
  })

  test("stop leaves another daemon's socket where it is", async () => {
    const one = server()
    await one.start()
    rmSync(socket) // an operator's mistake
    await server().start()
    await one.stop()
    expect(await new ControlClient(socket).status()).toEqual({ state: 'ok', problems: [] })
  })

  test('stop lets a request under way end', async () => {
    const one = server()
    await one.start()
    let release = () => {}
    const entered = new Promise<void>(resolve => {
      daemon.flushAudit = () =>
        new Promise(answer => {
          release = () => answer({ records: 1, path: '/p', head: daemon.auditHead })
          resolve()
        })
    })
    const asked = new ControlClient(socket).flushAudit()
    await entered
    const stopped = one.stop()
    release()
    expect(await asked).toMatchObject({ records: 1, path: '/p' })
    await stopped
  })

  test('stop does not wait for ever for one that hangs', async () => {
    const one = server()
    await one.start()
    const entered = new Promise<void>(resolve => {
      daemon.flushAudit = () => new Promise(() => resolve())
    })
    const asked = refusal(new ControlClient(socket).flushAudit())
    await entered
    await one.stop()
    expect((await asked).message).toBe(`${socket}: the daemon hung up; see its log`)
  })
})

/** A socket file whose listener died without a word: linked elsewhere, so that closing does not take it away. */
async function leaveStale(path: string): Promise<void> {
  const bound = `${path}.bound`
  const dead: Server = createServer()
  await new Promise<void>(resolve => dead.listen(bound, resolve))
  linkSync(bound, path)
  await new Promise<void>(resolve => dead.close(() => resolve()))
  expect(existsSync(bound)).toBe(false)
  expect(existsSync(path)).toBe(true)
}

test('domains of a hypervisor are listed, held, released, and a configuration is tried', async () => {
  await server().start()
  const client = new ControlClient(socket)
  const gate = { domid: 7, uuid: 'u', name: 'guest-a', state: 'served' as const, held: false, dtdevs: [] }
  daemon.gates = [gate]
  expect(await client.gatedDomains()).toEqual([gate])
  expect(await client.holdDomain('guest-a')).toEqual({ ...gate, held: true })
  expect(await client.releaseDomain('7')).toEqual(gate)
  expect((await refusal(client.holdDomain('8'))).code).toBe('DOMAIN_UNKNOWN')
  const configuration = JSON.stringify({ c_info: { name: 'b' }, b_info: { device_tree: '/b.dtb' } })
  expect(await client.preflight(configuration)).toMatchObject({ dryRun: true, domain: 'b' })
  expect((await refusal(client.preflight('{}'))).path).toBe('device_tree')
  expect((await refusal(client.preflight(''))).code).toBe('REQUEST_INVALID')
})
