// Sessions, scripts, use, attempt and discover: a guest at the virtual SCP of the example, without a mediator.
import { afterEach, describe, expect, test } from 'vitest'
import { attempts } from '../../src/guest/attempt.ts'
import { discover, seenLines } from '../../src/guest/discover.ts'
import { MessageConnection } from '../../src/guest/message-connection.ts'
import { Report } from '../../src/guest/report.ts'
import { parseScript, runScript } from '../../src/guest/script.ts'
import { type Exchange, GuestSession } from '../../src/guest/session.ts'
import { useResource } from '../../src/guest/use.ts'
import type { PlatformConfig } from '../../src/platform/config.ts'
import { parsePlatform } from '../../src/platform/load.ts'
import { protocols } from '../../src/scmi/protocols.ts'
import { type AnyMessage, existsAt } from '../../src/scmi/schema.ts'
import { statusName } from '../../src/scmi/status.ts'
import { exampleText, extended } from '../platform/ask.ts'
import { PlatformHandler, Served } from './served.ts'

let served: Served
let session: GuestSession
let exchanges: Exchange[]
let mismatches: string[]
afterEach(() => {
  session.connection.close()
  served.close()
})

async function join(channel = 0, config?: PlatformConfig): Promise<PlatformHandler> {
  const handler = new PlatformHandler(channel, config)
  served = new Served('message-socket', handler)
  exchanges = []
  mismatches = []
  session = new GuestSession(await MessageConnection.open(served.path), {
    exchanged: exchange => exchanges.push(exchange),
    mismatch: text => mismatches.push(text),
  })
  return handler
}
const asked = () => exchanges.map(({ message, status }) => `${message} ${statusName(status)}`)

/** Resources of the example's firmware, by protocol. */
const resources: readonly [string, number, number][] = [
  ['clock', 0x14, 14],
  ['power', 0x11, 8],
  ['reset', 0x16, 9],
  ['voltage', 0x17, 4],
  ['sensor', 0x15, 3],
  ['performance', 0x13, 2],
]

test.each(resources)(
  'use: every %s is used with SUCCESS, and reads back as it was set',
  async (_key, id, count) => {
    await join()
    for (let resource = 0; resource < count; resource++) await useResource(session, id, resource)
    expect(exchanges.filter(({ status }) => status !== 0).map(({ message }) => message)).toEqual([])
    expect(exchanges.flatMap(({ problems }) => problems)).toEqual([])
    expect(mismatches).toEqual([])
  },
)

test('use: a clock is enabled, moved to another rate and back, and left enabled', async () => {
  const { platform } = await join()
  const rates: number[] = []
  platform.tap = (_channel, words, length) => {
    if (((words[0] as number) & 0xff) === 5 && length === 20) rates.push(words[3] as number)
  }
  await useResource(session, 0x14, 0)
  expect(rates).toEqual([25_000_000, 125_000_000])
  expect(platform.clocks.enabledBy(0, 0)).toBe(true)
  expect(asked().slice(0, 6)).toEqual([
    'PROTOCOL_VERSION SUCCESS',
    'CLOCK_ATTRIBUTES SUCCESS',
    'PROTOCOL_MESSAGE_ATTRIBUTES SUCCESS',
    'CLOCK_GET_PERMISSIONS SUCCESS',
    'CLOCK_DESCRIBE_RATES SUCCESS',
    'CLOCK_RATE_GET SUCCESS',
  ])
})

test('use: a value that does not read back is complained of', async () => {
  const { platform } = await join()
  platform.tap = (_channel, words) => {
    if (((words[0] as number) & 0x3fcff) === 0x4405) platform.power.ask(0, 0, 0x4000_0000) // off before each GET
  }
  await useResource(session, 0x11, 0)
  expect(mismatches[0]).toBe('power 0: POWER_STATE_GET reads 1073741824, 0 was set')
})

test('use: an agent without rights is told so, and sends on', async () => {
  await join(1)
  await useResource(session, 0x14, 0)
  expect(asked()).toContain('CLOCK_RATE_SET DENIED')
  await useResource(session, 0x17, 0)
  await useResource(session, 0x13, 0)
  await useResource(session, 0x15, 0)
})

test.each(protocols.filter(p => 'resource' in p).map(p => [p.key, p] as const))(
  'try %s: every message that names a resource is there, well-formed and about that resource',
  (_key, p) => {
    const version = p.versions.at(-1)?.version ?? 0
    const all = attempts(p.id, 7, version)
    const expected = (Object.entries(p.messages) as [string, AnyMessage][]).filter(
      ([, m]) => m.resource !== undefined && existsAt(m, version),
    )
    expect([...new Set(all.map(({ message }) => message))]).toEqual(expected.map(([name]) => name))
    for (const { message, value } of all) {
      const m = (p.messages as Readonly<Record<string, AnyMessage>>)[message] as AnyMessage
      expect(value[m.resource as string]).toBe(7)
    }
    for (const [name, m] of expected)
      expect(all.filter(({ message }) => message === name)).toHaveLength(m.votes === undefined ? 1 : 2)
  },
)

test('try: votes are asked for and withdrawn', () => {
  const votes = (protocol: number, message: string, field: string) =>
    attempts(protocol, 1, 0x3_0000)
      .filter(each => each.message === message)
      .map(({ value }) => value[field])
  expect(votes(0x14, 'CLOCK_CONFIG_SET', 'attributes')).toEqual([1, 0])
  expect(votes(0x11, 'POWER_STATE_SET', 'power_state')).toEqual([0, 0x4000_0000])
  expect(votes(0x17, 'VOLTAGE_CONFIG_SET', 'config')).toEqual([7, 0])
})

