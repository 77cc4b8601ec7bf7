import { describe, expect, test } from 'vitest'
import { deviceHoldings, hostDevices, passedDevices } from '../../src/dt/devices.ts'
import { type DeviceTree, readDeviceTree } from '../../src/dt/fdt.ts'
import type { Holdings } from '../../src/dt/holdings.ts'
import { loadDeviceTree } from '../../src/dt/load.ts'
import { nodeAt } from '../../src/dt/node.ts'
import type { Report } from '../../src/dt/problem.ts'
import { blob, type Node } from './build.ts'

const tree = (root: Node, file = 'guest.dtb') => readDeviceTree(blob(root), file)

/** `0x14:3 clocks[0]`, with `@node` where another node than `own` names it and `(host)` where inherited. */
const brief = ({ deviceIds, resources }: Holdings, own: string) => {
  const origin = (each: Holdings['resources'][number] | Holdings['deviceIds'][number]) =>
    each.property + (each.node.path === own ? '' : ` @${each.node.path}`) + (each.inherited ? ' (host)' : '')
  return [
    ...deviceIds.map(each => `device ${each.id} ${origin(each)}`),
    ...resources.map(each => `0x${each.protocol.toString(16)}:${each.id} ${origin(each)}`),
  ]
}

/** Every device of a partial tree and every problem, in few words. */
const read = (guest: DeviceTree, host?: DeviceTree) => {
  const problems: string[] = []
  const report: Report = (code, node, text) => problems.push(`${code} ${node.path}: ${text}`)
  const devices = passedDevices(guest, host, report)
  const passed = new Set(devices.flatMap(({ hostNode }) => hostNode ?? []))
  const holdings = Object.fromEntries(
    devices.map(device => [
      device.node.path,
      brief(deviceHoldings(device, guest, host, passed, report), device.node.path),
    ]),
  )
  return { devices, holdings, problems }
}

/** SCMI with every protocol used here; phandles are protocol numbers, 0x10 is the SCMI node. */
const scmi: Node = {
  compatible: 'arm,scmi-smc',
  phandle: 0x10,
  '#access-controller-cells': 1,
  'protocol@11': { reg: 0x11, phandle: 0x11, '#power-domain-cells': 1 },
  'protocol@13': { reg: 0x13, phandle: 0x13, '#clock-cells': 1, '#power-domain-cells': 1 },
  'protocol@14': { reg: 0x14, phandle: 0x14, '#clock-cells': 1 },
  'protocol@15': { reg: 0x15, phandle: 0x15, '#thermal-sensor-cells': 1, '#io-channel-cells': 1 },
  'protocol@16': { reg: 0x16, phandle: 0x16, '#reset-cells': 1 },
  'protocol@17': {
    reg: 0x17,
    phandle: 0x17,
    regulators: { 'regulator@4': { reg: 4, phandle: 0x24 }, nameless: { phandle: 0x25 } },
    'regulator@6': { reg: 6, phandle: 0x26 },
  },
  'protocol@19': {
    reg: 0x19,
    phandle: 0x19,
    state: { phandle: 0x29, function: 'spi', group: { groups: ['spi_clk', 'spi_data'], function: 'spi' } },
  },
}
/** Foreign providers: 0x50 without arguments, 0x51 with two, 0x52 that forgets to say. */
const foreign: Node = {
  oscillator: { phandle: 0x50, '#clock-cells': 0, '#power-domain-cells': 0, '#reset-cells': 0 },
  cpg: { phandle: 0x51, '#clock-cells': 2, '#access-controller-cells': 2 },
  mute: { phandle: 0x52 },
}
const guestWith = (device: Node, more: Node = {}) =>
  tree({ ...more, passthrough: { scmi, ...foreign, dev: { 'xen,path': '/dev', ...device } } })

