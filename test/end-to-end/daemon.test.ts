// The daemon as a process: domains come and go over its control socket, guests speak to it over theirs.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { verifyAudit } from '../../src/audit/verify.ts'
import type { DomainSpec } from '../../src/lifecycle/views.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'
import { MessageGuest } from './message-guest.ts'

const [CLOCK, POWER, BASE] = [0x14, 0x11, 0x10]
const [SUCCESS, DENIED, NOT_FOUND] = [0, -3, -4]
const [CONFIG_SET, CLOCK_ATTRIBUTES, STATE_SET, STATE_GET] = [0x7, 0x3, 0x4, 0x5]
const OFF = 0x4000_0000

const now = { dryRun: false }
const running: DaemonProcess[] = []
const guests: MessageGuest[] = []

beforeAll(ensureBuilt, 120_000)
afterEach(async () => {
  for (const guest of guests.splice(0)) guest.close()
  for (const daemon of running.splice(0)) await daemon.destroy()
})

async function start(options: Parameters<typeof DaemonProcess.start>[0] = {}): Promise<DaemonProcess> {
  const daemon = await DaemonProcess.start(options)
  running.push(daemon)
  return daemon
}

const spec = (daemon: DaemonProcess, name: string, more: Partial<DomainSpec> = {}): DomainSpec => ({
  name,
  dtb: readFileSync(example(`${name}.dtb`)),
  dtbPath: `${name}.dtb`,
  link: { kind: 'message-socket', path: daemon.path(`${name}.sock`) },
  ...more,
})

async function connect(daemon: DaemonProcess, name: string): Promise<MessageGuest> {
  const guest = await MessageGuest.connect(daemon.path(`${name}.sock`))
  guests.push(guest)
  return guest
}

interface Line {
  kind: string
  domain?: string
  node?: string
  decision?: string
  message?: string
  resource?: number
  device?: number
  allow?: boolean
  rule?: string
  text?: string
}

async function audit(daemon: DaemonProcess): Promise<Line[]> {
  const { path } = await daemon.client.flushAudit()
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
}

describe('two guests', () => {
  test('each reaches its own, and nothing of the other’s', async () => {
    const daemon = await start()
    const added = await daemon.client.addDomain(spec(daemon, 'guest-a'), now)
    await daemon.client.addDomain(spec(daemon, 'guest-b'), now)
    expect(added.permissionCommands.map(({ deviceId, allow }) => [deviceId, allow])).toEqual([
      [0, true],
      [2, true],
      [5, true],
    ])
    const [a, b] = [await connect(daemon, 'guest-a'), await connect(daemon, 'guest-b')]

    expect((await a.ask(CLOCK, CONFIG_SET, 0, 1, 0)).status).toBe(SUCCESS)
    expect((await b.ask(CLOCK, CONFIG_SET, 0, 1, 0)).status).toBe(DENIED)
    expect((await b.ask(CLOCK, CONFIG_SET, 0, 0, 0)).status).toBe(SUCCESS) // harmless, and without effect:
    expect((await a.ask(CLOCK, CLOCK_ATTRIBUTES, 0)).words[0]! & 1).toBe(1)
    const placeholder = await b.ask(CLOCK, CLOCK_ATTRIBUTES, 0)
    expect([placeholder.status, ...placeholder.words]).toEqual([SUCCESS, 0, 0, 0, 0, 0, 0])
    expect((await b.ask(CLOCK, CLOCK_ATTRIBUTES, 14)).status).toBe(NOT_FOUND)
    expect((await b.ask(BASE, 0x9, 3, 0, 1)).status).toBe(DENIED)

    const lines = await audit(daemon)
    const denied = lines.filter(({ kind, decision }) => kind === 'message' && decision === 'denied')
    expect(denied.map(({ domain, message, node }) => [domain, message, node])).toEqual([
      ['guest-b', 'CLOCK_CONFIG_SET', '/soc/ethernet@e6800000'],
      ['guest-b', 'BASE_SET_DEVICE_PERMISSIONS', undefined],
    ])
    const { messages, allowed, denied: refused, errors } = (await daemon.client.domain('guest-b')).counters
    expect([messages, allowed, refused, errors]).toEqual([5, 0, 4, 1])
  })

  test('one’s power-off of a shared domain leaves the other powered', async () => {
    const daemon = await start()
    await daemon.client.addDomain(spec(daemon, 'guest-a'), now)
    await daemon.client.addDomain(spec(daemon, 'guest-b'), now)
    const [a, b] = [await connect(daemon, 'guest-a'), await connect(daemon, 'guest-b')]
    for (const guest of [a, b]) expect((await guest.ask(POWER, STATE_SET, 0, 2, 0)).status).toBe(SUCCESS)
    expect((await a.ask(POWER, STATE_SET, 0, 2, OFF)).status).toBe(SUCCESS)
    expect((await a.ask(POWER, STATE_GET, 2)).words).toEqual([OFF])
    expect((await b.ask(POWER, STATE_GET, 2)).words).toEqual([0])
    const votes = (await audit(daemon)).filter(({ decision }) => decision === 'vote')
    expect(votes.map(({ domain, node }) => [domain, node])).toEqual([['guest-a', '/soc/mmc@ee140000']])
  })
})

