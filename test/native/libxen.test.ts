// Xen's libraries where there is no Xen: every refusal says what is missing.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Xen } from '../../src/native/libxen.ts'
import { hypervisorVersion, runningLibraries } from '../../src/native/xen-libraries.ts'

test('no hypervisor is a refusal that says so', () => {
  expect(() => hypervisorVersion('/nonexistent/version')).toThrow(/^no Xen runs here: ENOENT/)
})

test("libxenctrl's name carries the release of the hypervisor", () => {
  const directory = mkdtempSync(join(tmpdir(), 'xen-version-'))
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'major'), '4\n')
  writeFileSync(join(directory, 'minor'), '20\n')
  expect(runningLibraries(hypervisorVersion(directory)).xenctrl).toBe('libxenctrl.so.4.20')
})

test('a library that is not there is named', () => {
  const names = { xenctrl: 'libxenctrl.so.0.1', xenevtchn: 'x', xenforeignmemory: 'y' }
  expect(() => Xen.open(names)).toThrow(/^libxenctrl\.so\.0\.1, x, y: .*install the tool libraries/s)
})