test.each<[Node, readonly string[], string]>([
  [{ scmi_devid: 7 }, ['device 7 scmi_devid[0]'], 'one id'],
  [{ scmi_devid: [7, 0] }, ['device 7 scmi_devid[0]', 'device 0 scmi_devid[1]'], 'several ids'],
  [{ 'access-controllers': [0x10, 3] }, ['device 3 access-controllers[0]'], 'by access controller'],
  [
    { 'access-controllers': [0x51, 1, 2, 0x10, 3, 0, 0x10, 4] },
    ['device 3 access-controllers[1]', 'device 4 access-controllers[3]'],
    'foreign controllers and empty entries between',
  ],
  [{ clocks: [0x14, 9] }, ['0x14:9 clocks[0]'], 'a clock'],
  [
    { clocks: [0x50, 0x14, 1, 0x51, 5, 6, 0, 0x14, 2, 0x13, 3] },
    ['0x14:1 clocks[1]', '0x14:2 clocks[4]', '0x13:3 clocks[5]'],
    'providers with 0, 1 and 2 cells, an empty entry, performance by clocks',
  ],
  [{ clocks: [0x51, 0x14, 0x14] }, [], 'arguments that look like phandles'],
  [{ clocks: [0, 0] }, [], 'only empty entries'],
  [{ clocks: true }, [], 'an empty list'],
  [
    { 'assigned-clocks': [0, 0x14, 2], 'assigned-clock-parents': [0x14, 3, 0x50] },
    ['0x14:2 assigned-clocks[1]'],
    'assigned clocks; a parent is named, but not given',
  ],
  [
    { 'power-domains': [0x11, 2, 0x13, 1, 0x50] },
    ['0x11:2 power-domains[0]', '0x13:1 power-domains[1]'],
    'power and performance',
  ],
  [{ resets: [0x50, 0x16, 8] }, ['0x16:8 resets[1]'], 'a reset'],
  [
    { 'thermal-sensors': [0x15, 0], 'io-channels': [0x15, 1, 0x15, 2] },
    ['0x15:0 thermal-sensors[0]', '0x15:1 io-channels[0]', '0x15:2 io-channels[1]'],
    'sensors',
  ],
  [
    { 'vmmc-supply': 0x24, 'vqmmc-supply': 0x26, 'vbus-supply': 0x50, '-supply': [1, 2] },
    ['0x17:4 vmmc-supply', '0x17:6 vqmmc-supply'],
    'supplies by reg, with and without a regulators node; a fixed regulator',
  ],
  [
    { a: { clocks: [0x14, 1] }, b: { c: { scmi_devid: 5, resets: [0x16, 2] } } },
    [
      'device 5 scmi_devid[0] @/passthrough/dev/b/c',
      '0x14:1 clocks[0] @/passthrough/dev/a',
      '0x16:2 resets[0] @/passthrough/dev/b/c',
    ],
    'descendants belong to the device',
  ],
  [
    { phandle: 0x70, '#clock-cells': 0, clocks: [0x70, 0x14, 1] },
    ['0x14:1 clocks[1]'],
    'a device that is its own clock: providers are not followed',
  ],
  [{ 'clock-names': 'x', 'my-clocks': [0x14, 1], clock: [0x14, 1] }, [], 'only the standard names'],
])('%j names %j: %s', (device, expected) => {
  const { holdings, problems } = read(guestWith(device))
  expect(holdings).toEqual({ '/passthrough/dev': expected })
  expect(problems).toEqual([])
})

test("a guest's SCMI node may stand outside /passthrough", () => {
  const guest = tree({ firmware: { scmi }, passthrough: { dev: { 'xen,path': '/dev', clocks: [0x14, 3] } } })
  const { holdings, problems } = read(guest)
  expect(holdings).toEqual({ '/passthrough/dev': ['0x14:3 clocks[0]'] })
  expect(problems).toEqual([])
})

test('a pin control state has names and no id, and a warning', () => {
  const { holdings, problems, devices } = read(guestWith({ 'pinctrl-0': 0x29, 'pinctrl-1': [0x52, 0x29] }))
  expect(holdings['/passthrough/dev']).toEqual(['0x19:null pinctrl-0[0]', '0x19:null pinctrl-1[1]'])
  expect(problems[0]).toBe(
    'pin-states /passthrough/dev: pinctrl-0[0] names spi, spi_clk, spi_data at /passthrough/scmi/protocol@19/state: ' +
      'the ids are not known until the firmware is asked',
  )
  expect(devices).toHaveLength(1)
})

