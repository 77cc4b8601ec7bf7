import { test as property } from '@fast-check/vitest'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type DeviceTree, readDeviceTree } from '../../src/dt/fdt.ts'
import { loadDeviceTree } from '../../src/dt/load.ts'
import { plan } from '../../src/permissions/plan.ts'
import { planProblems } from '../../src/permissions/plan-problems.ts'
import type { Plan, PlanInput } from '../../src/permissions/plan-shape.ts'
import { blob, type Node } from '../dt/build.ts'

const example = (name: string) => loadDeviceTree(`fixtures/example/${name}.dtb`)
const odd = (name: string) => loadDeviceTree(`fixtures/dt/${name}.dtb`)
const tree = (root: Node, file = 'x.dtb') => readDeviceTree(blob(root), file)

const POWER = 17
const PERFORMANCE = 19
const CLOCK = 20
const SENSOR = 21
const RESET = 22
const VOLTAGE = 23
const PINCTRL = 25

/** The compulsory shape alone: what other programs read from `scmictl plan --json`. */
const core = ({ domains }: Plan) =>
  domains.map(({ name, agentId, devices }) => ({
    name,
    agentId,
    devices: devices.map(({ node, hostNode, deviceIds, resources }) => ({
      node,
      hostNode,
      deviceIds,
      resources: resources.map(({ protocol, id, property: name_ }) => [protocol, id, name_]),
    })),
  }))
const codes = ({ problems }: Plan) => problems.map(({ severity, code, domain }) => [severity, code, domain])

test('the example machine: exactly what its sources say', () => {
  const guests = ['guest-a', 'guest-b', 'guest-c', 'guest-d'].map((name, index) => ({
    name,
    tree: example(name),
    agentId: index + 2,
  }))
  const result = plan(example('host'), guests)
  const device = (
    path: string,
    deviceId: number,
    resources: readonly (readonly [number, number, string])[],
  ) => ({
    node: `/passthrough/${path}`,
    hostNode: `/soc/${path}`,
    deviceIds: [deviceId],
    resources,
  })
  expect(core(result)).toEqual([
    {
      name: 'guest-a',
      agentId: 2,
      devices: [
        device('ethernet@e6800000', 0, [
          [CLOCK, 0, 'clocks[0]'],
          [POWER, 0, 'power-domains[0]'],
          [RESET, 0, 'resets[0]'],
        ]),
        device('mmc@ee100000', 2, [
          [CLOCK, 3, 'clocks[0]'],
          [CLOCK, 4, 'clocks[1]'],
          [POWER, 2, 'power-domains[0]'],
          [RESET, 2, 'resets[0]'],
          [VOLTAGE, 0, 'vmmc-supply'],
          [VOLTAGE, 1, 'vqmmc-supply'],
        ]),
        device('gpu@fd000000', 5, [
          [CLOCK, 8, 'clocks[0]'],
          [POWER, 4, 'power-domains[0]'],
          [PERFORMANCE, 0, 'power-domains[1]'],
          [RESET, 5, 'resets[0]'],
          [SENSOR, 0, 'thermal-sensors[0]'],
        ]),
      ],
    },
    {
      name: 'guest-b',
      agentId: 3,
      devices: [
        device('usb@ee080000', 1, [
          [CLOCK, 1, 'clocks[0]'],
          [CLOCK, 2, 'clocks[1]'],
          [POWER, 1, 'power-domains[0]'],
          [PERFORMANCE, 2, 'power-domains[1]'],
          [RESET, 1, 'resets[0]'],
        ]),
        device('mmc@ee140000', 3, [
          [CLOCK, 5, 'clocks[0]'],
          [CLOCK, 6, 'clocks[1]'],
          [POWER, 2, 'power-domains[0]'],
          [RESET, 3, 'resets[0]'],
          [VOLTAGE, 2, 'vmmc-supply'],
        ]),
        device('adc@e6f30000', 7, [
          [CLOCK, 11, 'clocks[0]'],
          [POWER, 5, 'power-domains[0]'],
          [RESET, 7, 'resets[0]'],
          [SENSOR, 1, 'io-channels[0]'],
        ]),
      ],
    },
    {
      name: 'guest-c',
      agentId: 4,
      devices: [
        device('can@e66c0000', 6, [
          [CLOCK, 9, 'clocks[0]'],
          [CLOCK, 10, 'clocks[1]'],
          [POWER, 3, 'power-domains[0]'],
          [RESET, 6, 'resets[0]'],
        ]),
      ],
    },
    {
      name: 'guest-d',
      agentId: 5,
      devices: [
        device('can@e6c38000', 8, [
          [CLOCK, 9, 'clocks[0]'],
          [POWER, 6, 'power-domains[0]'],
          [RESET, 8, 'resets[0]'],
        ]),
      ],
    },
  ])
  expect(result.shared).toEqual([
    { protocol: POWER, id: 2, holders: ['guest-a', 'guest-b'] },
    { protocol: POWER, id: 3, holders: ['guest-c', 'Dom0'] },
    { protocol: CLOCK, id: 9, holders: ['guest-c', 'guest-d'] },
  ])
  expect(codes(result)).toEqual(result.shared.map(() => ['warning', 'resource-shared', undefined]))
  expect(result.host.map(({ node }) => node)).toEqual([
    '/cpus/cpu@0',
    '/cpus/cpu@1',
    '/soc/i2c@e6510000',
    '/soc/i2c@e6510000/codec@10',
    '/thermal-zones/board-thermal',
  ])
})

