// What the partial tree of a domain says of its SCMI calls, for a link that traps them. Reads; decides nothing.
import type { DeviceTree } from '../dt/fdt.ts'
import { type ScmiNode, scmiNodes } from '../dt/scmi-node.ts'
import { MediatorError } from '../errors.ts'
import type { TrappedDomain } from '../mediator/relay-port.ts'
import type { DomainSpec } from './views.ts'

const byCall = ['arm,scmi-smc', 'arm,scmi-smc-param']

/**
 * The doorbell and the shared memory that a guest of link kind xen-smc calls with; undefined for other kinds.
 * CONFIG_INVALID without a domid, DTB_REFUSED without one SCMI node that calls by SMC and names an area.
 */
export function trappedDomain(
  { name, domid, link }: DomainSpec,
  tree: DeviceTree,
  usualSmcId: number,
  returning: boolean,
): TrappedDomain | undefined {
  if (link.kind !== 'xen-smc') return undefined
  if (domid === undefined)
    throw new MediatorError(
      'CONFIG_INVALID',
      `domain ${name}: its calls are trapped by its domid, and it has none`,
    )
  const refuse = (text: string): MediatorError => new MediatorError('DTB_REFUSED', `${tree.file}: ${text}`)
  const found = scmiNodes(tree).filter(each => !each.belongsToXen && byCall.includes(each.compatible))
  const [node, second] = found
  if (node === undefined) throw refuse(`has no node of compatible ${byCall.join(' or ')}`)
  if (second !== undefined)
    throw refuse(`${node.node.path} and ${second.node.path} both call by SMC; a guest has one area`)
  return {
    domid,
    shmem: areaOf(node, refuse),
    smcId: link.smcId ?? node.smcId ?? usualSmcId,
    takesParameters: node.compatible === 'arm,scmi-smc-param',
    returning,
  }
}

function areaOf({ node, shmem }: ScmiNode, refuse: (text: string) => MediatorError): TrappedDomain['shmem'] {
  const [area] = shmem
  if (area === undefined) throw refuse(`${node.path} names no shared memory (property shmem)`)
  const end = area.address + area.size
  if (end > BigInt(Number.MAX_SAFE_INTEGER))
    throw refuse(`${area.node.path}: 0x${area.address.toString(16)} is beyond any guest memory`)
  return { start: Number(area.address), size: Number(area.size) }
}
