// The device tree compiler, where it is installed: another reader of blobs and source than ours.
import { spawnSync } from 'node:child_process'

/** Whether there is one; tests that need it are skipped without. */
export const hasDtc = spawnSync('dtc', ['--version']).status === 0

/** What dtc makes of `input`; throws with its complaints when it refuses. */
export function dtc(from: 'dts' | 'dtb', to: 'dts' | 'dtb', input: Uint8Array | string): Buffer {
  const sorted = to === 'dts' ? ['-s'] : []
  const { status, stdout, stderr } = spawnSync('dtc', ['-q', ...sorted, '-I', from, '-O', to], { input })
  if (status !== 0) throw new Error(`dtc: ${stderr}`)
  return stdout
}