describe('domains', () => {
  test('a dry run changes nothing and says what it would do', async () => {
    const daemon = await start()
    const outcome = await daemon.client.addDomain(spec(daemon, 'guest-a'), { dryRun: true })
    expect(outcome).toMatchObject({ dryRun: true, agentId: 2 })
    expect(outcome.granted.length).toBeGreaterThan(0)
    expect(await daemon.client.domains()).toEqual([])
    expect(await daemon.client.permissionCommands()).toEqual([])
    expect(existsSync(daemon.path('guest-a.sock'))).toBe(false)
  })

  test('grants stand in the log before the firmware is told', async () => {
    const daemon = await start()
    await daemon.client.addDomain(spec(daemon, 'guest-a'), now)
    const kinds = (await audit(daemon)).map(({ kind, device, text }) =>
      `${kind} ${device ?? ''}${text === 'sent' ? ' sent' : ''}`.trim(),
    )
    expect(kinds.indexOf('grant 0')).toBeLessThan(kinds.indexOf('permission 0 sent'))
    expect(kinds.indexOf('permission 0 sent')).toBeLessThan(kinds.indexOf('permission 0'))
  })

  test('refusals name what is in the way, and leave everything as it was', async () => {
    const daemon = await start()
    await daemon.client.addDomain(spec(daemon, 'guest-a'), now)
    const before = await daemon.client.domains()
    const twin = spec(daemon, 'guest-a')
    await expect(daemon.client.addDomain(twin, now)).rejects.toMatchObject({ code: 'DOMAIN_EXISTS' })
    const elsewhere = {
      ...twin,
      name: 'other',
      link: { kind: 'message-socket', path: daemon.path('o.sock') },
    } as const
    await expect(daemon.client.addDomain(elsewhere, now)).rejects.toMatchObject({
      code: 'DEVICE_BUSY',
      message: '/soc/ethernet@e6800000 is guest-a’s'.replace('’', "'"),
    })
    await expect(daemon.client.addDomain(spec(daemon, 'guest-b', { agentId: 2 }), now)).rejects.toMatchObject(
      { code: 'AGENT_BUSY' },
    )
    await expect(
      daemon.client.addDomain(spec(daemon, 'guest-b', { agentId: 77 }), now),
    ).rejects.toMatchObject({ code: 'AGENT_UNKNOWN' })
    await expect(
      daemon.client.addDomain(spec(daemon, 'guest-b', { dtb: Buffer.from('nonsense') }), now),
    ).rejects.toMatchObject({
      code: 'DTB_MALFORMED',
    })
    await expect(daemon.client.removeDomain('nobody', now)).rejects.toMatchObject({ code: 'DOMAIN_UNKNOWN' })
    expect(await daemon.client.domains()).toEqual(before)
    expect((await audit(daemon)).filter(({ kind }) => kind === 'refuse')).toHaveLength(6)
  })

  test('a link that cannot be opened rolls the grants back', async () => {
    const daemon = await start()
    writeFileSync(daemon.path('guest-a.sock'), 'in the way')
    await expect(daemon.client.addDomain(spec(daemon, 'guest-a'), now)).rejects.toMatchObject({
      code: 'SOCKET_PATH',
    })
    const commands = await daemon.client.permissionCommands()
    expect(commands.slice(0, 6).map(({ deviceId, allow }) => [deviceId, allow])).toEqual([
      [0, true],
      [2, true],
      [5, true],
      [5, false],
      [2, false],
      [0, false],
    ])
    const swept = commands.slice(6)
    expect(swept.map(({ allow }) => allow)).not.toContain(true)
    expect(new Set(swept.map(({ deviceId }) => deviceId))).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7, 8]))
    expect(await daemon.client.domains()).toEqual([])
    expect((await daemon.client.agents()).map(({ state }) => state)).toEqual([
      'management',
      'free',
      'free',
      'free',
      'free',
    ])
  })

  test('a removed domain’s agent id is swept, and given to the next', async () => {
    const daemon = await start()
    await daemon.client.addDomain(spec(daemon, 'guest-a'), now)
    const a = await connect(daemon, 'guest-a')
    expect((await a.ask(CLOCK, CONFIG_SET, 0, 1, 0)).status).toBe(SUCCESS)
    await daemon.client.removeDomain('guest-a', now)
    expect(existsSync(daemon.path('guest-a.sock'))).toBe(false)
    const denied = (await daemon.client.permissionCommands())
      .filter(({ allow }) => !allow)
      .map(({ deviceId }) => deviceId)
    expect(new Set(denied)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7, 8]))
    const next = await daemon.client.addDomain(spec(daemon, 'guest-b'), now)
    expect(next.agentId).toBe(2)
    const b = await connect(daemon, 'guest-b')
    expect((await b.ask(CLOCK, CONFIG_SET, 0, 1, 0)).status).toBe(DENIED)
    expect((await b.ask(CLOCK, CONFIG_SET, 1, 1, 0)).status).toBe(SUCCESS)
  })

  test('agents run out, and say who has them', async () => {
    const daemon = await start()
    for (const name of ['guest-a', 'guest-b', 'guest-c', 'guest-d'])
      await daemon.client.addDomain(spec(daemon, name), now)
    const fifth = spec(daemon, 'guest-a', {
      name: 'fifth',
      link: { kind: 'message-socket', path: daemon.path('5') },
    })
    await daemon.client.detachDevice('guest-a', '0', now)
    await expect(daemon.client.addDomain(fifth, now)).rejects.toMatchObject({ code: 'DEVICE_BUSY' })
    for (const device of ['2', '5']) await daemon.client.detachDevice('guest-a', device, now)
    await expect(daemon.client.addDomain(fifth, now)).rejects.toMatchObject({
      code: 'AGENTS_EXHAUSTED',
      message: expect.stringContaining('2 is assigned to guest-a'),
    })
  })
})

