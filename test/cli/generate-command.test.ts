import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { directories, guestSocket } from '../../src/config/paths.ts'
import { readDeviceTree } from '../../src/dt/fdt.ts'
import { loadDeviceTree } from '../../src/dt/load.ts'
import { nodeAt, stringList } from '../../src/dt/node.ts'
import { scmiNodes } from '../../src/dt/scmi-node.ts'
import { fixture, scmictl } from './harness.ts'

const folder = mkdtempSync(join(tmpdir(), 'scmictl-generate-'))
afterAll(() => rmSync(folder, { recursive: true }))

const host = ['--host', fixture('example/host.dtb')]
const guest = (letter: string) => ['--domain', `guest-${letter}=${fixture(`example/guest-${letter}.dtb`)}`]
const file = (name: string): string => join(folder, name)

describe('files', () => {
  test('a blob goes where -o says, and nothing else anywhere', async () => {
    const out = file('a.dtb')
    const args = ['generate', ...host, ...guest('a'), '--format', 'dtb', '-o', out]
    expect(await scmictl(args)).toEqual({ code: 0, stdout: '', stderr: '' })
    const [scmi] = scmiNodes(loadDeviceTree(out))
    expect([scmi?.compatible, scmi?.smcId, scmi?.shmem[0]?.address]).toEqual([
      'arm,scmi-smc',
      0x82000002,
      0x22001000n,
    ])
  })

  test('source says what it is made from, and where memory must be left alone', async () => {
    const { stdout, code } = await scmictl([
      'generate',
      ...host,
      ...guest('b'),
      '--smc-id',
      '0x82000010',
      '--shmem-address',
      '0x22002000',
    ])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\/\*\n \* SCMI of guest-b: made by scmictl generate /)
    expect(stdout).toContain('Calls 0x82000010, shared memory at 0x22002000')
    expect(stdout).toContain('scmi_shm: scmi-shmem@22002000 {')
    expect(stdout).toContain('arm,smc-id = <0x82000010>;')
    expect(stdout).toContain('Dom0less guests start before scmid and are served over virtio only.')
  })

  test('onto a whole tree', async () => {
    const base = file('base.dtb')
    const { stdout } = await scmictl(['generate', ...host, ...guest('d'), '--json'])
    writeFileSync(base, Buffer.from(JSON.parse(stdout).dtb, 'base64'))
    const out = file('whole.dtb')
    await scmictl([
      'generate',
      ...host,
      ...guest('a'),
      ...['--conduit', 'virtio', '--onto', base, '--format', 'dtb', '-o', out],
    ])
    const tree = loadDeviceTree(out)
    expect(scmiNodes(tree).map(({ node }) => node.path)).toEqual(['/firmware/scmi'])
    expect(stringList(nodeAt(tree, '/firmware/scmi') ?? tree.root, 'compatible')).toEqual(['arm,scmi-virtio'])
    expect(nodeAt(tree, '/passthrough/can@e6c38000')).toBeDefined()
  })
})

