// Which speculation vulnerabilities this machine's CPUs have, as Dom0's kernel tells. It reads; it mends nothing.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Those whose mitigation Xen offers its guests through SMCCC workaround calls. */
const offered = ['spectre_v2', 'spec_store_bypass']

/**
 * Names of the vulnerabilities that the machine has and that a guest whose conduit is SMC learns nothing of. Empty where
 * the kernel tells nothing.
 */
export function untoldVulnerabilities(
  directory = '/sys/devices/system/cpu/vulnerabilities',
): readonly string[] {
  try {
    const there = new Set(readdirSync(directory))
    return offered.filter(
      name => there.has(name) && !readFileSync(join(directory, name), 'utf8').startsWith('Not affected'),
    )
  } catch {
    return []
  }
}
