import { readFileSync } from 'node:fs'
import { fc, test as prop } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import { cells, copyNode, type DraftNode, draft, flag, strings } from '../../src/dt/draft.ts'
import { type DeviceNode, readDeviceTree } from '../../src/dt/fdt.ts'
import { writeDts } from '../../src/dt/write-dts.ts'
import { writeFdt } from '../../src/dt/write-fdt.ts'
import { blob } from './build.ts'
import { dtc, hasDtc } from './dtc.ts'

const fixtures = [
  'example/host',
  'example/guest-a',
  'example/guest-b',
  'example/guest-c',
  'dt/odd-host',
  'dt/odd-guest',
  'dt/symbols',
  'dt/small',
]
const load = (name: string) => {
  const bytes = readFileSync(new URL(`../../fixtures/${name}.dtb`, import.meta.url))
  return { bytes, tree: readDeviceTree(bytes, name) }
}

/** A node as plain data: what must survive. */
const plain = (node: DeviceNode): unknown => ({
  name: node.name,
  properties: Array.from(node.properties.values(), ({ name, value }) => [
    name,
    Buffer.from(value).toString('hex'),
  ]),
  children: Array.from(node.children.values(), plain),
})
const withoutPhandles = (node: DeviceNode): unknown => ({
  name: node.name,
  properties: Array.from(node.properties.values(), ({ name, value }) => [
    name,
    Buffer.from(value).toString('hex'),
  ])
    .filter(([name]) => name !== 'phandle' && name !== 'linux,phandle')
    .sort(),
  phandle: node.properties.get('phandle')?.value,
  children: Array.from(node.children.values(), withoutPhandles),
})

test('the bytes are those of a builder that shares no code with the writer', () => {
  const made = writeFdt(
    draft('', { '#address-cells': cells(2), compatible: strings('a,b', 'c'), empty: flag }, [
      draft('odd@1', { bytes: { bytes: Uint8Array.of(1, 2, 3) }, reg: cells(0, 0xffffffff) }),
      draft('odd@2', { reg: cells(2) }),
    ]),
    [{ address: 0x5000_0000n, size: 0x1000n }],
  )
  const expected = blob(
    {
      '#address-cells': 2,
      compatible: ['a,b', 'c'],
      empty: true,
      'odd@1': { bytes: Uint8Array.of(1, 2, 3), reg: [0, 0xffffffff] },
      'odd@2': { reg: 2 },
    },
    [[0x5000_0000n, 0x1000n]],
  )
  expect(Buffer.from(made).toString('hex')).toBe(Buffer.from(expected).toString('hex'))
})

describe.each(fixtures)('%s, made by dtc', name => {
  const { bytes, tree } = load(name)
  const copy = () => copyNode(tree.root, new Map())

  test('read and written again is the same tree', () => {
    const again = readDeviceTree(writeFdt(copy(), tree.reservations), name)
    expect(withoutPhandles(again.root)).toEqual(withoutPhandles(tree.root))
    expect(again.reservations).toEqual(tree.reservations)
  })

  test.skipIf(!hasDtc)('dtc reads the blob, and makes the same of the source', () => {
    const original = dtc('dtb', 'dts', bytes).toString()
    expect(dtc('dtb', 'dts', writeFdt(copy(), tree.reservations)).toString()).toBe(original)
    const source = writeDts(copy(), ['made by a test', 'with */ in it'], tree.reservations)
    expect(dtc('dtb', 'dts', dtc('dts', 'dtb', source)).toString()).toBe(original)
  })
})

describe('phandles', () => {
  test('are kept where a node has one, and are the lowest free ones elsewhere', () => {
    const kept = draft('kept')
    kept.phandle = 2
    const [a, b] = [draft('a'), draft('b')]
    const user = draft('user', { list: cells(a, 7, b, kept) })
    const { root, phandles } = readDeviceTree(writeFdt(draft('', {}, [kept, a, b, user])), 'made')
    expect(Array.from(phandles, ([phandle, { name }]) => [phandle, name])).toEqual([
      [2, 'kept'],
      [1, 'a'],
      [3, 'b'],
    ])
    const list = root.children.get('user')?.properties.get('list')?.value
    expect(Buffer.from(list ?? []).toString('hex')).toBe('00000001000000070000000300000002')
  })

  test('of a node that is not in the tree is our own fault', () => {
    expect(() => writeFdt(draft('', { list: cells(draft('elsewhere')) }))).toThrow('which is not in the tree')
  })

  test('are labels in source, each of its own', () => {
    const twins = [draft('clock@1', {}, [], 'main clock'), draft('clock@2', {}, [], 'main clock')]
    const user = draft('user', { clocks: cells(...twins.flatMap(node => [node, 3])) })
    expect(writeDts(draft('', {}, [...twins, user]))).toBe(
      [
        '/dts-v1/;',
        '',
        '/ {',
        '\tmain_clock: clock@1 {',
        '\t};',
        '',
        '\tmain_clock_1: clock@2 {',
        '\t};',
        '',
        '\tuser {',
        '\t\tclocks = <&main_clock 3>, <&main_clock_1 3>;',
        '\t};',
        '};',
        '',
      ].join('\n'),
    )
  })
})

const names = fc.stringMatching(/^[a-z][a-z0-9,._+?#-]{0,20}$/)
const values = fc.oneof(
  fc.uint8Array({ maxLength: 24 }).map(bytes => ({ bytes })),
  fc
    .array(
      fc.string({ minLength: 0, maxLength: 12 }).map(text => text.replaceAll('\0', '')),
      { maxLength: 3 },
    )
    .map(list => ({ strings: list })),
  fc.array(fc.nat({ max: 0xffffffff }), { maxLength: 6 }).map(list => ({ cells: list })),
)
const nodes = (children: fc.Arbitrary<readonly DraftNode[]>): fc.Arbitrary<DraftNode> =>
  fc
    .record({
      name: names.map(name => name.replace(/[#?]/g, '-')),
      properties: fc.dictionary(
        names.filter(name => name !== 'phandle'),
        values,
        { maxKeys: 4 },
      ),
      children,
    })
    .map(made => draft(made.name, made.properties, made.children))
const leaves = nodes(fc.constant([]))
const trees = nodes(fc.array(nodes(fc.array(leaves, { maxLength: 3 })), { maxLength: 3 }))

prop.prop([trees], { seed: 20, numRuns: 200 })('any tree is read back as it was written', made => {
  const shape = (node: DraftNode): unknown => ({
    name: node.name,
    properties: Array.from(node.properties, ([name, value]) => [
      name,
      'bytes' in value
        ? Buffer.from(value.bytes).toString('hex')
        : 'strings' in value
          ? Buffer.concat(value.strings.map(text => Buffer.from(`${text}\0`))).toString('hex')
          : value.cells.map(cell => cell.toString(16).padStart(8, '0')).join(''),
    ]),
    children: Array.from(node.children.values(), shape),
  })
  const read = readDeviceTree(writeFdt(draft('', {}, [made])), 'made')
  expect(plain([...read.root.children.values()][0] as DeviceNode)).toEqual(shape(made))
})

prop.prop([trees], { seed: 21, numRuns: hasDtc ? 30 : 0 })('dtc makes the same of any source', made => {
  const root = draft('', {}, [made])
  expect(dtc('dtb', 'dts', dtc('dts', 'dtb', writeDts(root))).toString()).toBe(
    dtc('dtb', 'dts', writeFdt(root)).toString(),
  )
})
