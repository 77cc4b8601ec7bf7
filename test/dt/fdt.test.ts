import { readdirSync, readFileSync } from 'node:fs'
import { test as property } from '@fast-check/vitest'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type DeviceNode, limits, readDeviceTree } from '../../src/dt/fdt.ts'
import { MediatorError } from '../../src/errors.ts'
import { plan } from '../../src/permissions/plan.ts'
import { blob, type Node, type Value } from './build.ts'

const fixture = (name: string): Uint8Array => readFileSync(`fixtures/${name}.dtb`)

const refusal = (bytes: Uint8Array, file = 'x.dtb'): string => {
  try {
    readDeviceTree(bytes, file)
  } catch (error) {
    if (error instanceof MediatorError && error.code === 'DTB_MALFORMED') return error.message
    throw error
  }
  throw new Error('was read')
}

describe('blobs from dtc', () => {
  test('small.dtb reads as its source says', () => {
    const tree = readDeviceTree(fixture('dt/small'), 'small.dtb')
    expect(tree.reservations).toEqual([{ address: 0x40000000n, size: 0x1000n }])
    expect([...tree.root.properties.keys()]).toEqual(['compatible'])
    expect(Buffer.from(tree.root.properties.get('compatible')?.value ?? []).toString()).toBe(
      'example,small\0',
    )
    const bus = tree.root.children.get('bus')
    expect([...(bus?.children.keys() ?? [])]).toEqual(['first@1', 'second@2'])
    const first = bus?.children.get('first@1')
    expect(first?.path).toBe('/bus/first@1')
    expect(first?.parent).toBe(bus)
    expect([...(first?.properties.keys() ?? [])]).toEqual(['reg', 'phandle', 'clocks'])
    expect([...(first?.properties.get('clocks')?.value ?? [])]).toEqual([0, 0, 0, 2])
    expect(first?.properties.get('clocks')?.offset).toBe(0xac)
    expect(tree.phandles.get(1)).toBe(first)
    expect(tree.phandles.get(2)?.path).toBe('/bus/second@2')
    expect(tree.phandles.size).toBe(2)
  })

  test('the example host has the nodes of its source', () => {
    const tree = readDeviceTree(fixture('example/host'), 'host.dtb')
    expect(tree.reservations).toEqual([{ address: 0x53ff0000n, size: 0x10000n }])
    const soc = tree.root.children.get('soc')
    expect([...(soc?.children.keys() ?? [])]).toEqual([
      'interrupt-controller@f1010000',
      'iommu@e6570000',
      'ethernet@e6800000',
      'usb@ee080000',
      'mmc@ee100000',
      'mmc@ee140000',
      'i2c@e6510000',
      'gpu@fd000000',
      'can@e66c0000',
      'adc@e6f30000',
      'can@e6c38000',
    ])
    expect(soc?.children.get('i2c@e6510000')?.children.get('codec@10')?.path).toBe(
      '/soc/i2c@e6510000/codec@10',
    )
  })

  test('bytes behind totalsize are not read, and the blob may change afterwards', () => {
    const original = fixture('dt/small')
    const bytes = Buffer.concat([original, Buffer.alloc(100, 0xff)])
    const tree = readDeviceTree(bytes, 'x.dtb')
    bytes.fill(0)
    expect(shape(tree.root)).toEqual(shape(readDeviceTree(original, 'x.dtb').root))
  })
})

