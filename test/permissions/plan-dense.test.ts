// src/permissions/plan.ts for trees with ids of their own, and for pin states once the firmware was asked.
import { describe, expect, test } from 'vitest'
import { readDeviceTree } from '../../src/dt/fdt.ts'
import type { KnownResources } from '../../src/permissions/pin-states.ts'
import { plan, planHostDevice } from '../../src/permissions/plan.ts'
import type { PlanInput } from '../../src/permissions/plan-shape.ts'
import { blob, type Node } from '../dt/build.ts'

const tree = (root: Node, file: string) => readDeviceTree(blob(root), file)

/** Clocks 5 (avb), 8 (sd) and 9 (mmc) of the firmware; phandle 0x14 leads to the clock protocol, 0x190 on to pin states. */
const host = tree(
  {
    firmware: {
      scmi: {
        compatible: 'arm,scmi-smc',
        'protocol@11': { reg: 0x11, phandle: 0x11, '#power-domain-cells': 1 },
        'protocol@14': { reg: 0x14, phandle: 0x14, '#clock-cells': 1 },
        'protocol@19': {
          reg: 0x19,
          mmc: { phandle: 0x190, function: 'mmc', groups: ['mmc_data', 'mmc_ctrl'] },
          odd: { phandle: 0x191, pins: ['GP1', 'GP7'], function: 'nothing' },
        },
      },
    },
    soc: {
      avb: { scmi_devid: 0, clocks: [0x14, 5], 'power-domains': [0x11, 2] },
      sd: { scmi_devid: 1, clocks: [0x14, 8, 0x14, 9], phy: { clocks: [0x14, 5] } },
      mmc: { scmi_devid: 2, 'pinctrl-0': [0x190] },
      odd: { scmi_devid: 3, 'pinctrl-0': [0x191] },
    },
  },
  'host.dtb',
)
const names = new Map([
  [0x14, ['', '', '', '', '', 'avb', '', '', 'sd', 'mmc']],
  [0x11, ['', '', 'avb']],
  [0x019, ['GP0', 'GP1', 'GP2', 'GP3']],
  [0x119, ['mmc_ctrl', 'other', 'mmc_data']],
  [0x219, ['mmc', 'gpio']],
])
const pins = (...ids: number[]) => ({
  space: 0x019,
  entries: ids.map(id => Uint8Array.of(id & 0xff, id >>> 8)),
})
const known: KnownResources = {
  names,
  lists: new Map([[0x1904, new Map([[0x119, [pins(3), pins(0), pins(1, 2)]]])]]),
}

/** A tree with ids of its own: clock 0 is sd, 1 is avb, 2 is mmc. */
const guest = (
  devices: Node,
  clocks: readonly string[] = ['sd', 'avb', 'mmc'],
  discovery = 'dense',
): PlanInput => ({
  name: 'guest',
  tree: tree(
    {
      passthrough: {
        firmware: {
          scmi: {
            compatible: 'arm,scmi-smc',
            'scmi-mediator,discovery': discovery,
            'protocol@14': { reg: 0x14, phandle: 0x1, '#clock-cells': 1, 'scmi-mediator,names': clocks },
          },
        },
        ...devices,
      },
    },
    'guest.dtb',
  ),
})
const sd = { 'xen,path': '/soc/sd', scmi_devid: 1 }
const granted = (input: PlanInput, asked: KnownResources | null = known) =>
  plan(host, [input], asked ?? undefined).domains[0]?.devices.map(({ resources }) =>
    resources.map(({ protocol, id, namespace = 0 }) => [protocol | (namespace << 8), id]),
  )
/** What is said of it, but for what it shares with the host. */
const told = (input: PlanInput, asked: KnownResources | null = known) =>
  plan(host, [input], asked ?? undefined).problems.flatMap(({ code, text }) =>
    code === 'resource-shared' ? [] : [`${code}: ${text}`],
  )