test('the JSON of one device', () => {
  const [domain] = plan(example('host'), [{ name: 'd', tree: example('guest-d'), agentId: 5 }]).domains
  expect(JSON.parse(JSON.stringify(domain))).toEqual({
    name: 'd',
    agentId: 5,
    discovery: 'identity',
    devices: [
      {
        node: '/passthrough/can@e6c38000',
        hostNode: '/soc/can@e6c38000',
        deviceIds: [8],
        deviceIdOrigins: [{ id: 8, property: 'scmi_devid[0]' }],
        resources: [
          { protocol: 20, id: 9, property: 'clocks[0]' },
          { protocol: 17, id: 6, property: 'power-domains[0]' },
          { protocol: 22, id: 8, property: 'resets[0]' },
        ],
      },
    ],
  })
})

test('the odd machine: overrides, inheritance, nesting, phandles of two meanings', () => {
  const result = plan(odd('odd-host'), [
    { name: 'odd', tree: odd('odd-guest') },
    { name: 'nested', tree: odd('odd-nested') },
  ])
  const host = { from: 'host' }
  const [own, nested] = result.domains
  expect(own?.devices.map(({ node, hostNode, deviceIds }) => [node, hostNode, deviceIds])).toEqual([
    ['/passthrough/dev@100', '/soc/dev@100', [10, 12, 13]],
    ['/passthrough/bus@200', '/soc/bus@200', [20]],
    ['/passthrough/timer', '/timer', [15]],
    ['/passthrough/virtual', undefined, [30]],
  ])
  expect(own?.devices.map(({ resources }) => resources)).toEqual([
    [
      { protocol: CLOCK, id: 50, property: 'clocks[0]' },
      { protocol: CLOCK, id: 4, property: 'assigned-clocks[1]', ...host },
      { protocol: POWER, id: 3, property: 'power-domains[1]', ...host },
      { protocol: VOLTAGE, id: 5, property: 'vdd-supply', ...host },
      {
        protocol: PINCTRL,
        id: null,
        property: 'pinctrl-0[0]',
        names: ['uart0_grp', 'uart0_flow_grp', 'uart'],
        ...host,
      },
    ],
    [
      { protocol: CLOCK, id: 51, property: 'clocks[0]', node: '/passthrough/bus@200/child@0' },
      { protocol: RESET, id: 8, property: 'resets[0]', node: '/soc/bus@200/child@0', ...host },
      { protocol: CLOCK, id: 28, property: 'clocks[0]', node: '/soc/bus@200/child@3', ...host },
    ],
    [{ protocol: CLOCK, id: 10, property: 'clocks[0]', ...host }],
    [{ protocol: RESET, id: 9, property: 'resets[0]' }],
  ])
  expect(nested?.devices).toEqual([
    {
      node: '/passthrough/child@2',
      hostNode: '/soc/bus@200/child@2',
      deviceIds: [21],
      deviceIdOrigins: [{ id: 21, property: 'scmi_devid[0]', ...host }],
      resources: [{ protocol: CLOCK, id: 19, property: 'clocks[0]', ...host }],
    },
  ])
  // kept@500 stays; hidden@400 is xen,passthrough and off@300 disabled, so clock 10 is the guest's alone.
  expect(result.shared).toEqual([{ protocol: CLOCK, id: 28, holders: ['odd', 'Dom0'] }])
  expect(codes(result)).toEqual([
    ['warning', 'pin-states', 'odd'],
    ['warning', 'device-nested', 'nested'],
    ['warning', 'resource-shared', undefined],
  ])
})