const malformed: readonly (readonly [file: string, text: string])[] = [
  ['empty', ': 0 bytes, a header alone has 40 (byte offset 0x0)'],
  ['header-only', ': 39 bytes, a header alone has 40 (byte offset 0x0)'],
  ['truncated', ': totalsize 274, but the file has 266 bytes (byte offset 0x4)'],
  ['magic', ': not a device tree blob: starts with 0x7f454c46, expected 0xd00dfeed (byte offset 0x0)'],
  [
    'magic-swapped',
    ': not a device tree blob: starts with 0xedfe0dd0, the magic with its bytes swapped, expected 0xd00dfeed (byte offset 0x0)',
  ],
  ['totalsize-small', ': totalsize 36 is less than the header (byte offset 0x4)'],
  ['totalsize-huge', ': totalsize 2147483647 is above the limit of 2097152 (byte offset 0x4)'],
  ['version-16', ': version 16, at least 17 is needed (byte offset 0x14)'],
  ['last-comp-18', ': last_comp_version 18: made for readers newer than version 17 (byte offset 0x18)'],
  ['structure-misaligned', ': structure block at 74 is not aligned to 4 (byte offset 0x8)'],
  ['structure-in-header', ': structure block at 8 lies in the header (byte offset 0x8)'],
  [
    'structure-beyond',
    ': structure block, 4294967280 bytes at 72, reaches beyond totalsize 274 (byte offset 0x8)',
  ],
  [
    'structure-short',
    ': /: property "compatible": 14 bytes reach beyond the structure block (byte offset 0x50)',
  ],
  ['strings-beyond', ': strings block, 30 bytes at 278, reaches beyond totalsize 274 (byte offset 0xc)'],
  ['strings-overlap', ': structure and strings blocks overlap (byte offset 0x8)'],
  ['reservations-misaligned', ': memory reservation block at 44 is not aligned to 8 (byte offset 0x10)'],
  ['reservations-open', ': memory reservation block has no terminating entry (byte offset 0x108)'],
  ['token-unknown', ': /: unknown token 0x5 (byte offset 0x6c)'],
  ['end-inside-node', ': /: FDT_END inside a node (byte offset 0x6c)'],
  ['end-node-missing', ': /: FDT_END inside a node (byte offset 0xf0)'],
  ['property-outside', ': a property outside any node (byte offset 0x48)'],
  [
    'property-length',
    ': /bus/first@1: property "clocks": 4294967292 bytes reach beyond the structure block (byte offset 0xa0)',
  ],
  [
    'property-name-offset',
    ': /bus/first@1: property name offset 4096 lies outside the strings block (byte offset 0xa0)',
  ],
  ['property-name-open', ': /bus/first@1: property name is not terminated (byte offset 0x10b)'],
  ['property-twice', ': /bus/first@1: property "reg" stands twice (byte offset 0xa0)'],
  ['phandle-twice', ": /bus/second@2: phandle 0x1 is also /bus/first@1's (byte offset 0xe0)"],
  ['phandle-zero', ': /bus/second@2: property "phandle" is 0x0, which is no phandle (byte offset 0xe0)'],
  ['node-twice', ': /bus: two child nodes named "first@1" (byte offset 0xb4)'],
  ['node-name-control', ': /: node name has a byte 0x1b that no name may have (byte offset 0x72)'],
  ['node-name-slash', ': /: node name "b/s" has a slash (byte offset 0x6c)'],
  ['two-roots', ': a second root node (byte offset 0x44)'],
  ['no-root', ': no root node (byte offset 0x40)'],
  ['nops-without-end', ': the structure block ends where a token is expected (byte offset 0x138)'],
  ['too-deep', `: ${'/a'.repeat(63)}: nodes are nested more than 64 deep (byte offset 0x238)`],
]

describe('malformed blobs', () => {
  test.each(malformed)('%s is refused%s', (name, text) => {
    expect(refusal(fixture(`dt/malformed/${name}`), `${name}.dtb`)).toBe(`${name}.dtb${text}`)
  })

  test('every malformed fixture is in the table', () => {
    const files = readdirSync('fixtures/dt/malformed').map(file => file.replace(/\.dtb$/, ''))
    expect(files.sort()).toEqual(malformed.map(([file]) => file).sort())
  })

  test.each<[Node, string, string]>([
    [{ [`n${'x'.repeat(300)}`]: {} }, 'node name is over 255 bytes', 'a name without end'],
    [{ a: { phandle: [1, 2] } }, 'property "phandle" has 8 bytes, a phandle has 4', 'two cells'],
    [{ a: { phandle: 0xffffffff } }, 'property "phandle" is 0xffffffff, which is no phandle', 'reserved'],
    [{ a: { phandle: 1, 'linux,phandle': 2 } }, 'phandle and linux,phandle differ', 'the old name too'],
    [{ '': {} }, 'a child node without a name', 'only the root has none'],
  ])('%j: %s (%s)', (root, text) => expect(refusal(blob(root))).toContain(text))

  test('linux,phandle alone, or equal to phandle, is a phandle', () => {
    const tree = readDeviceTree(
      blob({ a: { 'linux,phandle': 7 }, b: { phandle: 8, 'linux,phandle': 8 } }),
      'x',
    )
    expect([...tree.phandles].map(([phandle, node]) => [phandle, node.path])).toEqual([
      [7, '/a'],
      [8, '/b'],
    ])
  })

  test('too many nodes are refused', () => {
    const wide = Object.fromEntries(Array.from({ length: limits.nodes }, (_, index) => [`n${index}`, {}]))
    expect(refusal(blob(wide))).toContain(`more than ${limits.nodes} nodes`)
  })

  test('too many properties are refused', () => {
    const properties = { a: true, b: true, c: true, d: true, e: true } as const
    const wide = Object.fromEntries(
      Array.from({ length: limits.properties / 5 + 1 }, (_, index) => [`n${index}`, properties]),
    )
    expect(refusal(blob(wide))).toContain(`more than ${limits.properties} properties`)
  })
})

