import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadDeviceTree } from '../../src/dt/load.ts'

const directory = mkdtempSync(join(tmpdir(), 'dt-'))
afterAll(() => rmSync(directory, { recursive: true }))

test('reads a blob and names its file in the tree', () => {
  expect(loadDeviceTree('fixtures/dt/small.dtb')).toMatchObject({ file: 'fixtures/dt/small.dtb' })
})

test.each([
  [join(directory, 'absent.dtb'), 'SYSTEM', 'ENOENT'],
  [directory, 'SYSTEM', 'not a regular file'],
  ['/dev/zero', 'SYSTEM', 'not a regular file'],
  ['fixtures/dt/small.dts', 'DTB_MALFORMED', 'not a device tree blob: starts with 0x2f2a2054'],
])('%s is %s: %s', (file, code, text) => {
  expect(() => loadDeviceTree(file)).toThrow(
    expect.objectContaining({ code, path: file, message: expect.stringContaining(text) }),
  )
})

test('a FIFO without a writer is refused at once', () => {
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  expect(() => loadDeviceTree(fifo)).toThrow('not a regular file')
})

test('a file of any size is read no further than a blob may reach', () => {
  const file = join(directory, 'long.dtb')
  const bytes = Buffer.alloc(5 << 20)
  bytes.writeUInt32BE(0xd00dfeed, 0)
  bytes.writeUInt32BE(bytes.length, 4)
  writeFileSync(file, bytes)
  expect(() => loadDeviceTree(file)).toThrow('totalsize 5242880 is above the limit of 2097152')
})
