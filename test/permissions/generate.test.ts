import { beforeAll, describe, expect, test } from 'vitest'
import { denseTree } from '../../src/dt/dense-tree.ts'
import { type DeviceNode, type DeviceTree, readDeviceTree } from '../../src/dt/fdt.ts'
import { graftedTree } from '../../src/dt/grafted-tree.ts'
import { loadDeviceTree } from '../../src/dt/load.ts'
import { nodeAt, string, stringList, u32, u32Array } from '../../src/dt/node.ts'
import { type Conduit, defaultShmemAddress } from '../../src/dt/scmi-fragment.ts'
import { scmiNodes } from '../../src/dt/scmi-node.ts'
import { writeDts } from '../../src/dt/write-dts.ts'
import { writeFdt } from '../../src/dt/write-fdt.ts'
import { type GenerateInput, generate } from '../../src/permissions/generate.ts'
import { plan } from '../../src/permissions/plan.ts'
import { blob, type Node } from '../dt/build.ts'
import { dtc, hasDtc } from '../dt/dtc.ts'

const load = (name: string) => loadDeviceTree(new URL(`../../fixtures/${name}.dtb`, import.meta.url).pathname)
const host = load('example/host')
const at = (tree: DeviceTree, path: string): DeviceNode => {
  const node = nodeAt(tree, path)
  if (node === undefined) throw new Error(`no ${path} in ${tree.file}`)
  return node
}
const smc: Conduit = {
  kind: 'smc',
  smcId: 0x8200_0002,
  shmemAddress: defaultShmemAddress,
  shmemBytes: 0x1000,
}

/** The tree that comes of it, read back from its blob. */
function make(input: Partial<GenerateInput>) {
  const made = generate({
    name: 'guest',
    host,
    partial: undefined,
    devices: [],
    conduit: smc,
    discovery: 'identity',
    ...input,
  })
  return { ...made, tree: readDeviceTree(writeFdt(made.root), 'generated.dtb') }
}

/** Every consumer property of a node, phandles as the provider's path and arguments: `clocks: /…/protocol@14 3`. */
function consumers(tree: DeviceTree, path: string): string[] {
  const node = at(tree, path)
  const shown: string[] = []
  for (const name of node.properties.keys()) {
    if (!/^(clocks|power-domains|resets|thermal-sensors|io-channels|assigned-clocks)$|-supply$/.test(name))
      continue
    const entries: string[] = []
    const list = [...(u32Array(node, name) ?? [])]
    while (list.length > 0) {
      const provider = tree.phandles.get(list.shift() ?? 0)
      const args =
        name.endsWith('-supply') || provider?.properties.has('clock-frequency') ? [] : list.splice(0, 1)
      entries.push([provider?.path.replace('/passthrough/firmware/scmi/', '') ?? 'none', ...args].join(' '))
    }
    shown.push(`${name}: ${entries.join(', ')}`)
  }
  return shown.sort()
}

/** What a tree comes to: device, protocol, id and property of every grant. */
const grants = (tree: DeviceTree) =>
  plan(host, [{ name: 'guest', tree }]).domains[0]?.devices.map(({ hostNode, deviceIds, resources }) => ({
    hostNode,
    deviceIds,
    resources: resources.map(({ protocol, id, property }) => `${protocol}:${id} ${property}`).sort(),
  }))