test('discover: the trusted agent sees the machine as its file says', async () => {
  await join()
  const seen = await discover(session)
  expect(seen).toMatchObject({
    vendor: 'example',
    subVendor: 'r-car-h3',
    implementationVersion: 0x1_0000,
    self: 1,
  })
  expect(seen.agents.map(({ name }) => name)).toEqual([
    'platform',
    'mediator',
    'guest0',
    'guest1',
    'guest2',
    'guest3',
  ])
  const counts = Object.fromEntries(seen.protocols.map(({ key, resources: all }) => [key, all.length]))
  expect(counts).toEqual({ power: 8, system: 0, performance: 3, clock: 14, sensor: 3, reset: 9, voltage: 4 })
  const clocks = seen.protocols.find(({ key }) => key === 'clock')?.resources
  expect(clocks?.[0]).toMatchObject({ name: 'avb', facts: { rates: [25_000_000, 125_000_000] } })
  expect(clocks?.[3]).toMatchObject({ name: 'sd0', facts: { triplet: 1 } })
  const lines = seenLines(seen)
  expect(lines).toContain('agent 1 mediator (this guest)')
  expect(lines.find(line => line.includes('25000000,125000000'))).toMatch(
    /^ +0 avb +.*rates 25000000,125000000$/,
  )
})

describe('power capping and pin control', () => {
  const config = () => parsePlatform(extended(exampleText), 'platform.yaml')

  test('use: caps and intervals read back as they were set', async () => {
    await join(0, config())
    for (const id of [0, 1, 2]) await useResource(session, 0x18, id)
    expect(exchanges.filter(({ status }) => status !== 0).map(({ message }) => message)).toEqual([])
    expect(mismatches).toEqual([])
    expect(asked().filter(text => text === 'POWERCAP_CAP_SET SUCCESS')).toHaveLength(4)
  })

  test('discover finds domains, and pins, groups and functions with their members', async () => {
    await join(0, config())
    const seen = await discover(session)
    const resources = (id: number) => seen.protocols.find(p => p.id === id)?.resources ?? []
    expect(resources(0x18).map(({ name }) => name)).toEqual(['avb', 'usb0', 'the-whole-syste'])
    expect(resources(0x18)[2]?.facts).toMatchObject({ power_cap: 4_000_000_000, parent_id: 0xffff_ffff })
    expect(resources(0x19).map(({ facts, id, name }) => `${facts['kind']} ${id} ${name}`)).toEqual([
      'pin 0 PA0',
      'pin 1 PA1',
      'pin 2 PA2',
      'pin 3 PA3',
      'pin 4 a-pin-of-the-ho',
      'group 0 avb_mdio',
      'group 1 usb0',
      'group 2 host',
      'function 0 bus',
      'function 1 gpio',
      'function 2 host',
    ])
    expect(resources(0x19)[5]?.facts['associations']).toEqual([0, 1, 2])
    expect(seenLines(seen).find(line => line.includes('avb_mdio'))).toMatch(/group .*associations 0,1,2$/)
  })
})

const run = async (script: string, json: boolean): Promise<string[]> => {
  const lines: string[] = []
  const report = new Report(line => lines.push(line), json)
  const reported = new GuestSession(session.connection, report)
  report.of(reported)
  await runScript(reported, script.split('\n'), 'script', text => report.mark(text))
  return lines
}

test('a script: messages by name at the version the guest read, and frames as they are', async () => {
  await join()
  const lines = await run('CLOCK_CONFIG_SET clock_id=1 attributes.enable=1\n01500000\nmark end', false)
  expect(lines).toEqual([
    '> clock PROTOCOL_VERSION command, token 0',
    '< clock PROTOCOL_VERSION response, token 0: SUCCESS (0) version=0x30000',
    '> clock CLOCK_CONFIG_SET command, token 1: clock_id=1 attributes={enable=1} extended_config_val=0',
    '< clock CLOCK_CONFIG_SET response, token 1: SUCCESS (0)',
    '> clock PROTOCOL_ATTRIBUTES command, token 0',
    '< clock PROTOCOL_ATTRIBUTES response, token 0: SUCCESS (0) attributes={num_clocks=14}',
    '# end',
  ])
})

test('a script with --json: one object a line, 64-bit numbers included', async () => {
  await join()
  const lines = await run('CLOCK_RATE_GET clock_id=0\nPOWER_STATE_SET domain_id=99\n00010000\nmark end', true)
  const objects = lines.map(line => JSON.parse(line) as Record<string, unknown>)
  expect(objects[1]).toEqual({
    request: '0650040000000000',
    response: '065004000000000040597307' + '00000000',
    protocol: 20,
    message: 'CLOCK_RATE_GET',
    version: 0x3_0000,
    status: 0,
    statusName: 'SUCCESS',
    value: { rate: 125_000_000 },
    entries: [],
  })
  expect(objects[3]).toMatchObject({ message: 'POWER_STATE_SET', statusName: 'NOT_FOUND', value: {} })
  expect(objects[4]).toMatchObject({
    request: '00010000',
    response: '00010000f6ffffff',
    statusName: 'PROTOCOL_ERROR',
  })
  expect(objects[5]).toEqual({ mark: 'end' })
})

test('a script that cannot be sent is located', async () => {
  await join()
  await expect(run('\nCLOCK_RATE_GET clock_id=0\nuse base 1', false)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: 'script:3: base has no resources to use',
  })
  await expect(run('CLOCK_RATE_GET clock_id=0x100000000', false)).rejects.toThrow(
    'script:1: CLOCK_RATE_GET.clock_id',
  )
  expect(() => parseScript('sleep 1\n\nwake', 'script')).toThrow('script:3: no message wake')
})
