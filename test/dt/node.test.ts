import { describe, expect, test } from 'vitest'
import { type DeviceNode, readDeviceTree } from '../../src/dt/fdt.ts'
import { loadDeviceTree } from '../../src/dt/load.ts'
import {
  busCells,
  nodeAt,
  phandleTarget,
  regions,
  string,
  stringList,
  toPhysical,
  tuplesOf,
  u32,
  u32Array,
  u64,
  walk,
} from '../../src/dt/node.ts'
import { blob, type Node, type Value } from './build.ts'

const tree = (root: Node) => readDeviceTree(blob(root), 'x.dtb')
const withProperty = (value: Value): DeviceNode => {
  const node = tree({ dev: { p: value } }).root.children.get('dev')
  if (node === undefined) throw new Error('built without dev')
  return node
}
const at = (root: Node, path: string): DeviceNode => {
  const node = nodeAt(tree(root), path)
  if (node === undefined) throw new Error(`no ${path}`)
  return node
}

describe('a property that is what its reader needs', () => {
  test.each<[string, Value, unknown, (node: DeviceNode, name: string) => unknown]>([
    ['u32', 0xfffffffe, 0xfffffffe, u32],
    ['u32Array', [1, 0x80000000], [1, 0x80000000], u32Array],
    ['u32Array', true, [], u32Array],
    ['u64 of two cells', [0x12, 0x3456789a], 0x123456789an, u64],
    ['u64 of one cell', 7, 7n, u64],
    ['string', 'okay', 'okay', string],
    ['string', '', '', string],
    ['stringList', ['a', 'bc'], ['a', 'bc'], stringList],
    ['stringList', true, [], stringList],
  ])('%s of %j gives %s', (_name, value, expected, read) => {
    expect(read(withProperty(value), 'p')).toEqual(expected)
  })

  test.each([u32, u32Array, u64, string, stringList])('%o gives undefined when it is absent', read => {
    expect(read(withProperty(1), 'other')).toBeUndefined()
  })
})

test.each<[string, Value, (node: DeviceNode, name: string) => unknown]>([
  ['8 bytes, one cell has 4', [1, 2], u32],
  ['0 bytes, one cell has 4', true, u32],
  ['3 bytes are not a multiple of 4-byte cells', Uint8Array.of(1, 2, 3), u32Array],
  ['3 cells, a number has one or two', [1, 2, 3], u64],
  ['0 cells, a number has one or two', true, u64],
  ['2 strings, one is expected', ['a', 'b'], string],
  ['0 strings, one is expected', true, string],
  ['the string is not terminated', Uint8Array.of(97), string],
  ['the string is not UTF-8', Uint8Array.of(0xff, 0), stringList],
])('%s: told with file, node, property and byte offset', (text, value, read) => {
  // 40 header + 16 reservations + root (8) + dev (8) + property head (12)
  expect(() => read(withProperty(value), 'p')).toThrow(
    `x.dtb: /dev: property "p": ${text} (byte offset 0x54)`,
  )
})

describe('phandleTarget', () => {
  const target = (root: Node) => {
    const read = tree(root)
    return phandleTarget(read, nodeAt(read, '/a') ?? read.root, 'shmem')?.path
  }
  test.each<[Node, string | undefined, string]>([
    [{ a: { shmem: 3 }, b: { phandle: 3 } }, '/b', 'another node'],
    [{ a: { shmem: 3, phandle: 3 } }, '/a', 'itself'],
    [{ a: {}, b: { phandle: 3 } }, undefined, 'absent'],
  ])('%j gives %s: %s', (root, path) => expect(target(root)).toBe(path))
  test('that leads nowhere', () => {
    expect(() => target({ a: { shmem: 4 }, b: { phandle: 3 } })).toThrow(
      'x.dtb: /a: property "shmem": phandle 0x4 is no node\'s in this file',
    )
  })
})