const scmi: Node = {
  compatible: 'arm,scmi-smc',
  phandle: 0x10,
  '#access-controller-cells': 1,
  'protocol@14': { reg: 0x14, phandle: 0x14, '#clock-cells': 1 },
}
const host = tree(
  {
    firmware: { scmi },
    a: { scmi_devid: 1, clocks: [0x14, 1], below: {} },
    b: { scmi_devid: 2, clocks: [0x14, 2] },
    c: { clocks: [0x14, 3] },
  },
  'host.dtb',
)
const guest = (devices: Node, file = 'guest.dtb'): DeviceTree =>
  tree({ passthrough: { scmi, ...devices } }, file)
const domain = (name: string, devices: Node, agentId?: number): PlanInput => ({
  name,
  tree: guest(devices),
  agentId,
})
const a: Node = { d: { 'xen,path': '/a' } }
const b: Node = { d: { 'xen,path': '/b' } }

describe('problems', () => {
  test.each<[readonly PlanInput[], string, Partial<Plan['problems'][number]>]>([
    [
      [domain('x', a), domain('x', b)],
      'domain-name',
      { severity: 'error', domain: 'x', text: 'two domains are named "x"' },
    ],
    [[domain('Dom0', a)], 'domain-name', { text: '"Dom0" means the host, no domain' }],
    [[domain('x', a, 0)], 'agent-reserved', { domain: 'x', text: 'agent id 0 of x is the platform itself' }],
    [[domain('x', a, 256)], 'agent-reserved', { text: 'agent id 256 of x is not from 1 to 255' }],
    [[domain('x', a, -1)], 'agent-reserved', { text: 'agent id -1 of x is not from 1 to 255' }],
    [[domain('x', a, 1.5)], 'agent-reserved', { text: 'agent id 1.5 of x is not from 1 to 255' }],
    [
      [domain('x', a, 3), domain('y', b, 3)],
      'agent-repeated',
      { severity: 'error', domain: 'y', text: 'agent id 3 is pinned for x and for y' },
    ],
    [
      [domain('x', a), domain('y', { e: { 'xen,path': '/a', scmi_devid: 9 } })],
      'device-passed-twice',
      {
        severity: 'error',
        domain: 'y',
        node: '/passthrough/e',
        text: '/a is passed to x (/passthrough/d) and to y (/passthrough/e)',
      },
    ],
    [
      [domain('x', { d: { 'xen,path': '/a' }, e: { 'xen,path': '/a' } })],
      'device-repeated',
      {
        severity: 'warning',
        node: '/passthrough/e',
        text: '/a is passed to x twice, first at /passthrough/d',
      },
    ],
    [
      [domain('x', a), domain('y', { d: { 'xen,path': '/a/below' } })],
      'device-nested',
      { severity: 'warning', domain: 'y', text: '/a/below is passed to y, but lies below /a of x' },
    ],
    [
      [
        domain('x', { d: { 'xen,path': '/a', scmi_devid: 1 } }),
        domain('y', { d: { 'xen,path': '/c', scmi_devid: 1 } }),
      ],
      'device-id-twice',
      { severity: 'error', domain: 'y', text: 'SCMI device 1 is in x and in y (/passthrough/d)' },
    ],
    [
      [domain('x', { d: { 'xen,path': '/c', scmi_devid: 2 } })],
      'device-id-repeated',
      { severity: 'warning', text: 'SCMI device 2 stands on several host nodes: /c, /b' },
    ],
    [
      [domain('x', { d: { 'xen,path': '/a', scmi_devid: 5 } })],
      'device-id-differs',
      { severity: 'warning', domain: 'x', text: "/passthrough/d has SCMI device id 5, the host's /a has 1" },
    ],
    [
      [domain('x', { d: { 'xen,path': '/c' } })],
      'device-id-missing',
      { severity: 'warning', domain: 'x', node: '/passthrough/d' },
    ],
    [
      [domain('x', { d: { inner: { clocks: [0x14, 3] } } })],
      'device-unbound',
      {
        severity: 'error',
        domain: 'x',
        node: '/passthrough/d/inner',
        text:
          'guest.dtb: /passthrough/d/inner: property "clocks[0]": names an SCMI resource, but the node has neither xen,path nor ' +
          'an SCMI device id (scmi_devid or access-controllers), so no device is passed through: add one, or ' +
          'scmi-mediator,grant-without-device to have it granted all the same',
      },
    ],
    [
      [domain('x', { d: { clocks: [0x14, 3], 'scmi-mediator,grant-without-device': true } })],
      'device-id-missing',
      { severity: 'warning', domain: 'x', node: '/passthrough/d' },
    ],
    [
      [domain('x', { d: { 'xen,path': '/a', clocks: true } })],
      'resources-missing',
      { severity: 'warning', text: '/passthrough/d has an SCMI device id but names no SCMI resources' },
    ],
    [
      [domain('x', { d: { 'xen,path': '/gone' } })],
      'path-unknown',
      { severity: 'error', domain: 'x', text: 'xen,path "/gone" names no node in the host tree host.dtb' },
    ],
    [
      [domain('x', { d: { 'xen,path': '/a', clocks: [0x14, 2] } })],
      'resource-shared',
      {
        severity: 'warning',
        text: 'clock 2 is reached by x and Dom0: their votes decide',
      },
    ],
    [
      [
        domain('x', {
          other: { compatible: 'arm,scmi', 'protocol@14': { reg: 0x14, phandle: 0x99, '#clock-cells': 1 } },
          d: { 'xen,path': '/a', clocks: [0x14, 1, 0x99, 1] },
        }),
      ],
      'providers-several',
      {
        severity: 'warning',
        domain: 'x',
        text: "guest.dtb names resources of /passthrough/scmi and /passthrough/other: their ids are taken as one firmware's",
      },
    ],
  ])('%#: %s', (domains, code, expected) => {
    const found = plan(host, domains).problems.filter(problem => problem.code === code)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatchObject(expected)
  })

  test.each<[string, readonly PlanInput[]]>([
    ['devices apart', [domain('x', a, 1), domain('y', b, 255)]],
    [
      'one SCMI device id on two nodes of one domain, which the host does not tell',
      [
        domain('x', {
          d: { 'xen,path': '/a/below', scmi_devid: 7, clocks: [0x14, 8] },
          e: { scmi_devid: 7, clocks: [0x14, 9] },
        }),
      ],
    ],
    ['a device without SCMI', [{ name: 'x', tree: guest({ d: { 'xen,path': '/a/below' } }) }]],
    ['no domain at all', []],
  ])('none: %s', (_reason, domains) => expect(plan(host, domains).problems).toEqual([]))

  test('one domain’s errors leave the others’ plan as it is', () => {
    const alone = plan(host, [domain('y', b)])
    const both = plan(host, [
      { name: 'x', tree: odd('overlay') },
      { name: 'z', tree: odd('small') },
      domain('y', b),
    ])
    expect(both.domains[2]).toEqual(alone.domains[0])
    expect(codes(both)).toEqual([
      ['error', 'overlay-unresolved', 'x'],
      ['error', 'passthrough-missing', 'z'],
    ])
  })

  test.each<[string, readonly PlanInput[], string]>([
    [
      'between guests, a setting is whose it is first',
      [
        domain('x', { d: { scmi_devid: 1, resets: [0x16, 3] } }),
        domain('y', { d: { scmi_devid: 2, resets: [0x16, 3] } }),
      ],
      "reset 3 is reached by x and y: it is the first one's to set, DENIED to the others",
    ],
    [
      'what the host uses is the host’s to set',
      [domain('x', { d: { scmi_devid: 1, resets: [0x16, 4] } })],
      "reset 4 is reached by x and Dom0: it is Dom0's to set, DENIED to the others",
    ],
    [
      'a protocol without a name here goes by its number',
      [
        domain('x', { d: { scmi_devid: 1, clocks: [0x90, 5] } }),
        domain('y', { d: { scmi_devid: 2, clocks: [0x90, 5] } }),
      ],
      "resource 5 of protocol 0x90 is reached by x and y: it is the first one's to set, DENIED to the others",
    ],
  ])('a resource without votes: %s', (_, inputs, text) => {
    const more: Node = {
      ...scmi,
      'protocol@16': { reg: 0x16, phandle: 0x16, '#reset-cells': 1 },
      'protocol@90': { reg: 0x90, phandle: 0x90, '#clock-cells': 1 },
    }
    const withMore = tree({ firmware: { scmi: more }, k: { scmi_devid: 9, resets: [0x16, 4] } }, 'host.dtb')
    const { problems } = plan(withMore, inputs)
    expect(problems.filter(({ code }) => code === 'resource-shared').map(each => each.text)).toEqual([text])
  })

  test('an id of a node below a passed-through one stands on one host node, whoever names it', () => {
    const nested = tree(
      {
        firmware: { scmi },
        bus: { scmi_devid: 1, clocks: [0x14, 1], chip: { scmi_devid: 2, clocks: [0x14, 2] } },
      },
      'host.dtb',
    )
    for (const chip of [{}, { chip: { scmi_devid: 2 } }]) {
      const { domains, problems } = plan(nested, [domain('x', { d: { 'xen,path': '/bus', ...chip } })])
      expect(domains[0]?.devices[0]?.deviceIds).toEqual([1, 2])
      expect(problems).toEqual([])
    }
  })

  test('what is wrong in the host’s own nodes is a warning that names Dom0', () => {
    const broken = tree({ firmware: { scmi }, a: { clocks: [0x99, 0] }, b: { clocks: [0x14] } }, 'host.dtb')
    expect(codes(plan(broken, []))).toEqual([
      ['warning', 'phandle-unknown', 'Dom0'],
      ['warning', 'property-malformed', 'Dom0'],
    ])
  })

  test('every code has a severity, and these are all there are', () => {
    expect(Object.keys(planProblems).sort()).toMatchInlineSnapshot(`
      [
        "agent-repeated",
        "agent-reserved",
        "conduit-differs",
        "dense-device-unknown",
        "dense-id-unknown",
        "dense-name-unknown",
        "dense-reference-differs",
        "device-id-differs",
        "device-id-missing",
        "device-id-repeated",
        "device-id-twice",
        "device-nested",
        "device-passed-twice",
        "device-repeated",
        "device-unbound",
        "domain-name",
        "outside-passthrough",
        "overlay-unresolved",
        "passthrough-missing",
        "path-abbreviated",
        "path-unknown",
        "phandle-in-host",
        "phandle-unknown",
        "pin-states",
        "pin-unknown",
        "property-malformed",
        "protocol-missing",
        "protocol-not-held",
        "provider-malformed",
        "providers-several",
        "resource-differs",
        "resource-shared",
        "resources-missing",
        "scmi-node-malformed",
        "scmi-node-missing",
        "scmi-node-several",
        "scmi-node-unseen",
        "shmem-differs",
        "smc-id-differs",
        "xl-differs",
        "xl-missing",
      ]
    `)
  })
})