describe.each(['a', 'b', 'c', 'd'])('guest-%s of the example machine', letter => {
  const partial = load(`example/guest-${letter}`)
  const { tree, problems, notes, root } = make({ partial })

  test('comes to the same grants as the tree it was made from', () => {
    expect(grants(tree)).toEqual(grants(partial))
    expect(notes).toEqual([])
    expect(problems.filter(({ severity }) => severity === 'error')).toEqual([])
  })

  test('holds the nodes of exactly the protocols that its devices name', () => {
    const held = new Set(
      grants(partial)?.flatMap(({ resources }) => resources.map(text => Number.parseInt(text, 10))),
    )
    const [scmi, ...more] = scmiNodes(tree)
    expect(more).toEqual([])
    expect([...(scmi?.protocols.keys() ?? [])]).toEqual([...held].sort((a, b) => a - b))
    expect(scmi?.smcId).toBe(0x8200_0002)
    expect(scmi?.shmem).toMatchObject([{ address: 0x2200_1000n, size: 0x1000n }])
  })

  test('stands below buses that Linux looks into, and libxl copies', () => {
    const [scmi] = scmiNodes(tree)
    for (let node = scmi?.node.parent; node?.parent !== undefined; node = node.parent) {
      expect(stringList(node, 'compatible')).toContain('simple-bus')
      expect(node.properties.has('ranges')).toBe(true)
    }
    expect(scmi?.node.path).toBe('/passthrough/firmware/scmi')
    expect([...tree.root.children.keys()].filter(name => name !== 'aliases')).toEqual(['passthrough'])
  })

  test('everything that is not SCMI is as the operator wrote it', () => {
    for (const [name, node] of at(partial, '/passthrough').children) {
      if (name === 'firmware' || name.startsWith('scmi-shmem')) continue
      for (const [property, { value }] of node.properties)
        if (!/^(clocks|power-domains|resets|thermal-sensors|io-channels)$|-supply$/.test(property))
          expect(at(tree, node.path).properties.get(property)?.value, property).toEqual(value)
    }
  })

  test.skipIf(!hasDtc)('dtc makes the same tree of the source', () => {
    const compiled = readDeviceTree(dtc('dts', 'dtb', writeDts(root)), 'compiled.dtb')
    expect(grants(compiled)).toEqual(grants(partial))
    expect(dtc('dtb', 'dts', dtc('dts', 'dtb', writeDts(root))).toString()).toBe(
      dtc('dtb', 'dts', writeFdt(root)).toString(),
    )
  })
})