describe('lines', () => {
  test('xl: tree, frames, interrupts, and why there is no more', async () => {
    const { stdout } = await scmictl([
      'generate',
      'both',
      ...host,
      ...['--device', 'usb@ee080000', '--device', '6', '--format', 'xl', '--tree', '/etc/xen/both.dtb'],
    ])
    const lines = stdout.split('\n')
    expect(lines.filter(line => !line.startsWith('#') && line !== '')).toEqual([
      'device_tree = "/etc/xen/both.dtb"',
      'dtdev = [ "/soc/usb@ee080000" ]',
      'iomem = [ "ee080,1", "e66c0,8" ]',
      'irqs = [ 140, 61, 62 ]',
    ])
    expect(stdout).toContain('# no IOMMU confines /soc/can@e66c0000')
    expect(stdout).toContain('# no iomem for the shared memory at 0x22001000')
    expect(stdout).toContain('# memory: at most 2662,')
    expect(stdout).toContain('# a dom0less guest starts before scmid: it is served over virtio only')
  })

  test('QEMU: shared memory, a socket that QEMU listens on, the tree', async () => {
    const { stdout } = await scmictl([
      'generate',
      ...host,
      ...guest('a'),
      ...['--format', 'qemu', '--memory', '512M', '--vhost-user-client', '/run/scmid/a b.sock'],
    ])
    expect(stdout).toBe(
      [
        '-machine virt,memory-backend=mem \\',
        '-m 512M \\',
        '-object memory-backend-memfd,id=mem,size=512M,share=on \\',
        "-chardev 'socket,id=scmi,path=/run/scmid/a b.sock,server=on' \\",
        '-device vhost-user-scmi-pci,chardev=scmi,id=scmi0 \\',
        '-dtb guest-a.dtb\n',
      ].join('\n'),
    )
  })

  test('QEMU connects where the daemon listens', async () => {
    const args = ['generate', ...host, ...guest('a'), '--format', 'qemu', '--vhost-user', '/run/scmid/a.sock']
    expect((await scmictl(args)).stdout).toContain('-chardev socket,id=scmi,path=/run/scmid/a.sock \\\n')
  })

  test('QEMU connects to the usual socket of that domain, where none is named', async () => {
    const args = ['generate', ...host, ...guest('a'), '--format', 'qemu', '--vhost-user']
    const usual = guestSocket(directories(), 'guest-a')
    expect(usual).toMatch(/\/guest-a\.sock$/)
    expect((await scmictl(args)).stdout).toContain(`-chardev socket,id=scmi,path=${usual} \\\n`)
  })

  test('libvirt: shared memory and arguments that it passes through', async () => {
    const { stdout } = await scmictl([
      'generate',
      ...host,
      ...guest('a'),
      '--format',
      'libvirt',
      '--tree',
      "/a'b.dtb",
    ])
    expect(stdout).toContain("  <source type='memfd'/>\n  <access mode='shared'/>")
    expect(stdout).toContain('<dtb>/a&#39;b.dtb</dtb>')
    expect(stdout).toContain("<qemu:arg value='vhost-user-scmi-pci,chardev=scmi,id=scmi0'/>")
  })

  test('JSON has all of it', async () => {
    const { stdout } = await scmictl(['generate', ...host, ...guest('a'), '--json'])
    const told = JSON.parse(stdout)
    expect(told).toMatchObject({
      name: 'guest-a',
      conduit: 'smc',
      smcId: 0x82000002,
      shmemAddress: '0x22001000',
      protocols: [0x11, 0x13, 0x14, 0x15, 0x16, 0x17],
      notes: [],
      problems: [],
    })
    const tree = readDeviceTree(Buffer.from(told.dtb, 'base64'), 'json')
    expect(scmiNodes(tree)).toHaveLength(1)
    expect(told.dts).toContain('scmi_clk: protocol@14')
  })
})

describe('refusals', () => {
  test.each([
    [['generate', ...host], 2, 'requires a Domain of the daemon, --domain NAME=FILE or --device DEVICE'],
    [['generate', 'x', ...host, ...guest('a')], 2, 'is asked for x and for --domain guest-a'],
    [
      ['generate', ...host, ...guest('a'), '--format', 'qemu', '--conduit', 'smc'],
      2,
      'QEMU hands over no SMC',
    ],
    [
      ['generate', ...host, ...guest('a'), '--conduit', 'virtio', '--smc-id', '1'],
      2,
      '--smc-id: goes with smc only',
    ],
    [
      ['generate', ...host, ...guest('a'), '--shmem-address', '0x22001800'],
      2,
      'expected the address of a page',
    ],
    [['generate', ...host, ...guest('a'), '--memory', '512'], 2, 'expected a size such as 512M'],
    [['generate', 'x', ...host, '--device', 'nosuch'], 1, 'no device is called "nosuch"'],
    [
      ['generate', 'x', ...host, '--device', '/soc/ethernet@e6800000', '--device', '/soc'],
      1,
      'lies below /soc',
    ],
    [['generate', 'x', '--host', file('none.dtb'), '--device', '1'], 1, 'ENOENT'],
    [['generate', ...host, ...guest('a'), '-o', join(folder, 'no', 'such')], 1, 'ENOENT'],
  ])('%s', async (args, code, text) => {
    const ran = await scmictl(args)
    expect(ran.code).toBe(code)
    expect(ran.stderr).toContain(text)
    expect(ran.stdout).toBe('')
  })

  test('without a daemon a domain of its cannot be made', async () => {
    const ran = await scmictl(['generate', 'guest-a'], { socket: file('none.sock') })
    expect([ran.code, ran.stdout]).toEqual([1, ''])
    expect(ran.stderr).toContain('no daemon')
  })

  test('trees that contradict each other: made all the same, exit code 1', async () => {
    const out = file('odd.dts')
    const args = ['generate', ...host, '--domain', `odd=${fixture('dt/odd-guest.dtb')}`, '-o', out]
    const ran = await scmictl(args)
    expect(ran.code).toBe(1)
    expect(ran.stderr).toMatch(/^error: /m)
    expect(readFileSync(out, 'utf8')).toContain('/dts-v1/;')
  })
})