test('several naming the same resource in one device are each kept', () => {
  const [x] = plan(host, [domain('x', { d: { 'xen,path': '/a', 'assigned-clocks': [0x14, 1] } })]).domains
  expect(x?.devices[0]?.resources).toEqual([
    { protocol: CLOCK, id: 1, property: 'clocks[0]', from: 'host' },
    { protocol: CLOCK, id: 1, property: 'assigned-clocks[0]' },
  ])
})

test('an id named by both trees is listed once, as the partial tree’s', () => {
  const [x] = plan(host, [domain('x', { d: { 'xen,path': '/a', 'access-controllers': [0x10, 1] } })]).domains
  expect(x?.devices[0]).toMatchObject({
    deviceIds: [1],
    deviceIdOrigins: [{ id: 1, property: 'access-controllers[0]' }],
  })
})

test('a device without xen,path takes the host nodes of its SCMI device id from Dom0', () => {
  const result = plan(host, [domain('x', { d: { scmi_devid: 2, clocks: [0x14, 2] } })])
  expect(result.host.map(({ node }) => node)).toEqual(['/a', '/c'])
  expect(result.shared).toEqual([])
  expect(result.domains[0]?.devices[0]).not.toHaveProperty('hostNode')
})

test('without a host tree xen,path is taken as written', () => {
  const result = plan(undefined, [
    domain('x', { d: { 'xen,path': '/a', clocks: [0x14, 4] } }),
    domain('y', a),
  ])
  expect(core(result)[0]?.devices).toEqual([
    { node: '/passthrough/d', hostNode: '/a', deviceIds: [], resources: [[CLOCK, 4, 'clocks[0]']] },
  ])
  expect(codes(result)).toContainEqual(['error', 'device-passed-twice', 'y'])
  expect(result.host).toEqual([])
})