describe('devices', () => {
  test('a detached device is refused at once, and withdrawn from the firmware', async () => {
    const daemon = await start()
    await daemon.client.addDomain(spec(daemon, 'guest-a'), now)
    const a = await connect(daemon, 'guest-a')
    expect((await a.ask(CLOCK, CONFIG_SET, 3, 1, 0)).status).toBe(SUCCESS)
    const outcome = await daemon.client.detachDevice('guest-a', 'mmc@ee100000', now)
    expect(outcome.permissionCommands).toEqual([{ agentId: 2, deviceId: 2, allow: false }])
    expect((await a.ask(CLOCK, CONFIG_SET, 3, 1, 0)).status).toBe(DENIED)
    expect((await a.ask(0x17, 0x0)).status).toBe(DENIED) // its last voltage domain went with it
    await daemon.client.attachDevice('guest-a', '/soc/mmc@ee100000', now)
    expect((await a.ask(CLOCK, CONFIG_SET, 3, 1, 0)).status).toBe(SUCCESS)
  })

  test('a device of the host can be given, and comes back', async () => {
    const daemon = await start()
    await daemon.client.addDomain(spec(daemon, 'guest-a'), now)
    const a = await connect(daemon, 'guest-a')
    expect((await a.ask(CLOCK, CONFIG_SET, 7, 1, 0)).status).toBe(DENIED)
    await daemon.client.attachDevice('guest-a', 'i2c@e6510000', now)
    expect((await a.ask(CLOCK, CONFIG_SET, 7, 1, 0)).status).toBe(SUCCESS)
    expect((await a.ask(CLOCK, CONFIG_SET, 12, 1, 0)).status).toBe(SUCCESS) // the codec below it
    await expect(daemon.client.attachDevice('guest-a', '/soc/nothing', now)).rejects.toMatchObject({
      code: 'DEVICE_UNKNOWN',
    })
    await daemon.client.detachDevice('guest-a', '4', now)
    expect((await a.ask(CLOCK, CONFIG_SET, 7, 1, 0)).status).toBe(DENIED)
    expect((await daemon.client.domain('guest-a')).devices).toHaveLength(3)
  })
})

