import { expect, test } from 'vitest'
import { readDeviceTree } from '../../src/dt/fdt.ts'
import { loadDeviceTree } from '../../src/dt/load.ts'
import { nodeAt } from '../../src/dt/node.ts'
import { scmiAround, scmiCompatibles, scmiNodes } from '../../src/dt/scmi-node.ts'
import { blob, type Node } from './build.ts'

const tree = (root: Node) => readDeviceTree(blob(root), 'x.dtb')

test('the example host has one, with its doorbell, shared memory and protocols', () => {
  const [scmi, ...more] = scmiNodes(loadDeviceTree('fixtures/example/host.dtb'))
  expect(more).toEqual([])
  expect(scmi).toMatchObject({ compatible: 'arm,scmi-smc', smcId: 0x82000002, belongsToXen: false })
  expect(scmi?.node.path).toBe('/firmware/scmi')
  expect(scmi?.shmem.map(({ node, address, size }) => [node.path, address, size])).toEqual([
    ['/sram@53ff0000/scp-shmem@0', 0x53ff0000n, 0x1000n],
  ])
  expect([...(scmi?.protocols ?? [])].map(([number, node]) => [number, node.name])).toEqual([
    [0x11, 'protocol@11'],
    [0x13, 'protocol@13'],
    [0x14, 'protocol@14'],
    [0x15, 'protocol@15'],
    [0x16, 'protocol@16'],
    [0x17, 'protocol@17'],
  ])
})

test("a guest's own, below /passthrough", () => {
  const [scmi] = scmiNodes(loadDeviceTree('fixtures/example/guest-a.dtb'))
  expect(scmi?.node.path).toBe('/passthrough/firmware/scmi')
  expect(scmi?.shmem).toMatchObject([{ address: 0x22001000n, size: 0x1000n }])
})

test('two of them, one of which is Xen’s', () => {
  const found = scmiNodes(loadDeviceTree('fixtures/dt/odd-host.dtb'))
  expect(found.map(({ node, compatible, belongsToXen }) => [node.path, compatible, belongsToXen])).toEqual([
    ['/chosen/xen/sci/scmi', 'xen,scmi-multi-agent', true],
    ['/firmware/scmi', 'arm,scmi', false],
  ])
  expect(found.map(({ smcId, shmem }) => [smcId, shmem])).toEqual([
    [undefined, []],
    [undefined, []],
  ])
})

test.each<[Node, readonly string[], string]>([
  ...scmiCompatibles.map(
    compatible => [{ s: { compatible } }, ['/s'], compatible] as [Node, readonly string[], string],
  ),
  [{ s: { compatible: ['vendor,x', 'arm,scmi-virtio'] } }, ['/s'], 'anywhere in the list'],
  [{ s: { compatible: 'arm,scmi-shmem' } }, [], 'the shared memory is no provider'],
  [{ s: { compatible: 'arm,scmi-smcc' } }, [], 'not by prefix'],
  [{ s: { compatible: 'xen,scmi-smc' } }, [], "Xen's only below xen,sci"],
  [{ x: { compatible: 'xen,sci', s: { compatible: 'xen,scmi-smc' } } }, ['/x/s'], "Xen's"],
  [{ x: { compatible: 'xen,sci', s: { compatible: 'arm,scmi-smc' } } }, ['/x/s'], "Xen's by the plain name"],
  [{ s: { compatible: Uint8Array.of(0x61) } }, [], 'a compatible that is no string'],
])('%j gives %j: %s', (root, paths) => {
  expect(scmiNodes(tree(root)).map(({ node }) => node.path)).toEqual(paths)
})

const smc = { compatible: 'arm,scmi-smc', '#address-cells': 1, '#size-cells': 0 }
test.each<[Node, string]>([
  [{ s: { ...smc, 'arm,smc-id': [1, 2] } }, '/s: property "arm,smc-id": 8 bytes, one cell has 4'],
  [{ s: { ...smc, shmem: 9 } }, '/s: property "shmem": phandle 0x9 is no node\'s in this file'],
  [
    { s: { ...smc, shmem: 9 }, m: { phandle: 9 } },
    '/m: property "reg": absent: /s needs it as shared memory',
  ],
  [
    { s: { ...smc, shmem: 9 }, m: { phandle: 9, reg: [0, 1, 0] } },
    '/m: property "reg": shared memory of no size',
  ],
  [
    { s: { ...smc, 'p@14': { reg: 0x14 }, 'q@14': { reg: 0x14 } } },
    '/s/q@14: property "reg": protocol 0x14 is also /s/p@14\'s',
  ],
])('%j is refused: %s', (root, text) => {
  expect(() => scmiNodes(tree(root))).toThrow(expect.objectContaining({ code: 'DTB_MALFORMED' }))
  expect(() => scmiNodes(tree(root))).toThrow(`x.dtb: ${text}`)
})

test('two areas of shared memory stand in their order: to the platform, to the agent', () => {
  const [scmi] = scmiNodes(
    tree({
      s: { ...smc, shmem: [2, 1] },
      'a@1000': { reg: [0, 0x1000, 0x80], phandle: 1 },
      'b@2000': { reg: [0, 0x2000, 0x80], phandle: 2 },
    }),
  )
  expect(scmi?.shmem.map(({ address }) => address)).toEqual([0x2000n, 0x1000n])
})

test.each<[string, string | undefined, string | undefined]>([
  ['/firmware/scmi/protocol@17/regulators/regulator@0', '/firmware/scmi', '/firmware/scmi/protocol@17'],
  ['/firmware/scmi/protocol@14', '/firmware/scmi', '/firmware/scmi/protocol@14'],
  ['/firmware/scmi', '/firmware/scmi', undefined],
  ['/firmware', undefined, undefined],
  ['/soc/mmc@ee100000', undefined, undefined],
])('around %s is %s, its protocol %s', (path, scmi, protocol) => {
  const node = nodeAt(loadDeviceTree('fixtures/example/host.dtb'), path)
  const around = node && scmiAround(node)
  expect([around?.scmi.path, around?.protocol?.path]).toEqual([scmi, protocol])
})
