// What a domain that is added, or a device that is given, may not have because another domain has it. It throws, no more.
import { resolve } from 'node:path'
import { MediatorError } from '../errors.ts'
import type { PlanDevice } from '../permissions/plan-shape.ts'
import { type Domain, deviceIdsOf, devicePath, isBelow, liveDevices } from './domain.ts'
import type { DomainSpec } from './views.ts'

/** One name, one domid, one socket: one domain. DOMAIN_EXISTS, SOCKET_PATH. */
export function refuseTwins(domains: readonly Domain[], spec: DomainSpec): void {
  for (const { spec: other } of domains) {
    if (other.name === spec.name)
      throw new MediatorError('DOMAIN_EXISTS', `there is a domain ${spec.name} already`)
    if (spec.domid !== undefined && other.domid === spec.domid)
      throw new MediatorError('DOMAIN_EXISTS', `domain ${other.name} has domid ${spec.domid} already`)
    if ('path' in other.link && 'path' in spec.link && resolve(other.link.path) === resolve(spec.link.path))
      throw new MediatorError('SOCKET_PATH', `${spec.link.path} is ${other.name}'s socket`, {
        path: spec.link.path,
      })
  }
}

/**
 * One device, one domain; one SCMI device id, one domain: a grant to the one would be a grant of the other's resources.
 * DEVICE_BUSY names who has it.
 */
export function refuseTaken(domains: readonly Domain[], device: PlanDevice, name: string): void {
  for (const [other, theirs] of heldByOthers(domains, name)) {
    if (device.hostNode !== undefined && device.hostNode === theirs.hostNode)
      throw new MediatorError('DEVICE_BUSY', `${device.hostNode} is ${other}'s`)
    const id = device.deviceIds.find(each => theirs.deviceIds.includes(each))
    if (id !== undefined)
      throw new MediatorError(
        'DEVICE_BUSY',
        `SCMI device ${id} of ${devicePath(device)} is ${other}'s (${devicePath(theirs)})`,
      )
  }
}

/** A device of the host goes with what is below it, and with what it is part of. DEVICE_BUSY when another has that. */
export function refuseNested(domains: readonly Domain[], device: PlanDevice, name: string): void {
  const path = devicePath(device)
  for (const [other, { hostNode }] of heldByOthers(domains, name)) {
    if (hostNode === undefined) continue
    if (isBelow(path, hostNode))
      throw new MediatorError('DEVICE_BUSY', `${path} is part of ${hostNode}, which is ${other}'s`)
    if (isBelow(hostNode, path))
      throw new MediatorError('DEVICE_BUSY', `${hostNode}, which is part of ${path}, is ${other}'s`)
  }
}

function* heldByOthers(domains: readonly Domain[], name: string): Generator<[string, PlanDevice]> {
  for (const domain of domains)
    if (domain.spec.name !== name) for (const device of liveDevices(domain)) yield [domain.spec.name, device]
}

/** Device ids that `devices` name and `others` do not: the firmware is told of these alone. */
export function idsOnlyOf(devices: readonly PlanDevice[], others: readonly PlanDevice[]): readonly number[] {
  const kept = new Set(deviceIdsOf(others))
  return deviceIdsOf(devices).filter(id => !kept.has(id))
}
