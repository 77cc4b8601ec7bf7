// What users write beside a guest's tree, checked by `scmictl plan`: xl.cfg and scmid's configuration.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { readXlConfig } from '../../src/cli/xl-config.ts'
import { fixture, scmictl } from './harness.ts'

const folder = mkdtempSync(join(tmpdir(), 'scmictl-written-'))
afterAll(() => rmSync(folder, { recursive: true }))
const host = fixture('example/host.dtb')
const dtb = fixture('example/guest-b.dtb')

/** Problems of xl.cfg alone. */
async function check(text: string, ...more: string[]) {
  const xl = join(folder, 'guest-b.cfg')
  writeFileSync(xl, text)
  const { stdout } = await scmictl([
    ...['plan', '--json', '--host', host, '--domain', `guest-b=${dtb}`, '--xl', `guest-b=${xl}`],
    ...more,
  ])
  const { problems } = JSON.parse(stdout) as {
    problems: {
      severity: string
      code: string
      text: string
      mismatch?: { property: string; expected: string; found: string }
    }[]
  }
  return problems
    .filter(({ code }) => code.startsWith('xl-') || code === 'CONFIG_INVALID')
    .map(({ severity, mismatch, text }) =>
      mismatch === undefined
        ? `${severity}: ${text.replace(folder, '')}`
        : `${severity}: ${mismatch.property}: ${mismatch.expected} / ${mismatch.found}`,
    )
}

describe('xl.cfg', () => {
  test('the lines that generate makes fit', async () => {
    const { stdout } = await scmictl([
      ...[
        'generate',
        '--host',
        host,
        '--domain',
        `guest-b=${dtb}`,
        '--format',
        'xl',
        '--tree',
        '/etc/xen/guest-b.dtb',
      ],
    ])
    expect(await check(stdout)).toEqual([])
  })

  test('what is missing, what is elsewhere, what is in the way', async () => {
    const told = await check(
      `
      name = "guest-b"  # a comment
      device_tree = '/etc/xen/other.dtb'
      iomem = [ "ee080,1@10000", "22000,4", "nonsense" ]
      irqs = [ 140 ]
      dtdev = [ "/soc/mmc@ee140000" ]
      arm_sci = "type=scmi_smc_multiagent,agent_id=4"
    `,
      '--agent',
      'guest-b=3',
    )
    expect(told).toEqual([
      'warning: device_tree: guest-b.dtb / /etc/xen/other.dtb',
      'error: iomem: nothing at frame 22001, where the daemon puts its page / "22000,4"',
      'error: iomem: START,COUNT[@GUEST] in hexadecimal / "nonsense"',
      'warning: iomem: "ee080,1" / "ee080,1@10000", "22000,4", "nonsense"',
      'warning: iomem: "ee140,2" / "ee080,1@10000", "22000,4", "nonsense"',
      'warning: iomem: "e6f30,1" / "ee080,1@10000", "22000,4", "nonsense"',
      'warning: irqs: 199 / "140"',
      'warning: dtdev: "/soc/usb@ee080000" / "/soc/mmc@ee140000"',
      'error: dtdev: devices behind an IOMMU alone: Xen refuses others / "/soc/mmc@ee140000"',
      'error: arm_sci: none: the daemon answers the guest, not Xen / "type=scmi_smc_multiagent,agent_id=4"',
      'error: arm_sci: agent_id=3, as --agent or the configuration has it / agent_id=4',
    ])
  })

  test('a file that cannot be read as one is told with its line', async () => {
    expect(await check('name = "b"\nirqs = [ 1 2 ]')).toEqual(['error: /guest-b.cfg:2: expected `,` or `]`'])
    expect(await check('name = ')).toEqual(['error: /guest-b.cfg:1: expected a value'])
    expect(await check('name = "b')).toEqual(['error: /guest-b.cfg:1: cannot be read from "\\"b" on'])
  })

  test('values as xl knows them', () => {
    const text = 'a = 1; b = "x\\"y" # "no"\nc = [ \'p\', [ 0x10, "q" ], ]\na = 2'
    expect([...readXlConfig(text, 'x.cfg')]).toEqual([
      ['a', 2],
      ['b', 'x"y'],
      ['c', ['p', [16, 'q']]],
    ])
  })
})

describe('--config', () => {
  const config = join(folder, 'scmid.yaml')
  writeFileSync(
    config,
    [
      `host: ${host}`,
      'firmware:',
      '  link: embedded',
      `  platform: ${fixture('example/platform.yaml')}`,
      '  management: { channel: 0 }',
      'guests: { smcId: 0x82000010 }',
      'domains:',
      `  - { name: guest-a, dtb: ${fixture('example/guest-a.dtb')}, agentId: 3, trapSocket: /run/a, smcId: 0x82000002 }`,
      `  - { name: guest-b, dtb: ${dtb}, vhostUser: { path: /run/b } }`,
    ].join('\n'),
  )

  test("has host, domains, agent ids, and what each domain's link needs of its tree", async () => {
    const { code, stdout } = await scmictl(['plan', '--json', '--config', config])
    const told = JSON.parse(stdout)
    expect(
      told.domains.map(({ name, agentId }: { name: string; agentId?: number }) => [name, agentId]),
    ).toEqual([
      ['guest-a', 3],
      ['guest-b', undefined],
    ])
    expect(code).toBe(1)
    expect(
      told.problems.flatMap(({ code, domain }: { code: string; domain?: string }) =>
        code === 'resource-shared' ? [] : [`${domain} ${code}`],
      ),
    ).toEqual(['guest-b conduit-differs'])
  })

  test('options win, and domains come beside it', async () => {
    const { stdout } = await scmictl([
      ...['plan', '--json', '--config', config, '--smc-id', '0x82000002', '--agent', 'guest-a=4'],
      ...['--domain', `guest-d=${fixture('example/guest-d.dtb')}`],
    ])
    const told = JSON.parse(stdout)
    expect(
      told.domains.map(({ name, agentId }: { name: string; agentId?: number }) => [name, agentId]),
    ).toEqual([
      ['guest-d', undefined],
      ['guest-a', 4],
      ['guest-b', undefined],
    ])
    expect(told.problems.filter(({ code }: { code: string }) => code === 'smc-id-differs')).toEqual([])
  })
})
