// The hotplug script against programs that stand in for scmictl and vif-bridge: it runs the latter only when the former held.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

function run(environment: Record<string, string>, words: string[], holds = true) {
  const directory = mkdtempSync(join(tmpdir(), 'vif-scmi-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const program = (name: string, text: string): string => {
    const path = join(directory, name)
    writeFileSync(path, `#!/bin/sh\n${text}\n`)
    chmodSync(path, 0o755)
    return path
  }
  const SCMICTL = program('scmictl', `echo "$*" >> ${directory}/asked; exit ${holds ? 0 : 1}`)
  const SCMI_VIF_SCRIPT = program('vif-bridge', `echo "$*" >> ${directory}/bridged`)
  const { status, stderr } = spawnSync('sh', [resolve('tools/xen/vif-scmi'), ...words], {
    env: { PATH: process.env['PATH'] ?? '', SCMICTL, SCMI_VIF_SCRIPT, ...environment },
    encoding: 'utf8',
  })
  const said = (name: string): string | undefined =>
    existsSync(join(directory, name)) ? readFileSync(join(directory, name), 'utf8') : undefined
  return { status, stderr, asked: said('asked'), bridged: said('bridged') }
}

test.each(['backend/vif/7/0', '/local/domain/0/backend/vif/7/0'])(
  '%s: held, then the interface is set up',
  path => {
    const { status, asked, bridged } = run({ XENBUS_PATH: path }, ['online', 'type_if=vif'])
    expect([status, asked, bridged]).toEqual([0, 'hold 7\n', 'online type_if=vif\n'])
  },
)

test('not held: it fails, and sets up nothing', () => {
  const { status, stderr, bridged } = run({ XENBUS_PATH: 'backend/vif/7/0' }, ['online'], false)
  expect([status, bridged]).toEqual([1, undefined])
  expect(stderr).toContain('scmid does not hold domain 7: not created')
})

test('no scmictl at all: the same', () => {
  const { status, bridged } = run({ XENBUS_PATH: 'backend/vif/7/0', SCMICTL: '/nonexistent/scmictl' }, [
    'online',
  ])
  expect([status, bridged]).toEqual([1, undefined])
})

test.each(['', 'backend/vif/x/0', 'backend/vif//0'])('XENBUS_PATH=%j: it fails', path => {
  const { status, asked, bridged } = run({ XENBUS_PATH: path }, ['online'])
  expect([status === 0, asked, bridged]).toEqual([false, undefined, undefined])
})

test('an interface that goes asks nobody', () => {
  const { status, asked, bridged } = run({ XENBUS_PATH: 'backend/vif/7/0' }, ['offline'])
  expect([status, asked, bridged]).toEqual([0, undefined, 'offline\n'])
})