describe('devices of the host tree, without a partial tree', () => {
  const { tree, assignment, notes } = make({
    devices: ['/soc/usb@ee080000', '/soc/i2c@e6510000', '/soc/mmc@ee100000'].map(path => at(host, path)),
  })

  test('take their SCMI resources from the host node, descendants too', () => {
    expect(consumers(tree, '/passthrough/usb@ee080000')).toEqual([
      'clocks: protocol@14 1, protocol@14 2, /passthrough/usb-extal',
      'power-domains: protocol@11 1, protocol@13 2',
      'resets: protocol@16 1',
    ])
    expect(consumers(tree, '/passthrough/i2c@e6510000/codec@10')).toEqual(['clocks: protocol@14 12'])
    expect(consumers(tree, '/passthrough/mmc@ee100000')).toEqual([
      'clocks: protocol@14 3, protocol@14 4',
      'power-domains: protocol@11 2',
      'resets: protocol@16 2',
      'vmmc-supply: protocol@17/regulators/regulator@0',
      'vqmmc-supply: protocol@17/regulators/regulator@1',
    ])
    expect(notes).toEqual([])
  })

  test('say where they are on the host, and whose interrupt controller is theirs', () => {
    const usb = at(tree, '/passthrough/usb@ee080000')
    expect(string(usb, 'xen,path')).toBe('/soc/usb@ee080000')
    expect(u32Array(usb, 'xen,reg')).toEqual([0, 0xee080000, 0, 0x1000, 0, 0xee080000])
    expect(u32(usb, 'interrupt-parent')).toBe(65000)
    expect(usb.properties.has('iommus')).toBe(false)
    expect(usb.properties.has('xen,force-assign-without-iommu')).toBe(false)
    expect(at(tree, '/passthrough/mmc@ee100000').properties.has('xen,force-assign-without-iommu')).toBe(true)
  })

  test("xl's facts: frames, interrupts from 32, dtdev behind an IOMMU alone", () => {
    expect(assignment).toEqual({
      dtdev: ['/soc/usb@ee080000'],
      unconfined: ['/soc/i2c@e6510000', '/soc/mmc@ee100000'],
      iomem: [
        { hostFrame: 0xee080n, count: 1n, guestFrame: 0xee080n },
        { hostFrame: 0xe6510n, count: 1n, guestFrame: 0xe6510n },
        { hostFrame: 0xee100n, count: 2n, guestFrame: 0xee100n },
      ],
      irqs: [108 + 32, 286 + 32, 165 + 32],
      unknown: [],
    })
  })

  test('beside a partial tree: both', () => {
    const both = make({ partial: load('example/guest-c'), devices: [at(host, '/soc/usb@ee080000')] })
    expect(grants(both.tree)?.map(({ hostNode }) => hostNode)).toEqual([
      '/soc/can@e66c0000',
      '/soc/usb@ee080000',
    ])
  })

  test.each([
    [['/'], 'the root is no device'],
    [['/soc/i2c@e6510000', '/soc/i2c@e6510000/codec@10'], 'lies below /soc/i2c@e6510000'],
  ])('%s is refused: %s', (paths, why) => {
    expect(() => make({ devices: paths.map(path => at(host, path)) })).toThrow(why)
  })

  test('what leads out of the device is left out, and said', () => {
    const tricky = readDeviceTree(
      blob({
        '#address-cells': 2,
        '#size-cells': 2,
        firmware: {
          scmi: {
            compatible: 'arm,scmi-smc',
            'arm,smc-id': 0x82000002,
            'protocol@14': { reg: 0x14, phandle: 1, '#clock-cells': 1 },
          },
        },
        pll: { compatible: 'vendor,pll', phandle: 2, '#clock-cells': 0 },
        dma: { phandle: 3, '#dma-cells': 1 },
        phy: { phandle: 4, '#phy-cells': 0 },
        mux: { compatible: 'vendor,mux', phandle: 6, 'interrupt-controller': true, '#interrupt-cells': 1 },
        bus: {
          '#address-cells': 1,
          '#size-cells': 1,
          ranges: [0, 0, 0x10000000, 0x100000],
          'uart@4100': {
            compatible: 'vendor,uart',
            reg: [0x4100, 0x40],
            clocks: [2, 1, 7],
            'clock-names': ['bus', 'core'],
            'assigned-clocks': [1, 7],
            'assigned-clock-rates': 1000,
            dmas: [3, 0],
            'dma-names': 'rx',
            phys: 4,
            'interrupt-parent': 6,
            interrupts: 5,
            port: { phandle: 5, 'remote-endpoint': 5 },
          },
        },
      } satisfies Node),
      'tricky.dtb',
    )
    const { tree: guest, notes: said } = make({ host: tricky, devices: [at(tricky, '/bus/uart@4100')] })
    const uart = at(guest, '/passthrough/uart@10004100')
    expect(u32Array(uart, 'reg')).toEqual([0, 0x10004100, 0, 0x40])
    expect(u32Array(uart, 'xen,reg')).toEqual([0, 0x10004000, 0, 0x1000, 0, 0x10004000])
    const clock = u32(at(guest, '/passthrough/firmware/scmi/protocol@14'), 'phandle')
    // an empty entry keeps the place of the clock that the guest has nothing of
    expect(u32Array(uart, 'clocks')).toEqual([0, clock, 7])
    expect(stringList(uart, 'clock-names')).toEqual(['bus', 'core'])
    expect(u32Array(uart, 'assigned-clock-rates')).toEqual([1000])
    expect(
      ['dmas', 'dma-names', 'phys', 'interrupts', 'interrupt-parent'].filter(name =>
        uart.properties.has(name),
      ),
    ).toEqual([])
    const port = at(guest, '/passthrough/uart@10004100/port')
    expect(u32(port, 'remote-endpoint')).toBe(u32(port, 'phandle'))
    expect(said.map(line => line.replace('tricky.dtb: /bus/uart@4100: ', '')).sort()).toEqual([
      'clocks[0] is left out: it leads to /pll',
      'dmas is left out: it leads to /dma',
      'interrupts is left out: its controller is /mux, not the GIC',
      'phys is left out: it leads to /phy',
    ])
  })
})

test('a node that says no more than where it is has all from the host', () => {
  const partial = readDeviceTree(
    blob({
      '#address-cells': 2,
      '#size-cells': 2,
      passthrough: {
        compatible: 'simple-bus',
        '#address-cells': 2,
        '#size-cells': 2,
        ranges: true,
        'mmc@ee100000': { 'xen,path': '/soc/mmc@ee100000', reg: [0, 0xee100000, 0, 0x2000] },
      },
    }),
    'agl.dtb',
  )
  const { tree } = make({ partial })
  expect(consumers(tree, '/passthrough/mmc@ee100000')).toEqual([
    'clocks: protocol@14 3, protocol@14 4',
    'power-domains: protocol@11 2',
    'resets: protocol@16 2',
    'vmmc-supply: protocol@17/regulators/regulator@0',
    'vqmmc-supply: protocol@17/regulators/regulator@1',
  ])
  expect(stringList(at(tree, '/passthrough/mmc@ee100000'), 'clock-names')).toEqual(['core', 'clkh'])
  expect(grants(tree)).toEqual(grants(partial))
})