test.each<[Node, readonly string[], string]>([
  [
    { clocks: [0x14, 1, 0x77, 2, 0x14, 3] },
    ['0x14:1 clocks[0]'],
    "phandle-unknown /passthrough/dev: phandle 0x77 in clocks[1] is no node's in guest.dtb",
  ],
  [
    { clocks: [0x14, 1, 0x14] },
    ['0x14:1 clocks[0]'],
    'property-malformed /passthrough/dev: property "clocks": entry 1 needs 1 cells behind its phandle (#clock-cells of /passthrough/scmi/protocol@14), 0 are left',
  ],
  [
    { clocks: Uint8Array.of(0, 0, 0, 0x14, 0, 0) },
    [],
    'property-malformed /passthrough/dev: guest.dtb: /passthrough/dev: property "clocks": 6 bytes are not a multiple of 4-byte cells',
  ],
  [{ scmi_devid: Uint8Array.of(1) }, [], 'property "scmi_devid": 1 bytes are not a multiple of 4-byte cells'],
  [
    { clocks: [0x52, 1] },
    [],
    'provider-malformed /passthrough/dev: clocks[0] leads to /passthrough/mute in guest.dtb: it has no #clock-cells',
  ],
  [{ clocks: [0x16, 1] }, [], 'leads to /passthrough/scmi/protocol@16 in guest.dtb: it has no #clock-cells'],
  [{ 'vmmc-supply': [0x24, 0x26] }, [], 'property "vmmc-supply": 8 bytes, a supply is one phandle'],
  [{ 'vmmc-supply': true }, [], 'property "vmmc-supply": 0 bytes, a supply is one phandle'],
  [{ 'vmmc-supply': 0x25 }, [], 'no regulator with a reg below protocol@17'],
  [{ 'vmmc-supply': 0x17 }, [], 'no regulator with a reg below protocol@17'],
  [{ 'vmmc-supply': 0x14 }, [], 'no regulator with a reg below protocol@17'],
  [{ 'vmmc-supply': 0x10 }, [], 'the SCMI node itself, not one of its protocols'],
  [{ 'pinctrl-0': 0x24 }, [], 'no pin state below protocol@19'],
  [{ 'xen,path': ['/dev', '/dev'] }, [], 'property "xen,path": 2 strings, one is expected'],
  [{ 'xen,reg': [0, 0, 0, 0] }, [], 'property "xen,reg": 4 cells are not a multiple of 5 (2 + 1 + 2)'],
  [
    { clocks: Array.from({ length: 5000 }, () => 0x50) },
    [],
    'property-malformed /passthrough/dev: property "clocks": more than 4096 entries',
  ],
  [
    { scmi_devid: Array.from({ length: 200_000 }, (_, id) => id) },
    [],
    'property-malformed /passthrough/dev: property "scmi_devid": more than 4096 ids',
  ],
])('what cannot be honoured is told, case %#', (device, expected, problem) => {
  const { holdings, problems } = read(guestWith(device))
  expect(holdings).toEqual({ '/passthrough/dev': expected })
  expect(problems).toHaveLength(1)
  expect(problems[0]).toContain(problem)
})

test.each<[Node, string, string]>([
  [{ p: { reg: 0x14, phandle: 1, '#clock-cells': 0 } }, '#clock-cells is 0: no id', 'a protocol of no ids'],
  [
    { p: { phandle: 1, '#clock-cells': 1 } },
    '/passthrough/s/p has no reg, so no protocol number',
    'no number',
  ],
  [
    { p: { reg: [1, 2], phandle: 1, '#clock-cells': 1 } },
    'property "reg": 8 bytes, one cell has 4',
    'two numbers',
  ],
  [
    { p: { reg: 0x14, c: { phandle: 1, '#clock-cells': 1 } } },
    'no protocol of /passthrough/s',
    'below a protocol',
  ],
  [{ p: { reg: 0x14, phandle: 1, '#clock-cells': [1, 1] } }, 'property "#clock-cells": 8 bytes', 'odd cells'],
])('SCMI node %j: %s (%s)', (content, text) => {
  const guest = tree({
    passthrough: { s: { compatible: 'arm,scmi', ...content }, d: { 'xen,path': '/d', clocks: [1, 3] } },
  })
  const { holdings, problems } = read(guest)
  expect(holdings).toEqual({ '/passthrough/d': [] })
  const problem = problems.find(each => each.startsWith('provider-malformed'))
  expect(problem).toContain('/passthrough/d: clocks[0] leads to')
  expect(problem).toContain(text)
})