describe('a tree with ids of its own', () => {
  const clean = guest({
    sd: { ...sd, clocks: [1, 0, 1, 2] },
    avb: { 'xen,path': '/soc/avb', clocks: [1, 1] },
  })

  test('its phandles grant nothing: the host’s node behind it does, and all of it', () => {
    expect(granted(clean)).toEqual([
      [
        [0x14, 8],
        [0x14, 9],
        [0x14, 5],
      ],
      [
        [0x14, 5],
        [0x11, 2],
      ],
    ])
    expect(plan(host, [clean], known).domains[0]).toMatchObject({ discovery: 'dense' })
    expect(told(clean)).toEqual([])
    expect(granted(guest({ sd })), 'whether or not it names them').toEqual(
      granted(guest({ sd: { ...sd, clocks: [1, 2] } })),
    )
  })

  test('device ids are its own, else the host’s', () => {
    const ids = (device: Node) => plan(host, [guest({ d: device })]).domains[0]?.devices[0]?.deviceIds
    expect(ids({ 'xen,path': '/soc/avb' })).toEqual([0])
    expect(ids({ 'xen,path': '/soc/avb', scmi_devid: 7 })).toEqual([7])
  })

  test('without xen,path its SCMI device id leads to the host’s node', () => {
    const input = guest({ d: { scmi_devid: 0, clocks: [1, 1] } })
    expect(granted(input)).toEqual([
      [
        [0x14, 5],
        [0x11, 2],
      ],
    ])
    expect(plan(host, [input]).host.map(({ node }) => node)).not.toContain('/soc/avb')
  })

  test('the host’s phandles are not its own', () => {
    expect(told(guest({ sd: { ...sd, clocks: [0x14, 8] } }))).toContain(
      "phandle-unknown: phandle 0x14 in clocks[0] is no node's in guest.dtb",
    )
  })

  test.each<[string, PlanInput, string[], string[]]>([
    [
      'an id that its list does not have',
      guest({ sd: { ...sd, clocks: [1, 3] } }, ['sd', 'mmc', 'avb']),
      ["dense-id-unknown: clocks[0] names clock 3 of the guest's own, and there are 3"],
      ["dense-id-unknown: clocks[0] names clock 3 of the guest's own, and there are 3"],
    ],
    [
      'a name that is nothing of its',
      guest({ sd: { ...sd, clocks: [1, 0] } }, ['gone', 'sd', 'mmc', 'avb']),
      ['dense-name-unknown: clock 0, "gone", is nothing that guest has: it finds nothing there'],
      [],
    ],
    [
      'another resource than the device has',
      guest({ avb: { 'xen,path': '/soc/avb', clocks: [1, 0] }, sd }),
      ['dense-reference-differs: clocks[0] names clock 0, which is "sd": the device has no such resource'],
      [],
    ],
    [
      'another by number, which needs no firmware to be seen',
      guest({ avb: { 'xen,path': '/soc/avb', clocks: [1, 0] }, sd }, ['#8', '#5', '#9']),
      ['dense-reference-differs: clocks[0] names clock 0, which is "sd": the device has no such resource'],
      ['dense-reference-differs: clocks[0] names clock 0, which is "#8": the device has no such resource'],
    ],
    [
      'a number that is nothing of its',
      guest({ avb: { 'xen,path': '/soc/avb', clocks: [1, 0] } }, ['#5', '#9']),
      ['dense-name-unknown: clock 1, "#9", is nothing that guest has: it finds nothing there'],
      ['dense-name-unknown: clock 1, "#9", is nothing that guest has: it finds nothing there'],
    ],
    [
      'a device that the host does not have',
      guest({ d: { clocks: [1, 0], scmi_devid: 77 } }, ['sd']),
      [
        'dense-name-unknown: clock 0, "sd", is nothing that guest has: it finds nothing there',
        "dense-device-unknown: /passthrough/d names SCMI resources, and no node of the host's tree stands behind it: it is granted none",
      ],
      [
        "dense-device-unknown: /passthrough/d names SCMI resources, and no node of the host's tree stands behind it: it is granted none",
      ],
    ],
  ])('what contradicts: %s', (_, input, asked, offline) => {
    const dense = (problems: string[]) => problems.filter(each => each.startsWith('dense-'))
    expect(dense(told(input))).toEqual(asked)
    expect(dense(told(input, null)), 'without having asked the firmware').toEqual(offline)
  })

  test('by choice: a tree without a marker, and one whose marker is not followed', () => {
    const plain = (discovery: PlanInput['discovery']) => ({
      ...guest({ sd: { ...sd, clocks: [1, 0] } }, [], 'identity'),
      discovery,
    })
    expect(granted(plain('auto'))).toEqual([
      [
        [0x14, 0],
        [0x14, 5],
      ],
    ])
    expect(granted(plain('identity'))).toEqual(granted(plain('auto')))
    expect(granted(plain('dense'))).toEqual([
      [
        [0x14, 8],
        [0x14, 9],
        [0x14, 5],
      ],
    ])
    expect(granted({ ...guest({ sd: { ...sd, clocks: [1, 0] } }), discovery: 'identity' })).toEqual(
      granted(plain('auto')),
    )
  })

  test('a marker that cannot be read is an error', () => {
    expect(told(guest({ sd }, [], 'sparse'))).toEqual([
      expect.stringMatching(/^property-malformed: .*"sparse"/),
    ])
  })
})

describe('pin states', () => {
  const device = (path: string): PlanInput => ({
    name: 'guest',
    tree: tree({ passthrough: { d: { 'xen,path': path } } }, 'guest.dtb'),
  })

  test('come to groups with their pins, and functions, by the name each property is about', () => {
    expect(granted(device('/soc/mmc'))?.[0]?.sort()).toEqual(
      [
        [0x119, 2],
        [0x019, 1],
        [0x019, 2],
        [0x119, 0],
        [0x019, 3],
        [0x219, 0],
      ].sort(),
    )
    expect(told(device('/soc/mmc'))).toEqual([])
    expect(granted(device('/soc/mmc'), null)).toEqual([[[0x019, null]]])
    expect(told(device('/soc/mmc'), null)).toEqual([expect.stringMatching(/^pin-states:/)])
  })

  test('what the firmware has not under that name is told, and not granted', () => {
    expect(granted(device('/soc/odd'))).toEqual([[[0x019, 1]]])
    expect(told(device('/soc/odd'))).toEqual([
      'pin-unknown: pinctrl-0[0] names "GP7", and the firmware has nothing of that name',
      'pin-unknown: pinctrl-0[0] names "nothing", and the firmware has nothing of that name',
    ])
  })

  test('a device attached from the host’s tree has its pins too', () => {
    const [found] = planHostDevice(host, ({ node }) => node === '/soc/mmc', known)
    expect(found?.resources).toHaveLength(6)
  })

  test('shared pins are told, a function that many use is not', () => {
    const other = { ...device('/soc/odd'), name: 'other' }
    const { shared, problems } = plan(host, [device('/soc/mmc'), other], known)
    expect(shared).toEqual([{ protocol: 0x19, id: 1, holders: ['guest', 'other'] }])
    expect(problems.map(({ text }) => text)).toContain(
      "pin 1 is reached by guest and other: it is the first one's to set, DENIED to the others",
    )
  })
})