/** A blob around structure words, with one string "p" at offset 0. */
function rawBlob(words: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(56 + words.length * 4 + 2)
  const header = [0xd00dfeed, bytes.length, 56, 56 + words.length * 4, 40, 17, 16, 0, 2, words.length * 4]
  for (const [index, value] of [...header, 0, 0, 0, 0, ...words].entries())
    bytes.writeUInt32BE(value, index * 4)
  bytes.write('p\0', bytes.length - 2)
  return bytes
}

test.each<[number[], string, string]>([
  [[1, 0, 4, 4, 3, 0, 0, 4, 2, 4, 9], 'p', 'NOPs are skipped anywhere between tokens'],
  [[1, 0, 3, 0, 0, 2, 9, 0xdeadbeef], 'p', 'what stands behind FDT_END is not read'],
])('%j is read', (words, name) => {
  expect([...readDeviceTree(rawBlob(words), 'x').root.properties.keys()]).toEqual([name])
})

test.each<[number[], string]>([
  [[2, 9], 'FDT_END_NODE without a node (byte offset 0x38)'],
  [[1, 0x61000000, 2, 9], 'the root node is named "a" (byte offset 0x38)'],
  [[1, 0, 1, 0x61000000, 2, 3, 0, 0, 2, 9], '/: property "p" stands behind a child node (byte offset 0x4c)'],
  [[1, 0, 3, 0], '/: the structure block ends where a property name offset is expected (byte offset 0x48)'],
  [[1, 0, 3, 0, 1, 2, 9], '/: a property without a name (byte offset 0x40)'],
  [[1, 0, 1], '/: node name is not terminated (byte offset 0x44)'],
])('structure %j: %s', (words, text) => expect(refusal(rawBlob(words))).toContain(text))

const name = fc.stringMatching(/^[a-z][a-z0-9,.+@-]{0,12}$/)
const value: fc.Arbitrary<Value> = fc.oneof(
  fc.stringMatching(/^[ -~]{0,20}$/),
  fc.array(fc.nat(0xffffffff), { maxLength: 6 }),
  fc.uint8Array({ maxLength: 9 }),
  fc.constant(true as const),
)
const nodes = (depth: number): fc.Arbitrary<Node> =>
  fc
    .tuple(
      fc.dictionary(name, value, { maxKeys: 4 }),
      depth === 0 ? fc.constant({}) : fc.dictionary(name, nodes(depth - 1), { maxKeys: 3 }),
    )
    .map(([properties, children]) => {
      const { phandle: _, ...rest }: Node = { ...properties, ...children }
      return rest
    })

/** Names and bytes only, in order. */
const shape = (node: DeviceNode): unknown => [
  [...node.properties].map(([key, { value: bytes }]) => [key, Buffer.from(bytes).toString('hex')]),
  [...node.children].map(([key, child]) => [key, shape(child)]),
]
const shapeOf = (node: Node): unknown => {
  const entries = Object.entries(node)
  const bytes = (each: Value): string => {
    if (each === true) return ''
    if (each instanceof Uint8Array) return Buffer.from(each).toString('hex')
    if (typeof each === 'string') return Buffer.from(`${each}\0`).toString('hex')
    const list = typeof each === 'number' ? [each] : each
    return list
      .map(item =>
        typeof item === 'string'
          ? Buffer.from(`${item}\0`).toString('hex')
          : item.toString(16).padStart(8, '0'),
      )
      .join('')
  }
  const isChild = (each: Value | Node): each is Node =>
    typeof each === 'object' && !Array.isArray(each) && !(each instanceof Uint8Array)
  return [
    entries.flatMap(([key, each]) => (isChild(each) ? [] : [[key, bytes(each)]])),
    entries.flatMap(([key, each]) => (isChild(each) ? [[key, shapeOf(each)]] : [])),
  ]
}