describe('reg', () => {
  test('uses the cells of the parent, by default two and one', () => {
    expect(regions(at({ a: { reg: [1, 2, 3] } }, '/a'))).toEqual([{ address: 0x1_0000_0002n, size: 3n }])
    const bus = { '#address-cells': 1, '#size-cells': 0, a: { reg: [5, 6] } }
    expect(regions(at({ bus }, '/bus/a'))).toEqual([
      { address: 5n, size: 0n },
      { address: 6n, size: 0n },
    ])
    expect(regions(at({ a: {} }, '/a'))).toBeUndefined()
  })
  test('that is not a multiple of address and size', () => {
    expect(() => regions(at({ a: { reg: [1, 2, 3, 4] } }, '/a'))).toThrow(
      'x.dtb: /a: property "reg": 4 cells are not a multiple of 3 (2 + 1)',
    )
    expect(() =>
      regions(at({ bus: { '#address-cells': 0, '#size-cells': 0, a: { reg: 1 } } }, '/bus/a')),
    ).toThrow('1 cells are not a multiple of 0')
  })
  test('below a bus of more than four cells', () => {
    expect(() => busCells(at({ bus: { '#address-cells': 5 } }, '/bus'), '#address-cells')).toThrow(
      'x.dtb: /bus: property "#address-cells": 5 cells, at most 4 make an address',
    )
  })
  test('tuples of mixed widths', () => {
    const node = at({ a: { 'xen,reg': [0, 1, 2, 0, 3, 0, 4, 5, 0, 6] } }, '/a')
    expect(tuplesOf(node, 'xen,reg', [2, 1, 2])).toEqual([
      [1n, 2n, 3n],
      [4n, 5n, 6n],
    ])
  })
})

describe('toPhysical', () => {
  const sram = (ranges: Value | undefined): Node => ({
    '#address-cells': 2,
    '#size-cells': 2,
    soc: {
      '#address-cells': 1,
      '#size-cells': 1,
      ranges: [0x10000000, 0x8, 0, 0x1000000],
      sram: {
        '#address-cells': 1,
        '#size-cells': 1,
        ...(ranges === undefined ? {} : { ranges }),
        shm: { reg: [0x100, 0x80] },
      },
    },
  })
  const physical = (ranges: Value | undefined) => {
    const node = at(sram(ranges), '/soc/sram/shm')
    const [region] = regions(node) ?? []
    return region && toPhysical(node, region)
  }
  test('goes through the ranges of every bus above', () => {
    expect(physical([0, 0x10004000, 0x1000])).toEqual({ address: 0x8_0000_4100n, size: 0x80n })
  })
  test.each<[Value | undefined, string]>([
    [
      undefined,
      'x.dtb: /soc/sram: property "ranges": absent: the address of /soc/sram/shm is not the CPU\'s',
    ],
    [
      [0x1000, 0x10004000, 0x1000],
      'x.dtb: /soc/sram: property "ranges": no window holds 0x100 of /soc/sram/shm',
    ],
    [[0, 0x10004000, 0x17f], 'no window holds 0x100'],
    [true, 'x.dtb: /soc: property "ranges": no window holds 0x100'],
  ])('ranges %j: %s', (ranges, text) => expect(() => physical(ranges)).toThrow(text))
  test('the example host: 0x0 in its SRAM is 0x53ff0000', () => {
    const host = loadDeviceTree('fixtures/example/host.dtb')
    const node = nodeAt(host, '/sram@53ff0000/scp-shmem@0')
    expect(node && toPhysical(node, { address: 0n, size: 0x1000n })).toEqual({
      address: 0x53ff0000n,
      size: 0x1000n,
    })
  })
})

test.each<[string, string | undefined, string]>([
  ['/', '/', 'the root'],
  ['/soc/ethernet@e6800000', '/soc/ethernet@e6800000', 'with its unit address'],
  ['/soc/ethernet', undefined, 'without'],
  ['soc', undefined, 'relative'],
  ['ethernet0', undefined, 'an alias'],
  ['/soc/', undefined, 'a slash too many'],
  ['//soc', undefined, 'a slash too many'],
  ['', undefined, 'nothing'],
])('nodeAt %j gives %s: %s', (path, expected) => {
  expect(nodeAt(loadDeviceTree('fixtures/example/host.dtb'), path)?.path).toBe(expected)
})

test('walk gives parents first and leaves out what it may not enter', () => {
  const { root } = tree({ a: { b: { c: {} } }, d: { e: {} } })
  expect([...walk(root)].map(({ path }) => path)).toEqual(['/', '/a', '/a/b', '/a/b/c', '/d', '/d/e'])
  expect([...walk(root, node => node.name !== 'b')].map(({ path }) => path)).toEqual([
    '/',
    '/a',
    '/d',
    '/d/e',
  ])
})