describe('the process', () => {
  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'after %s the next one takes the domains up again',
    async signal => {
      const daemon = await start()
      await daemon.client.addDomain(spec(daemon, 'guest-b', { agentId: 4 }), now)
      await daemon.client.detachDevice('guest-b', '7', now)
      expect(await daemon.end(signal)).toBe(signal === 'SIGTERM' ? 0 : null)
      const next = await start({ directory: daemon.directory })
      const domain = await next.client.domain('guest-b')
      expect(domain).toMatchObject({ agentId: 4, state: 'running' })
      expect(domain.devices.flatMap(({ deviceIds }) => deviceIds)).toEqual([1, 3])
      const b = await connect(next, 'guest-b')
      expect((await b.ask(CLOCK, CONFIG_SET, 1, 1, 0)).status).toBe(SUCCESS)
      expect((await b.ask(CLOCK, CONFIG_SET, 11, 1, 0)).status).toBe(DENIED)
      const { path } = await next.client.flushAudit()
      expect(await verifyAudit(path)).toMatchObject({ chain: 'ok' })
    },
  )

  test('a second daemon is refused, and the first goes on', async () => {
    const daemon = await start()
    await daemon.client.addDomain(spec(daemon, 'guest-a'), now)
    const second = spawnSync(
      process.execPath,
      [resolve('dist/main.js'), '-c', daemon.path('scmid.yaml'), '--directory', daemon.directory],
      {
        encoding: 'utf8',
      },
    )
    expect(second.status).toBe(1)
    expect(second.stderr).toContain('another scmid serves from')
    const a = await connect(daemon, 'guest-a')
    expect((await a.ask(BASE, 0)).status).toBe(SUCCESS)
  })

  test('--check reads everything the configuration names', async () => {
    const daemon = await start()
    const check = (...more: string[]) =>
      spawnSync(process.execPath, [resolve('dist/main.js'), '--check', ...more], { encoding: 'utf8' })
    expect(check('-c', daemon.path('scmid.yaml'))).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(': ok'),
    })
    writeFileSync(
      daemon.path('bad.yaml'),
      'host: nowhere.dtb\nfirmware: { link: embedded, platform: p.yaml }\n',
    )
    const bad = check('-c', daemon.path('bad.yaml'))
    expect(bad.status).toBe(1)
    expect(bad.stderr).toMatch(/^scmid: .*nowhere\.dtb/)
    expect(check('--nonsense').status).toBe(2)
  })

  test('a management channel that is not the trusted agent’s keeps it from starting', async () => {
    const config = { 'firmware.management': { channel: 1 }, 'firmware.agents': [] }
    await expect(DaemonProcess.start({ config })).rejects.toThrow(
      'firmware channel 0 (agent 1) may set permissions, and the management channel 1 (agent 2) may not',
    )
  })

  test('--check plans the domains of the configuration', async () => {
    const daemon = await start()
    const text = readFileSync(daemon.path('scmid.yaml'), 'utf8')
    const twice = ['a', 'b'].map(name => ({
      name,
      dtb: example('guest-a.dtb'),
      messageSocket: daemon.path(name),
    }))
    writeFileSync(daemon.path('twice.yaml'), text.replace('domains: []', `domains: ${JSON.stringify(twice)}`))
    const { status, stderr } = spawnSync(
      process.execPath,
      [resolve('dist/main.js'), '--check', '-c', daemon.path('twice.yaml')],
      {
        encoding: 'utf8',
      },
    )
    expect(status).toBe(1)
    expect(stderr).toMatch(/^scmid: .*ethernet@e6800000.*\n$/)
  })

  test('an agent id declared otherwise than the firmware says keeps it from starting', async () => {
    const agents = [1, 2, 3, 4].map(channel => ({ channel, agentId: channel === 3 ? 9 : channel + 1 }))
    await expect(DaemonProcess.start({ config: { 'firmware.agents': agents } })).rejects.toThrow(
      'firmware channel 3 is declared as agent 9, and says it is agent 4',
    )
  })
})

describe('hostile guests', () => {
  test('lies, floods and torn frames of one touch nobody else', async () => {
    const daemon = await start()
    await daemon.client.addDomain(spec(daemon, 'guest-a'), now)
    await daemon.client.addDomain(spec(daemon, 'guest-b'), now)
    const b = await connect(daemon, 'guest-b')
    const hostile = async (bytes: Uint8Array): Promise<void> => {
      const a = await connect(daemon, 'guest-a')
      void a.bytes(bytes)
      expect((await b.ask(CLOCK, CONFIG_SET, 1, 1, 0)).status).toBe(SUCCESS)
      a.close()
    }
    const random = (seed: number): Uint8Array => {
      const bytes = new Uint8Array(20_000)
      for (let i = 0, state = seed; i < bytes.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        bytes[i] = state >>> 24
      }
      return bytes
    }
    await hostile(Uint8Array.of(3, 0, 0, 0, 1, 2, 3)) // shorter than a header
    await hostile(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0x50, 0, 0)) // 4 GiB announced
    await hostile(Uint8Array.of(8, 0, 0, 0, 0)) // torn
    const flood = Buffer.concat(
      Array.from({ length: 5000 }, () => Buffer.from('1000000007500000070000000100000000000000', 'hex')),
    )
    await hostile(flood)
    for (let seed = 1; seed <= 20; seed++) await hostile(random(seed))
    expect((await daemon.client.status()).problems.filter(text => !text.includes('BUSY'))).toEqual([])
    const counters = (await daemon.client.domain('guest-a')).counters
    expect(counters.messages).toBe(counters.allowed + counters.denied + counters.errors)
  })
})
