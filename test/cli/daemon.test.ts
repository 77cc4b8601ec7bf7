// scmictl against a real scmid with its embedded platform: what an operator sees of the example machine.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DaemonProcess, ensureBuilt, example } from '../end-to-end/daemon-process.ts'
import { type Ran, scmictl } from './harness.ts'

let daemon: DaemonProcess

beforeAll(async () => {
  ensureBuilt()
  daemon = await DaemonProcess.start()
})
afterAll(() => daemon.destroy())

const ask = (...args: string[]): Promise<Ran> => scmictl(args, { socket: daemon.socket })
const told = async (...args: string[]) => JSON.parse((await ask(...args, '--json')).stdout)
const add = (name: string, link: string, ...more: string[]): Promise<Ran> =>
  ask('domain-add', name, '--dtb', example(`${name}.dtb`), `--${link}`, daemon.path(`${name}.sock`), ...more)
const quiet = { code: 0, stdout: '' }

describe.sequential('one operator, one morning', () => {
  test('nothing is there yet', async () => {
    expect(await ask('status')).toEqual({ code: 0, stdout: 'ok\n', stderr: '' })
    expect((await ask('list')).stdout.trimEnd().split('\n')).toHaveLength(1)
    const agents = await told('agent-list')
    expect(agents.map((each: { agentId: number; state: string }) => [each.agentId, each.state])).toEqual([
      [1, 'management'],
      [2, 'free'],
      [3, 'free'],
      [4, 'free'],
      [5, 'free'],
    ])
  })

  test('a dry run tells the permission commands and sends none', async () => {
    const { code, stdout } = await ask(
      '-N',
      'domain-add',
      'guest-a',
      '--dtb',
      example('guest-a.dtb'),
      '--trap-socket',
      daemon.path('guest-a.sock'),
    )
    expect(code).toBe(0)
    expect(stdout).toMatch(/^guest-a: agent 2 \(dry run, nothing was done\)\n/)
    for (const device of [0, 2, 5])
      expect(stdout).toContain(`  BASE_SET_DEVICE_PERMISSIONS agent_id=2 device_id=${device} flags=1\n`)
    expect(await told('list')).toEqual([])
    expect(await daemon.client.permissionCommands()).toEqual([])
  })

  test('a release that cannot be shown exactly is refused, and the message named', async () => {
    const { code, stderr } = await add('guest-a', 'message-socket', '--release', '2.0')
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/PROTOCOL_ATTRIBUTES cannot be translated exactly\n$/),
    ])
    expect(await told('list')).toEqual([])
  })

  test('guests are added, silently but for what they share', async () => {
    expect(await add('guest-a', 'trap-socket', '--domid', '3', '--agent-id', '4')).toMatchObject(quiet)
    const second = await add('guest-b', 'message-socket', '--versions', 'clock=2.0,power=2.0')
    expect(second).toMatchObject(quiet)
    expect(second.stderr).toMatch(/^warning: .*guest-a and guest-b.*\(resource-shared\)\n$/)
    expect(
      (await ask('list')).stdout.split('\n').map(line => line.trimEnd().split(/ +/).slice(0, 8)),
    ).toEqual([
      ['Name', 'ID', 'Agent', 'State', 'Link', 'Discovery', 'Up', 'Devices'],
      ['guest-a', '3', '4', 'running', 'trap-socket', 'identity', 'no', '3'],
      ['guest-b', '-', '2', 'running', 'message-socket', 'identity', 'no', '3'],
      [''],
    ])
    expect(await told('list', '3')).toEqual(await told('list', 'guest-a'))
  })

  test('what the daemon granted is what the plan said', async () => {
    const { stdout } = await scmictl([
      ...['plan', '--json', '--host', example('host.dtb')],
      ...['--domain', `guest-a=${example('guest-a.dtb')}`, '--domain', `guest-b=${example('guest-b.dtb')}`],
    ])
    type Device = { hostNode: string; deviceIds: number[]; resources: { protocol: number; id: number }[] }
    const essence = ({ hostNode, deviceIds, resources }: Device) => ({
      hostNode,
      deviceIds,
      resources: resources.map(({ protocol, id }) => [protocol, id]),
    })
    const planned = JSON.parse(stdout).domains as { name: string; devices: Device[] }[]
    for (const { name, devices } of planned) {
      const [held] = (await told('list', name)) as { devices: Device[] }[]
      expect(held?.devices.map(essence)).toEqual(devices.map(essence))
    }
  })

  test('devices are shown with their firmware names', async () => {
    const { stdout } = await ask('device-list', '-l', 'guest-a')
    expect(stdout).toMatch(/\/soc\/mmc@ee100000 +2 +guest-a +clock +3 sd0 +clocks\[0\]\n/)
    expect((await ask('device-list')).stdout).toMatch(
      /\/soc\/can@e66c0000 +6 +- +clock 2, power 1, reset 1\n/,
    )
  })

  test('a device goes to one guest, and not to another at the same time', async () => {
    expect(await ask('device-attach', 'guest-a', 'i2c@e6510000')).toMatchObject(quiet)
    const made = await told('generate', '3', '--discovery', 'identity')
    expect([made.name, made.conduit]).toEqual(['guest-a', 'smc'])
    expect(made.devices.map(({ hostNode }: { hostNode: string }) => hostNode)).toEqual([
      '/soc/ethernet@e6800000',
      '/soc/mmc@ee100000',
      '/soc/gpu@fd000000',
      '/soc/i2c@e6510000',
    ])
    expect(made.notes).toEqual([])
    const dense = await told('generate', 'guest-a', '--discovery', 'dense')
    expect(dense.dts).toContain('scmi-mediator,names = "avb", "sd0", "sd0h", "i2c2", "gpu", "codec";')
    const twice = await ask('device-attach', 'guest-b', '4')
    expect([twice.code, twice.stdout]).toEqual([1, ''])
    expect(twice.stderr).toMatch(/^scmictl: .*guest-a.*\n$/)
    expect(await ask('device-detach', '3', '/soc/i2c@e6510000')).toMatchObject(quiet)
    expect((await daemon.client.permissionCommands()).slice(-2)).toEqual([
      { agentId: 4, deviceId: 4, allow: true },
      { agentId: 4, deviceId: 4, allow: false },
    ])
  })

  test.each<[string, () => Promise<Ran>, RegExp]>([
    ['a domain twice', () => add('guest-a', 'message-socket'), /guest-a/],
    ['a device of nobody', () => ask('device-attach', 'guest-a', 'toaster'), /toaster/],
    ['a device that it does not hold', () => ask('device-detach', 'guest-a', '6'), /6|can/],
    ['a domain of nobody', () => ask('domain-remove', 'guest-z'), /guest-z/],
    ["an agent id that is another's", () => add('guest-c', 'message-socket', '--agent-id', '4'), /4/],
    ['an agent id that is not there', () => add('guest-c', 'message-socket', '--agent-id', '77'), /77/],
    ["the management agent's id", () => add('guest-c', 'message-socket', '--agent-id', '1'), /1/],
  ])('%s is refused in one line', async (_, run, text) => {
    const before = await daemon.client.domains()
    const { code, stdout, stderr } = await run()
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^scmictl: .*\n$/)
    expect(stderr.split('\n')).toHaveLength(2)
    expect(stderr).toMatch(text)
    expect(await daemon.client.domains()).toEqual(before)
  })

  test('the audit log tells it all, verifies, and a flipped byte is found by its line', async () => {
    const assigned = await told('audit', '--domain', '3')
    expect(assigned.map((each: { kind: string }) => each.kind)).toContain('assign')
    const whole = await ask('audit', 'verify')
    expect([whole.code, whole.stdout]).toEqual([
      0,
      expect.stringMatching(/: \d+ records, the chain is whole\n$/),
    ])
    const { path } = await daemon.client.flushAudit()
    const lines = readFileSync(path, 'utf8').split('\n')
    const copy = daemon.path('copy.jsonl')
    const last = lines.length - 2
    lines[last] = (lines[last] ?? '').replace('"time":"2', '"time":"3')
    writeFileSync(copy, lines.join('\n'))
    const broken = await scmictl(['audit', 'verify', copy])
    expect([broken.code, broken.stdout.split(': ')[0]]).toEqual([1, `${copy}:${last + 1}`])
  })

  test('guests are removed, and their agents are free again', async () => {
    expect(await ask('domain-remove', 'guest-b')).toMatchObject(quiet)
    expect((await ask('-v', 'domain-remove', '3')).stdout).toMatch(/^guest-a: agent 4\n {2}revoke /)
    expect(await told('list')).toEqual([])
    const states = (await told('agent-list')).map((each: { state: string }) => each.state)
    expect(states).toEqual(['management', 'free', 'free', 'free', 'free'])
    expect((await ask('status')).stdout).toBe('ok\n')
  })

  test('a generated tree comes to the same grants, under ids that the guest counts from 0', async () => {
    const blob = daemon.path('own-ids.dtb')
    const made = await ask(
      'generate',
      '--domain',
      `own-ids=${example('guest-b.dtb')}`,
      '--format',
      'dtb',
      '-o',
      blob,
    )
    expect(made).toEqual({ code: 0, stdout: '', stderr: '' })
    const added = await ask('domain-add', 'own-ids', '--dtb', blob, '--trap-socket', daemon.path('own.sock'))
    expect(added).toMatchObject(quiet)
    const [view] = await told('list', 'own-ids')
    expect(view.discovery).toBe('dense')
    type Resource = { protocol: number; id: number; guestId: number; property: string }
    const held = view.devices.flatMap(({ resources }: { resources: Resource[] }) => resources)
    const clocks = held.filter(({ protocol }: Resource) => protocol === 0x14)
    expect(clocks.map(({ id, guestId }: Resource) => [id, guestId])).toEqual([
      [1, 0],
      [2, 1],
      [5, 2],
      [6, 3],
      [11, 4],
    ])
    // asked for again it counts as it does already
    const again = await told('generate', 'own-ids')
    expect(again.dts).toContain('scmi-mediator,names = "usb0", "usb0-phy", "sd2", "sd2h", "adc";')
    expect(await ask('domain-remove', 'own-ids')).toMatchObject(quiet)
  })
})