describe('properties', () => {
  // Each device of a random assignment: which guest holds it (or none), and what it names.
  const device = fc.record({
    owner: fc.integer({ min: -1, max: 3 }),
    clocks: fc.array(fc.nat(5), { maxLength: 4 }),
    id: fc.option(fc.nat(9), { nil: undefined }),
    says: fc.boolean(),
  })
  property.prop([fc.array(device, { maxLength: 8 })], { seed: 1, numRuns: 500 })(
    'every clock goes to its device’s holder and to nobody else; shared is exactly what two reach',
    devices => {
      const named = (clocks: readonly number[]) => clocks.flatMap(clock => [0x14, clock])
      const own = (each: (typeof devices)[number]): Node => ({
        ...(each.id === undefined ? {} : { scmi_devid: each.id }),
        clocks: named(each.clocks),
      })
      const machine = tree({
        firmware: { scmi },
        ...Object.fromEntries(devices.map((each, index) => [`dev@${index}`, own(each)])),
      })
      const domains = [0, 1, 2, 3].map(owner =>
        domain(
          `g${owner}`,
          Object.fromEntries(
            devices.flatMap((each, index) =>
              each.owner === owner
                ? [[`d${index}`, { 'xen,path': `/dev@${index}`, ...(each.says ? own(each) : {}) }]]
                : [],
            ),
          ),
        ),
      )
      const result = plan(machine, domains)
      const holders = new Map<number, Set<string>>()
      for (const { owner, clocks } of devices)
        for (const clock of clocks)
          holders.set(clock, (holders.get(clock) ?? new Set()).add(owner < 0 ? 'Dom0' : `g${owner}`))
      for (const { name, devices: planned } of result.domains) {
        const got = new Set(planned.flatMap(({ resources }) => resources.map(({ id }) => id)))
        const due = new Set([...holders].filter(([, names]) => names.has(name)).map(([clock]) => clock))
        expect(got).toEqual(due)
      }
      expect(new Map(result.shared.map(({ id, holders: names }) => [id, new Set(names)]))).toEqual(
        new Map([...holders].filter(([, names]) => names.size > 1)),
      )
      const owners = new Map<number, Set<number>>()
      for (const { owner, id } of devices)
        if (id !== undefined && owner >= 0) owners.set(id, (owners.get(id) ?? new Set()).add(owner))
      expect(result.problems.some(({ code }) => code === 'device-id-twice')).toBe(
        [...owners.values()].some(each => each.size > 1),
      )
    },
  )

  property.prop([fc.shuffledSubarray(['guest-a', 'guest-b', 'guest-c', 'guest-d'])], {
    seed: 1,
    numRuns: 50,
  })('a domain’s devices do not depend on who else there is', names => {
    const machine = example('host')
    const together = plan(
      machine,
      names.map(name => ({ name, tree: example(name) })),
    )
    for (const each of together.domains)
      expect(each).toEqual(plan(machine, [{ name: each.name, tree: example(each.name) }]).domains[0])
  })
})

/** Counts what is looked up in it. */
class CountedMap<K, V> extends Map<K, V> {
  lookups = 0
  override get(key: K): V | undefined {
    this.lookups++
    return super.get(key)
  }
}

test.each([1, 10, 60])('of %i lists as long as can be, each entry is followed once', lists => {
  const entries = Object.fromEntries(
    Array.from({ length: lists }, (_, index) => [
      `n${index}`,
      { clocks: Array.from({ length: 8000 }, (_, at) => (at % 2 ? at : 0x14)) },
    ]),
  )
  const input = domain('x', { d: { 'xen,path': '/a', ...entries } })
  const phandles = new CountedMap(input.tree.phandles)
  const result = plan(host, [{ ...input, tree: { ...input.tree, phandles } }])
  expect(result.domains[0]?.devices[0]?.resources).toHaveLength(lists * 4000 + 1)
  expect(phandles.lookups).toBe(lists * 4000)
})
