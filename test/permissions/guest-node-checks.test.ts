import { describe, expect, test } from 'vitest'
import { cells, childOf, type DraftNode, draft, strings } from '../../src/dt/draft.ts'
import { readDeviceTree } from '../../src/dt/fdt.ts'
import { loadDeviceTree } from '../../src/dt/load.ts'
import { writeFdt } from '../../src/dt/write-fdt.ts'
import { generate } from '../../src/permissions/generate.ts'
import { checkGuestNode, type GuestExpectations } from '../../src/permissions/guest-node-checks.ts'
import { plan, planHostDevice } from '../../src/permissions/plan.ts'
import { Problems } from '../../src/permissions/plan-problems.ts'

const load = (name: string) =>
  loadDeviceTree(new URL(`../../fixtures/example/${name}.dtb`, import.meta.url).pathname)
const host = load('host')
const ofHost = new Map(planHostDevice(host, () => true).map(({ node, resources }) => [node, resources]))

/** guest-a's generated tree, which nothing is wrong with, after `spoil`. */
function spoilt(spoil: (passthrough: DraftNode, scmi: DraftNode, root: DraftNode) => void) {
  const { root, fragment } = generate({
    name: 'guest-a',
    host,
    partial: load('guest-a'),
    devices: [],
    discovery: 'identity',
    conduit: { kind: 'smc', smcId: 0x8200_0002, shmemAddress: 0x2200_1000n, shmemBytes: 0x1000 },
  })
  spoil(childOf(root, 'passthrough'), fragment.scmi, root)
  return readDeviceTree(writeFdt(root), 'a.dtb')
}

function told(
  spoil: Parameters<typeof spoilt>[0],
  expectations: Partial<GuestExpectations> = {},
): readonly string[] {
  const tree = spoilt(spoil)
  const [domain] = plan(host, [{ name: 'guest-a', tree }]).domains
  const problems = new Problems()
  if (domain !== undefined)
    checkGuestNode(
      tree,
      domain,
      {
        smcId: { id: 0x8200_0002, isSure: true },
        hostResources: path => ofHost.get(path) ?? [],
        ...expectations,
      },
      problems,
    )
  return problems.list.map(
    ({ severity, code, text }) =>
      `${severity === 'warning' && code === 'smc-id-differs' ? 'warning: ' : ''}${code}: ${text}`,
  )
}

const shmemOf = (passthrough: DraftNode): DraftNode => childOf(passthrough, 'scmi-shmem@22001000')
const scmiPath = '/passthrough/firmware/scmi'

test('what generate makes has nothing to tell, of either conduit', () => {
  expect(told(() => {})).toEqual([])
  expect(told(() => {}, { conduit: 'smc' })).toEqual([])
})

