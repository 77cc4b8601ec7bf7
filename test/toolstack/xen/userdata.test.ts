// libxl's userdata: what is read of it, when it is there, and whose it must be.
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readTrusted } from '../../../src/toolstack/xen/trusted-file.ts'
import {
  awaitConfiguration,
  parseConfiguration,
  readConfiguration,
  userdataPath,
} from '../../../src/toolstack/xen/userdata.ts'

const uuid = '70d27785-f7c1-473b-84d0-948ed07e4589'
/** As xl 4.20 prints and keeps it, with what does not matter here left out. */
const real = `{
    "c_info": {
        "type": "pvh",
        "name": "agl-guest",
        "uuid": "${uuid}",
        "run_hotplug_scripts": "True"
    },
    "b_info": {
        "max_vcpus": 2,
        "sched_params": {

        },
        "iomem": [
            { "start": 945800, "number": 1 },
            { "start": 16, "number": 2, "gfn": 139265 }
        ],
        "device_tree": "/etc/xen/agl-guest.dtb",
        "arch_arm": {
            "arm_sci": { "type": "none" }
        }
    },
    "dtdevs": [
        {
            "path": "/soc/serial@e6e88000"
        }
    ],
    "on_reboot": "restart"
}
`

function place(): string {
  const directory = mkdtempSync(join(tmpdir(), 'userdata-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

test('the ending NUL that libxl writes is no fault', () => {
  expect(parseConfiguration(`${real}\0`, 'file')).toEqual({
    name: 'agl-guest',
    uuid,
    deviceTree: '/etc/xen/agl-guest.dtb',
    dtdevs: ['/soc/serial@e6e88000'],
    registers: [
      { start: 0xe6e88000, size: 0x1000 },
      { start: 0x22001000, size: 0x2000 },
    ],
    armSci: undefined,
  })
})

test.each([
  ['{}', undefined],
  ['{"b_info":{"arch_arm":{"arm_sci":{"type":"scmi_smc"}}}}', 'scmi_smc'],
  ['{"c_info":7,"b_info":[],"dtdevs":"x"}', undefined],
])('%s', (text, armSci) =>
  expect(parseConfiguration(text, 'file')).toEqual({
    name: undefined,
    uuid: undefined,
    deviceTree: undefined,
    dtdevs: [],
    registers: [],
    armSci,
  }),
)

test('what is no JSON names the file', () =>
  expect(() => parseConfiguration('{', '/var/lib/xen/x')).toThrow(/^\/var\/lib\/xen\/x: /))

test('a file that is not there is none; one that comes is waited for', async () => {
  const directory = place()
  expect(readConfiguration(directory, 7, uuid)).toBeUndefined()
  const signal = new AbortController().signal
  const coming = awaitConfiguration(directory, 7, uuid, { timeoutMs: 20_000, signal })
  const path = userdataPath(directory, 7, uuid)
  writeFileSync(`${path}.n`, `${real}\0`, { mode: 0o600 })
  setImmediate(() => renameSync(`${path}.n`, path))
  expect((await coming)?.name).toBe('agl-guest')
})

test('the wait ends with the domain, and with its time', async () => {
  const directory = place()
  const gone = new AbortController()
  const coming = awaitConfiguration(directory, 7, uuid, { timeoutMs: 60_000, signal: gone.signal })
  gone.abort()
  expect(await coming).toBeUndefined()
  const { signal } = new AbortController()
  expect(await awaitConfiguration(directory, 7, uuid, { timeoutMs: 30, signal })).toBeUndefined()
  expect(
    await awaitConfiguration(join(directory, 'none'), 7, uuid, { timeoutMs: 30, signal }),
  ).toBeUndefined()
})

test.each([0o622, 0o606, 0o777])('mode %o is refused', mode => {
  const path = join(place(), 'file')
  writeFileSync(path, 'x')
  chmodSync(path, mode)
  expect(() => readTrusted(path, 100)).toThrow(/others may write to it/)
})

test.each([
  ['a link', (path: string) => symlinkSync('/etc/hostname', path), /symbolic link/],
  ['a directory', (path: string) => mkdirSync(path), /no regular file/],
  ['too large', (path: string) => writeFileSync(path, 'x'.repeat(101)), /has 101 bytes; at most 100/],
])('%s is refused with its name', (_, make, reason) => {
  const path = join(place(), 'file')
  make(path)
  expect(() => readTrusted(path, 100)).toThrow(reason)
  expect(() => readTrusted(path, 100)).toThrow(path)
})

test('a directory on the way that others may write to is refused, by either name', () => {
  const directory = place()
  const open = join(directory, 'open')
  mkdirSync(open)
  writeFileSync(join(open, 'file'), 'x')
  symlinkSync(open, join(directory, 'link'))
  expect(Buffer.from(readTrusted(join(directory, 'link', 'file'), 100)).toString()).toBe('x')
  chmodSync(open, 0o777)
  for (const name of ['open', 'link'])
    expect(() => readTrusted(join(directory, name, 'file'), 100)).toThrow(/open: mode 0777: others may write/)
})

test.skipIf(process.geteuid?.() !== 0)('a file of another user is refused', async () => {
  const { chownSync } = await import('node:fs')
  const path = join(place(), 'file')
  writeFileSync(path, 'x')
  chownSync(path, 1234, 1234)
  expect(() => readTrusted(path, 100)).toThrow(/belongs to user 1234, not to root/)
})