describe('dense ids', () => {
  let tree: DeviceTree
  beforeAll(() => {
    tree = make({ partial: load('example/guest-a'), discovery: 'dense' }).tree
  })

  test('count from 0 in each protocol, and the tree says what they stand for', () => {
    expect(Array.from(denseTree(tree)?.names ?? [])).toEqual([
      [0x11, ['#0', '#2', '#4']],
      [0x13, ['#0']],
      [0x14, ['#0', '#3', '#4', '#8']],
      [0x15, ['#0']],
      [0x16, ['#0', '#2', '#5']],
      [0x17, ['#0', '#1']],
    ])
    expect(consumers(tree, '/passthrough/gpu@fd000000')).toEqual([
      'clocks: protocol@14 3',
      'power-domains: protocol@11 2, protocol@13 0',
      'resets: protocol@16 2',
      'thermal-sensors: protocol@15 0',
    ])
  })

  test('regulators have them too, and keep the host’s names', () => {
    const { tree: guest } = make({ partial: load('example/guest-b'), discovery: 'dense' })
    const regulators = at(guest, '/passthrough/firmware/scmi/protocol@17/regulators')
    expect(
      Array.from(regulators.children.values(), node => [u32(node, 'reg'), string(node, 'regulator-name')]),
    ).toEqual([[0, 'vcc-sd2']])
    expect(consumers(guest, '/passthrough/mmc@ee140000')).toContain(
      'vmmc-supply: protocol@17/regulators/regulator@0',
    )
  })

  test("the firmware's names are written where they are known and stand for one resource", () => {
    const names = new Map([[0x14, ['avb', 'x', 'x', 'sd0', 'x', 'x', 'x', 'x', '']]])
    const { tree: guest } = make({ partial: load('example/guest-a'), discovery: 'dense', names })
    expect(denseTree(guest)?.names.get(0x14)).toEqual(['avb', 'sd0', '#4', '#8'])
  })
})

describe('virtio', () => {
  test('has no shared memory and no function id', () => {
    const { tree } = make({ partial: load('example/guest-a'), conduit: { kind: 'virtio' } })
    const scmi = at(tree, '/passthrough/firmware/scmi')
    expect(stringList(scmi, 'compatible')).toEqual(['arm,scmi-virtio'])
    expect(['shmem', 'arm,smc-id'].filter(name => scmi.properties.has(name))).toEqual([])
    expect([...at(tree, '/passthrough').children.keys()].filter(name => name.includes('shmem'))).toEqual([])
  })

  test('goes to /firmware of a whole tree, in place of what is there, with symbols for overlays', () => {
    const { fragment } = make({ partial: load('example/guest-a'), conduit: { kind: 'virtio' } })
    const base = readDeviceTree(
      blob({
        '#address-cells': 2,
        '#size-cells': 2,
        'interrupt-parent': 0x8002,
        intc: { phandle: 0x8002 },
        firmware: { scmi: { compatible: 'arm,scmi-smc' }, other: { compatible: 'a,b' } },
      }),
      'virt.dtb',
    )
    const tree = readDeviceTree(writeFdt(graftedTree(base, fragment)), 'whole.dtb')
    expect([...at(tree, '/firmware').children.keys()].sort()).toEqual(['other', 'scmi'])
    expect(stringList(at(tree, '/firmware/scmi'), 'compatible')).toEqual(['arm,scmi-virtio'])
    expect(u32(tree.root, 'interrupt-parent')).toBe(0x8002)
    const symbols = at(tree, '/__symbols__')
    for (const label of symbols.properties.keys()) {
      const path = string(symbols, label) ?? ''
      expect(at(tree, path).properties.has('phandle'), label).toBe(true)
    }
    expect(string(symbols, 'scmi_clk')).toBe('/firmware/scmi/protocol@14')
  })
})