describe('which nodes are devices', () => {
  const paths = (passthrough: Node) =>
    read(tree({ passthrough: { scmi, ...passthrough } })).devices.map(({ node }) => node.path)
  test.each<[Node, readonly string[], string]>([
    [{ a: { 'xen,path': '/a' } }, ['/passthrough/a'], 'xen,path'],
    [{ a: { scmi_devid: 1 } }, ['/passthrough/a'], 'scmi_devid alone'],
    [{ a: { resets: [0x16, 1] } }, ['/passthrough/a'], 'an SCMI resource alone'],
    [{ a: { compatible: 'x', reg: [0, 0, 0] } }, [], 'neither'],
    [{ bus: { a: { 'xen,path': '/a' }, b: {} } }, ['/passthrough/bus/a'], 'below a plain bus'],
    [{ a: { 'xen,path': '/a', b: { scmi_devid: 1 } } }, ['/passthrough/a'], 'what lies below belongs to it'],
    [
      { a: { 'xen,path': '/a', b: { 'xen,path': '/b', clocks: [0x14, 1] } } },
      ['/passthrough/a', '/passthrough/a/b'],
      'but for a xen,path of its own',
    ],
    [{}, [], 'SCMI nodes are none'],
  ])('%j: %j (%s)', (passthrough, expected) => expect(paths(passthrough)).toEqual(expected))

  test('a nested device keeps its resources to itself', () => {
    const { holdings } = read(
      guestWith({
        clocks: [0x14, 1],
        inner: { 'xen,path': '/inner', clocks: [0x14, 2], x: { clocks: [0x14, 3] } },
      }),
    )
    expect(holdings).toEqual({
      '/passthrough/dev': ['0x14:1 clocks[0]'],
      '/passthrough/dev/inner': ['0x14:2 clocks[0]', '0x14:3 clocks[0] @/passthrough/dev/inner/x'],
    })
  })

  test('a plain node whose phandle leads nowhere is told, once', () => {
    const { devices, problems } = read(tree({ passthrough: { scmi, a: { clocks: [0x99, 0] } } }))
    expect(devices).toEqual([])
    expect(problems).toEqual([
      "phandle-unknown /passthrough/a: phandle 0x99 in clocks[0] is no node's in guest.dtb",
    ])
  })

  test.each<[Node, string]>([
    [{}, 'passthrough-missing /: guest.dtb: no /passthrough node'],
    [{ soc: {} }, 'a Xen partial device tree holds its devices below /passthrough'],
    [
      { passthrough: {}, __fixups__: { scmi_clk: '/x:clocks:0', gic: '/x:interrupt-parent:0' } },
      'overlay-unresolved /__fixups__: guest.dtb: __fixups__ leaves phandles open (scmi_clk, gic)',
    ],
    [
      { passthrough: {}, soc: { dev: { 'xen,path': '/dev' } } },
      'outside-passthrough /soc/dev: xen,path at /soc/dev is not below /passthrough and is ignored',
    ],
  ])('%j: %s', (root, problem) => {
    const { devices, problems } = read(tree(root))
    expect(devices).toEqual([])
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(problem)
  })

  test('aliases, __symbols__ and __local_fixups__ are tolerated', () => {
    const quiet = {
      aliases: { a: '/passthrough/a' },
      __symbols__: { a: '/passthrough/a' },
      __local_fixups__: {},
    }
    expect(read(tree({ ...quiet, passthrough: { a: { 'xen,path': '/a' } } })).problems).toEqual([])
    expect(read(loadDeviceTree('fixtures/dt/symbols.dtb')).devices.map(({ xenPath }) => xenPath)).toEqual([
      '/timer',
    ])
  })

  test('xen,reg and xen,force-assign-without-iommu', () => {
    const [avb] = read(loadDeviceTree('fixtures/example/guest-a.dtb')).devices
    expect(avb?.mappings).toEqual([{ host: 0xe6800000n, size: 0x1000n, guest: 0xe6800000n }])
    expect(avb?.forceAssignWithoutIommu).toBe(true)
    const [usb] = read(loadDeviceTree('fixtures/example/guest-b.dtb')).devices
    expect(usb?.forceAssignWithoutIommu).toBe(false)
  })
})

