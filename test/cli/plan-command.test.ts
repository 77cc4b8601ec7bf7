import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { fixture, scmictl } from './harness.ts'

const folder = mkdtempSync(join(tmpdir(), 'scmictl-plan-'))
afterAll(() => rmSync(folder, { recursive: true }))

const host = fixture('example/host.dtb')
const guest = (letter: string): string => `guest-${letter}=${fixture(`example/guest-${letter}.dtb`)}`

interface Told {
  domains: {
    name: string
    agentId?: number
    devices: {
      node: string
      hostNode?: string
      deviceIds: number[]
      resources: { protocol: number; id: number | null; property: string }[]
    }[]
  }[]
  problems: { severity: string; code: string; domain?: string; node?: string; text: string }[]
}

const plan = async (...args: string[]): Promise<{ code: number; told: Told }> => {
  const { code, stdout } = await scmictl(['plan', '--json', ...args])
  return { code, told: JSON.parse(stdout) as Told }
}

describe('the example machine', () => {
  test("two guests get exactly their devices' resources", async () => {
    const { code, told } = await plan(
      '--host',
      host,
      '--domain',
      guest('a'),
      '--domain',
      guest('b'),
      '--agent',
      'guest-a=2',
    )
    expect(code).toBe(0)
    expect(told.domains.map(({ name, agentId }) => [name, agentId])).toEqual([
      ['guest-a', 2],
      ['guest-b', undefined],
    ])
    // from the table of devices in fixtures/example: [protocol, id] of each device
    const held = told.domains.map(({ devices }) =>
      devices.map(({ hostNode, deviceIds, resources }) => [
        hostNode,
        deviceIds,
        resources.map(({ protocol, id, property }) => `${protocol.toString(16)}:${id} ${property}`),
      ]),
    )
    expect(held).toEqual([
      [
        ['/soc/ethernet@e6800000', [0], ['14:0 clocks[0]', '11:0 power-domains[0]', '16:0 resets[0]']],
        [
          '/soc/mmc@ee100000',
          [2],
          [
            '14:3 clocks[0]',
            '14:4 clocks[1]',
            '11:2 power-domains[0]',
            '16:2 resets[0]',
            '17:0 vmmc-supply',
            '17:1 vqmmc-supply',
          ],
        ],
        [
          '/soc/gpu@fd000000',
          [5],
          [
            '14:8 clocks[0]',
            '11:4 power-domains[0]',
            '13:0 power-domains[1]',
            '16:5 resets[0]',
            '15:0 thermal-sensors[0]',
          ],
        ],
      ],
      [
        [
          '/soc/usb@ee080000',
          [1],
          [
            '14:1 clocks[0]',
            '14:2 clocks[1]',
            '11:1 power-domains[0]',
            '13:2 power-domains[1]',
            '16:1 resets[0]',
          ],
        ],
        [
          '/soc/mmc@ee140000',
          [3],
          ['14:5 clocks[0]', '14:6 clocks[1]', '11:2 power-domains[0]', '16:3 resets[0]', '17:2 vmmc-supply'],
        ],
        [
          '/soc/adc@e6f30000',
          [7],
          ['14:11 clocks[0]', '11:5 power-domains[0]', '16:7 resets[0]', '15:1 io-channels[0]'],
        ],
      ],
    ])
    expect(told.problems.map(({ severity, code }) => [severity, code])).toEqual([
      ['warning', 'resource-shared'],
    ])
  })

  test('as text: plan on stdout, warnings on stderr', async () => {
    const { code, stdout, stderr } = await scmictl([
      'plan',
      '--host',
      host,
      '--domain',
      guest('c'),
      '--domain',
      guest('d'),
    ])
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^guest-c\n {2}\/passthrough\/can@e66c0000 = \/soc\/can@e66c0000: SCMI device 6\n {4}clock 9 \(/,
    )
    expect(stdout).toMatch(/\nshared\n(.*\n)* {2}clock 9: guest-c, guest-d\n/)
    expect(stderr).toMatch(/^warning: .*\(resource-shared\)\n/)
  })

  test('one device for two domains is an error, and exits 1', async () => {
    const { code, told } = await plan(
      '--host',
      host,
      '--domain',
      guest('a'),
      '--domain',
      `twin=${fixture('example/guest-a.dtb')}`,
    )
    expect(code).toBe(1)
    expect(told.problems).toContainEqual(
      expect.objectContaining({ severity: 'error', code: 'device-passed-twice' }),
    )
  })
})

describe('files that are no trees', () => {
  const junk = join(folder, 'junk.dtb')
  writeFileSync(junk, 'not a tree, but long enough to have a header of 40 bytes')

  test('a broken guest is an error of that domain, and the others are planned', async () => {
    const { code, told } = await plan('--host', host, '--domain', `bad=${junk}`, '--domain', guest('a'))
    expect(code).toBe(1)
    expect(told.problems[0]).toMatchObject({ severity: 'error', code: 'DTB_MALFORMED', domain: 'bad' })
    expect(told.problems[0]?.text).toContain(junk)
    expect(told.domains.map(({ name }) => name)).toEqual(['guest-a'])
  })

  test('a broken host leaves nothing to plan', async () => {
    const { code, told } = await plan('--host', junk, '--domain', guest('a'))
    expect(code).toBe(1)
    expect(told.domains).toEqual([])
    expect(told.problems.map(({ code }) => code)).toEqual(['DTB_MALFORMED'])
  })

  test('a missing file is told on stderr', async () => {
    const { code, stdout, stderr } = await scmictl(['plan', '--host', host, '--domain', 'a=/nowhere/a.dtb'])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^error: a: \/nowhere\/a\.dtb: .*ENOENT.*\(SYSTEM\)\n$/)
  })
})

test.each<[string, string[], string]>([
  ['no host', ['--domain', guest('a')], "'scmictl plan' requires --host FILE."],
  ['no domain', ['--host', host], "'scmictl plan' requires --domain NAME=FILE."],
  ['no file', ['--host', host, '--domain', 'a'], `'scmictl plan' --domain: expected NAME=FILE, got "a"`],
  ['no name', ['--host', host, '--domain', '=a'], `'scmictl plan' --domain: expected NAME=FILE, got "=a"`],
  [
    'a name that could be a domid',
    ['--host', host, '--domain', '7=x'],
    `'scmictl plan' --domain: "7" is not a name of at most`,
  ],
  [
    'an agent for nobody',
    ['--host', host, '--domain', guest('a'), '--agent', 'b=2'],
    "'scmictl plan' --agent: there is no --domain b.",
  ],
  [
    'two agents for one',
    ['--host', host, '--domain', guest('a'), '--agent', 'guest-a=2', '--agent', 'guest-a=3'],
    "'scmictl plan' --agent: guest-a has two agent ids.",
  ],
  [
    'an agent that is no number',
    ['--host', host, '--domain', guest('a'), '--agent', 'guest-a=two'],
    `'scmictl plan' --agent: expected an integer from 0 to 4294967295, got "two"`,
  ],
])('%s exits 2', async (_, args, text) => {
  const { code, stdout, stderr } = await scmictl(['plan', ...args])
  expect(stderr.startsWith(text)).toBe(true)
  expect([code, stdout]).toEqual([2, ''])
})

test('a file name may have an equals sign', async () => {
  const { stderr } = await scmictl(['plan', '--host', host, '--domain', 'a=/nowhere/x=y.dtb'])
  expect(stderr).toContain('/nowhere/x=y.dtb')
})