property.prop(
  [nodes(4), fc.array(fc.tuple(fc.bigInt(1n, 2n ** 63n), fc.bigInt(1n, 2n ** 63n)), { maxLength: 3 })],
  {
    seed: 1,
    numRuns: 500,
  },
)('any tree reads back as it was built', (tree, reservations) => {
  const read = readDeviceTree(blob(tree, reservations), 'x')
  expect(shape(read.root)).toEqual(shapeOf(tree))
  expect(read.reservations).toEqual(reservations.map(([address, size]) => ({ address, size })))
})

property.prop([fc.uint8Array({ maxLength: 400 })], { seed: 1, numRuns: 2000 })(
  'random bytes behind a sound magic are refused or read',
  bytes => {
    const whole = Buffer.concat([Buffer.from([0xd0, 0x0d, 0xfe, 0xed, 0, 0, 0, bytes.length & 0xff]), bytes])
    tryRead(whole)
  },
)

function tryRead(bytes: Uint8Array): ReturnType<typeof readDeviceTree> | undefined {
  try {
    return readDeviceTree(bytes, 'x')
  } catch (error) {
    if (error instanceof MediatorError && error.code === 'DTB_MALFORMED') return undefined
    throw error
  }
}

/** mulberry32: a small generator whose sequence the seed fixes, far quicker than fast-check at 10^5 blobs. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const interesting = [0, 1, 2, 3, 4, 9, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff]

/** One to four changes: bits, words of the header or the body, cut ends, moved or repeated pieces. */
function mutate(source: Uint8Array, random: (below: number) => number): Uint8Array {
  let bytes = Buffer.from(source)
  for (let changes = 1 + random(4); changes > 0 && bytes.length >= 44; changes--) {
    const at = random(bytes.length)
    const word = random(bytes.length >> 2) * 4
    const choice = random(7)
    if (choice === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8))
    else if (choice === 1) bytes[at] = random(256)
    else if (choice === 2) bytes.writeUInt32BE(interesting[random(interesting.length)] ?? 0, word)
    else if (choice === 3) bytes.writeUInt32BE(random(bytes.length * 2), random(10) * 4)
    else if (choice === 4) bytes = bytes.subarray(0, Math.max(44, at))
    else if (choice === 5) bytes.copy(bytes, word, random(bytes.length >> 2) * 4, bytes.length)
    else bytes = Buffer.concat([bytes.subarray(0, word), bytes.subarray(random(bytes.length >> 2) * 4)])
    // Half of those that changed size get a totalsize that fits, so that the change reaches the blocks.
    if (choice >= 4 && bytes.length >= 8 && random(2) === 0) bytes.writeUInt32BE(bytes.length, 4)
  }
  return bytes
}

describe('10^5 mutations: a clear error or a tree, never a crash or a hang', () => {
  const sources = ['dt/small', 'example/host', 'example/guest-a', 'example/guest-b', 'example/guest-c']
  test.each(sources.map((name, index) => [name, index + 1] as const))('%s, seed %i', (name, seed) => {
    const source = fixture(name)
    const host = readDeviceTree(fixture('example/host'), 'host.dtb')
    const random = generator(seed)
    let read = 0
    for (let run = 0; run < 20_000; run++) {
      const tree = tryRead(mutate(source, random))
      if (tree === undefined) continue
      read++
      // What still reads must also plan: a tenth of them, as host and as guest.
      if (read % 10 === 0) {
        plan(host, [{ name: 'guest', tree }])
        plan(tree, [{ name: 'guest', tree }])
      }
    }
    expect(read).toBeGreaterThan(100)
  })
})