describe('the host behind', () => {
  const host = tree(
    {
      aliases: { can0: '/soc/can@1' },
      firmware: { scmi: { ...scmi, extra: { reg: 0x80, phandle: 0x80, '#clock-cells': 1 } } },
      soc: {
        osc: { phandle: 0x60, '#clock-cells': 0 },
        'can@1': {
          scmi_devid: 1,
          clocks: [0x14, 1, 0x14, 2],
          resets: [0x16, 1],
          phy: { clocks: [0x14, 3], resets: [0x16, 3] },
          spare: { clocks: [0x14, 4], status: 'disabled' },
          port: { clocks: [0x14, 5] },
        },
        'can@2': {},
        'mmc@3': {},
        timer: { clocks: [0x99, 1] },
      },
    },
    'host.dtb',
  )

  test.each<[string, string | undefined, string | undefined]>([
    ['/soc/can@1', '/soc/can@1', undefined],
    ['/soc/mmc', '/soc/mmc@3', 'path-abbreviated /passthrough/d: xen,path "/soc/mmc" is taken as /soc/mmc@3'],
    [
      '/soc/can',
      undefined,
      'xen,path "/soc/can" names /soc/can@1 and /soc/can@2, so no single node in the host tree',
    ],
    [
      '/soc/time',
      undefined,
      'path-unknown /passthrough/d: xen,path "/soc/time" names no node in the host tree host.dtb',
    ],
    ['/soc/can@3', undefined, 'path-unknown'],
    ['can0', undefined, 'is no path (aliases are not followed)'],
    ['/', undefined, 'is the root, not a device'],
    ['', undefined, 'path-unknown'],
  ])('xen,path %j leads to %s: %s', (path, expected, problem) => {
    const { devices, problems } = read(tree({ passthrough: { d: { 'xen,path': path } } }), host)
    expect(devices[0]?.hostNode?.path).toBe(expected)
    if (problem === undefined) expect(problems).toEqual([])
    else expect(problems[0]).toContain(problem)
  })

  const inherited = (device: Node) =>
    read(tree({ passthrough: { scmi, d: { 'xen,path': '/soc/can@1', ...device } } }), host)

  test('a bare device is all the host says, but for disabled children', () => {
    expect(inherited({}).holdings['/passthrough/d']).toEqual([
      'device 1 scmi_devid[0] @/soc/can@1 (host)',
      '0x14:1 clocks[0] @/soc/can@1 (host)',
      '0x14:2 clocks[1] @/soc/can@1 (host)',
      '0x16:1 resets[0] @/soc/can@1 (host)',
      '0x14:3 clocks[0] @/soc/can@1/phy (host)',
      '0x16:3 resets[0] @/soc/can@1/phy (host)',
      '0x14:5 clocks[0] @/soc/can@1/port (host)',
    ])
    expect(inherited({}).problems).toEqual([])
  })

  test("the partial tree's properties win whole, also empty ones, and node by node", () => {
    const { holdings, problems } = inherited({
      clocks: [0x14, 40],
      scmi_devid: 9,
      phy: { resets: true },
      spare: {},
    })
    expect(holdings['/passthrough/d']).toEqual([
      'device 9 scmi_devid[0]',
      '0x14:40 clocks[0]',
      '0x16:1 resets[0] @/soc/can@1 (host)',
      '0x14:3 clocks[0] @/soc/can@1/phy (host)',
      '0x14:4 clocks[0] @/soc/can@1/spare (host)',
      '0x14:5 clocks[0] @/soc/can@1/port (host)',
    ])
    expect(problems).toEqual([])
  })

  test('a phandle that only the host knows is taken from there with a warning', () => {
    const { holdings, problems } = inherited({ clocks: [0x80, 6], resets: true, phy: { resets: true } })
    expect(holdings['/passthrough/d']).toContain('0x80:6 clocks[0]')
    expect(problems).toEqual([
      "phandle-in-host /passthrough/d: phandle 0x80 in clocks[0] is no node's in guest.dtb, " +
        "taken as the host's /firmware/scmi/extra",
    ])
  })

  test('a phandle that both trees know is its own tree’s', () => {
    const guest = tree({
      passthrough: {
        scmi: { compatible: 'arm,scmi', p: { reg: 0x14, phandle: 0x16, '#clock-cells': 1 } },
        osc: { phandle: 0x14, '#clock-cells': 0 },
        d: { 'xen,path': '/soc/can@1', clocks: [0x16, 11, 0x14] },
      },
    })
    const { holdings, problems } = read(guest, host)
    expect(holdings['/passthrough/d']?.slice(1, 3)).toEqual([
      '0x14:11 clocks[0]',
      '0x16:1 resets[0] @/soc/can@1 (host)',
    ])
    expect(problems).toEqual([])
  })

  test('a phandle that neither knows names both files', () => {
    expect(inherited({ clocks: [0x98, 0] }).problems).toEqual([
      "phandle-unknown /passthrough/d: phandle 0x98 in clocks[0] is no node's in guest.dtb nor in host.dtb",
    ])
    const { problems } = read(tree({ passthrough: { d: { 'xen,path': '/soc/timer' } } }), host)
    expect(problems).toEqual([
      "phandle-unknown /soc/timer: phandle 0x99 in clocks[0] is no node's in host.dtb",
    ])
  })

  test('a child that is passed in its own right is not inherited', () => {
    const guest = tree({
      passthrough: { d: { 'xen,path': '/soc/can@1', port: {} }, p: { 'xen,path': '/soc/can@1/port' } },
    })
    const { holdings } = read(guest, host)
    expect(holdings['/passthrough/d']?.filter(each => each.includes('port'))).toEqual([])
    expect(holdings['/passthrough/p']).toEqual(['0x14:5 clocks[0] @/soc/can@1/port (host)'])
  })
})

