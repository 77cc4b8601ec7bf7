// Phandle lists: a property's entries, each a provider with its arguments as the provider's #…-cells cut them. What
// the providers are is not known here.
import { errorText } from '../errors.ts'
import type { DeviceNode, DeviceTree } from './fdt.ts'
import { u32, u32Array } from './node.ts'
import type { Report } from './problem.ts'

/** Far above any real list; it bounds what one property can cost. */
export const maxEntries = 4096

/** Where the phandles of a node resolve. */
export interface Scope {
  /** The tree the node stands in. */
  readonly own: DeviceTree
  /** Tried next, with a warning. */
  readonly fallback?: DeviceTree | undefined
}

export interface PhandleEntry {
  /** Position in the list, counting every entry, empty ones too. */
  readonly index: number
  /** `name[index]`. */
  readonly label: string
  readonly provider: DeviceNode
  readonly args: readonly number[]
}

/**
 * The entries of `node`'s property `name`; none when it is absent. A phandle of 0 is an empty entry of one cell and
 * left out. Reading ends at the first entry whose length cannot be known.
 * @param cellsName the provider's property that counts an entry's arguments; null when entries have none
 */
export function phandleEntries(
  node: DeviceNode,
  name: string,
  cellsName: string | null,
  scope: Scope,
  report: Report,
): readonly PhandleEntry[] {
  const cells = attempt(node, report, () => u32Array(node, name)) ?? []
  const entries: PhandleEntry[] = []
  for (let at = 0, index = 0; at < cells.length; index++) {
    const phandle = cells[at++] ?? 0
    if (phandle === 0) continue
    const label = `${name}[${index}]`
    if (index === maxEntries) {
      report('property-malformed', node, `property "${name}": more than ${maxEntries} entries`)
      break
    }
    const provider = resolve(phandle, node, label, scope, report)
    if (provider === undefined) break
    const count = cellsName === null ? 0 : argumentCount({ provider, label }, node, cellsName, report)
    if (count === undefined) break
    if (at + count > cells.length) {
      report(
        'property-malformed',
        node,
        `property "${name}": entry ${index} needs ${count} cells behind its phandle (${cellsName} of ${provider.path}), ` +
          `${cells.length - at} are left`,
      )
      break
    }
    entries.push({ index, label, provider, args: cells.slice(at, at + count) })
    at += count
  }
  return entries
}

/** What `read` gives; undefined, with the problem reported, where the property's bytes are not what it needs. */
export function attempt<T>(node: DeviceNode, report: Report, read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    report('property-malformed', node, errorText(error))
    return undefined
  }
}

function resolve(
  phandle: number,
  node: DeviceNode,
  label: string,
  scope: Scope,
  report: Report,
): DeviceNode | undefined {
  const own = scope.own.phandles.get(phandle)
  if (own !== undefined) return own
  const there = `phandle 0x${phandle.toString(16)} in ${label} is no node's in ${scope.own.file}`
  const host = scope.fallback?.phandles.get(phandle)
  if (host !== undefined) report('phandle-in-host', node, `${there}, taken as the host's ${host.path}`)
  else
    report(
      'phandle-unknown',
      node,
      scope.fallback === undefined ? there : `${there} nor in ${scope.fallback.file}`,
    )
  return host
}

/** Reports that the provider of `node`'s entry is not what the entry takes it for. */
export function blameProvider(
  entry: Pick<PhandleEntry, 'label' | 'provider'>,
  node: DeviceNode,
  report: Report,
  text: string,
): void {
  const { label, provider } = entry
  report('provider-malformed', node, `${label} leads to ${provider.path} in ${provider.file}: ${text}`)
}

/** Undefined, reported, where the provider's count is absent or cannot be read. */
function argumentCount(
  entry: Pick<PhandleEntry, 'label' | 'provider'>,
  node: DeviceNode,
  cellsName: string,
  report: Report,
): number | undefined {
  try {
    const count = u32(entry.provider, cellsName)
    if (count === undefined) blameProvider(entry, node, report, `it has no ${cellsName}`)
    return count
  } catch (error) {
    blameProvider(entry, node, report, errorText(error))
    return undefined
  }
}