describe('each of these is named with file, node, property, what is expected and what was found', () => {
  test.each<[string, Parameters<typeof spoilt>[0], readonly string[]]>([
    [
      'another function id',
      (_, scmi) => scmi.properties.set('arm,smc-id', cells(0x82000003)),
      [`smc-id-differs: a.dtb: ${scmiPath}: property "arm,smc-id": expected 0x82000002, found 0x82000003`],
    ],
    [
      'no function id',
      (_, scmi) => scmi.properties.delete('arm,smc-id'),
      [`smc-id-differs: a.dtb: ${scmiPath}: property "arm,smc-id": expected 0x82000002, found none`],
    ],
    [
      'a transport that is not served',
      (_, scmi) => scmi.properties.set('compatible', strings('linaro,scmi-optee')),
      [
        `conduit-differs: a.dtb: ${scmiPath}: property "compatible": expected "arm,scmi-smc" or "arm,scmi-virtio", found "linaro,scmi-optee"`,
      ],
    ],
    [
      'no shared memory',
      (_, scmi) => scmi.properties.delete('shmem'),
      [
        `shmem-differs: a.dtb: ${scmiPath}: property "shmem": expected the phandle of an arm,scmi-shmem node, found none`,
      ],
    ],
    [
      'shared memory in the RAM of the guest',
      passthrough => shmemOf(passthrough).properties.set('reg', cells(0, 0x48000000, 0, 0x1000)),
      [
        'shmem-differs: a.dtb: /passthrough/scmi-shmem@22001000: property "reg": expected an address outside of the guest\'s RAM (0x40000000 to 0xffffffff), found 0x48000000',
      ],
    ],
    [
      'shared memory that is no page, and too small',
      passthrough => shmemOf(passthrough).properties.set('reg', cells(0, 0x22001080, 0, 0x40)),
      [
        'shmem-differs: a.dtb: /passthrough/scmi-shmem@22001000: property "reg": expected at least 0x80 bytes, found 0x40',
        'shmem-differs: a.dtb: /passthrough/scmi-shmem@22001000: property "reg": expected the address of a page, found 0x22001080',
      ],
    ],
    [
      'shared memory where a device is',
      passthrough =>
        childOf(passthrough, 'ethernet@e6800000').properties.set(
          'xen,reg',
          cells(0, 0xe6800000, 0, 0x2000, 0, 0x22000000),
        ),
      [
        'shmem-differs: a.dtb: /passthrough/scmi-shmem@22001000: property "reg": expected an address that no device has, but /passthrough/ethernet@e6800000 has 0x22000000, found 0x22001000',
      ],
    ],
    [
      'a node that Linux does not take for shared memory',
      passthrough => shmemOf(passthrough).properties.set('compatible', strings('mmio-sram')),
      [
        'shmem-differs: a.dtb: /passthrough/scmi-shmem@22001000: property "compatible": expected "arm,scmi-shmem", found "mmio-sram"',
      ],
    ],
    [
      'a bus that Linux does not look into',
      passthrough => childOf(passthrough, 'firmware').properties.delete('compatible'),
      [
        'scmi-node-unseen: a.dtb: /passthrough/firmware: property "compatible": expected "simple-bus", or Linux does not look into it, found none',
      ],
    ],
    [
      'no node at all',
      passthrough => {
        for (const node of passthrough.children.values())
          for (const name of [
            'clocks',
            'power-domains',
            'resets',
            'thermal-sensors',
            'vmmc-supply',
            'vqmmc-supply',
          ])
            node.properties.delete(name)
        passthrough.children.delete('firmware')
      },
      [
        'scmi-node-missing: a.dtb: no SCMI node below /passthrough, but guest-a holds SCMI resources: make one with scmictl generate',
      ],
    ],
    [
      'a second node, where libxl does not copy it',
      (_, __, root) =>
        root.children.set(
          'firmware',
          draft('firmware', {}, [draft('scmi', { compatible: strings('arm,scmi-smc') })]),
        ),
      ['scmi-node-unseen: /firmware/scmi is not below /passthrough: libxl does not copy it'],
    ],
    [
      'a protocol that is held and not there',
      (passthrough, scmi) => {
        scmi.children.delete('protocol@15')
        childOf(passthrough, 'gpu@fd000000').properties.delete('thermal-sensors')
      },
      [
        `protocol-missing: a.dtb: ${scmiPath}: expected protocol@15, which thermal-sensors[0] leads to, found none`,
      ],
    ],
    [
      'a protocol that is there and not held',
      (_, scmi) => scmi.children.set('protocol@18', draft('protocol@18', { reg: cells(0x18) })),
      [
        `protocol-not-held: a.dtb: ${scmiPath}/protocol@18: property "reg": expected a protocol that guest-a holds, found 0x18`,
      ],
    ],
    [
      'an id that the host’s node does not have',
      (passthrough, scmi) =>
        childOf(passthrough, 'ethernet@e6800000').properties.set(
          'clocks',
          cells(childOf(scmi, 'protocol@14'), 7),
        ),
      [
        'resource-differs: a.dtb: /passthrough/ethernet@e6800000: property "clocks[0]": expected id on clock 0, as the host\'s /soc/ethernet@e6800000 has, found 7',
      ],
    ],
    [
      'a property that cannot be read',
      (_, scmi) => scmi.properties.set('arm,smc-id', { bytes: Uint8Array.of(1, 2) }),
      [
        expect.stringMatching(
          /^scmi-node-malformed: a.dtb: .*\/scmi: property "arm,smc-id": 2 bytes, one cell has 4 \(byte offset/,
        ) as unknown as string,
        `smc-id-differs: a.dtb: ${scmiPath}: property "arm,smc-id": expected 0x82000002, found none`,
      ],
    ],
  ])('%s', (_, spoil, expected) => {
    expect(told(spoil)).toEqual(expected)
  })

  test.each<[string, GuestExpectations['smcId'], number, readonly string[]]>([
    ['any fast call where the tree decides', undefined, 0xc3000001, []],
    [
      'no fast call',
      undefined,
      0x2000002,
      ['smc-id-differs: the function id of a fast call, found 0x2000002'],
    ],
    [
      'another than the usual one',
      { id: 0x8200_0002, isSure: false },
      0x82000003,
      ['warning: smc-id-differs: 0x82000002, unless the daemon is told another, found 0x82000003'],
    ],
  ])('function id: %s', (_, smcId, written, expected) => {
    const found = told((_passthrough, scmi) => scmi.properties.set('arm,smc-id', cells(written)), { smcId })
    const place = `a.dtb: ${scmiPath}: property "arm,smc-id": expected `
    expect(found.map(text => text.replace(place, ''))).toEqual(expected)
  })

  test('the transport of a link that is known', () => {
    expect(told(() => {}, { conduit: 'virtio' })).toEqual([
      `conduit-differs: a.dtb: ${scmiPath}: property "compatible": expected "arm,scmi-virtio", found "arm,scmi-smc"`,
    ])
  })
})