describe('what stays with the host', () => {
  const kept = (file: string, ...passed: string[]) => {
    const host = loadDeviceTree(file)
    const nodes = new Set(passed.map(path => nodeAt(host, path) ?? host.root))
    const devices = hostDevices(host, nodes, () => {})
    return Object.fromEntries(devices.map(({ node, ...holdings }) => [node.path, brief(holdings, node.path)]))
  }

  test('of the example, once its guests have their devices', () => {
    const soc = ['ethernet@e6800000', 'usb@ee080000', 'mmc@ee100000', 'mmc@ee140000', 'gpu@fd000000']
    const cans = ['can@e66c0000', 'adc@e6f30000', 'can@e6c38000']
    const cpu = ['0x14:13 clocks[0]', '0x13:1 clocks[1]', '0x11:7 power-domains[0]', '0x17:3 cpu-supply']
    expect(kept('fixtures/example/host.dtb', ...[...soc, ...cans].map(name => `/soc/${name}`))).toEqual({
      '/cpus/cpu@0': cpu,
      '/cpus/cpu@1': cpu,
      '/soc/i2c@e6510000': [
        'device 4 scmi_devid[0]',
        '0x14:7 clocks[0]',
        '0x11:3 power-domains[0]',
        '0x16:4 resets[0]',
      ],
      '/soc/i2c@e6510000/codec@10': ['0x14:12 clocks[0]'],
      '/thermal-zones/board-thermal': ['0x15:2 thermal-sensors[0]'],
    })
  })

  test('leaves out disabled and xen,passthrough nodes and all below passed ones', () => {
    expect(Object.keys(kept('fixtures/dt/odd-host.dtb', '/soc/bus@200', '/soc/dev@100'))).toEqual([
      '/timer',
      '/soc/kept@500',
    ])
    expect(Object.keys(kept('fixtures/dt/odd-host.dtb', '/timer'))).toEqual([
      '/soc/dev@100',
      '/soc/bus@200',
      '/soc/bus@200/child@0',
      '/soc/bus@200/child@2',
      '/soc/bus@200/child@3',
      '/soc/kept@500',
    ])
  })
})
