// What a change would come to, before anything is done: which devices, which permission commands, what would be shared.
import type { DeviceTree } from '../dt/fdt.ts'
import { MediatorError } from '../errors.ts'
import type { KnownResources } from '../permissions/pin-states.ts'
import { plan, planHostDevice } from '../permissions/plan.ts'
import { isNobodys, sharedText } from '../permissions/plan-checks.ts'
import { Problems } from '../permissions/plan-problems.ts'
import type { Plan, PlanDevice, PlanInput } from '../permissions/plan-shape.ts'
import { spaceOf } from '../scmi/space.ts'
import { idsOnlyOf } from './claims.ts'
import { type Domain, type HeldDevice, liveDevices, names, resourcesOf } from './domain.ts'
import { Holdings } from './holdings.ts'
import type { Ledger } from './ledger.ts'
import type { Tenancies } from './tenancies.ts'
import type { Outcome } from './views.ts'

/** Problems between domains, which the plan finds in trees and the lifecycle in what is held. */
const betweenDomains: ReadonlySet<string> = new Set([
  'agent-repeated',
  'device-passed-twice',
  'device-id-twice',
])

export const noChange = { permissionCommands: [], granted: [], revoked: [], problems: [] }

/** Reads trees and what is known; changes nothing. */
export class Proposals {
  readonly #host: DeviceTree
  readonly #ledger: Ledger
  readonly #tenancies: Tenancies
  readonly #known: KnownResources

  constructor(host: DeviceTree, ledger: Ledger, tenancies: Tenancies, known: KnownResources) {
    this.#host = host
    this.#known = known
    this.#ledger = ledger
    this.#tenancies = tenancies
  }

  /** The plan of all domains with this one added, last; of its problems, those that are this one's. */
  planned(input: PlanInput): Pick<Plan, 'domains' | 'problems'> {
    const whole = plan(this.#host, [...this.#ledger.list.map(domain => domain.input), input], this.#known)
    const shared = whole.shared.filter(({ holders }) => holders.includes(input.name)).map(sharedText)
    return {
      domains: whole.domains,
      // Who has a device or an id now is looked at apart: a domain may have given back what its tree names.
      problems: whole.problems.filter(
        ({ domain, code, text }) =>
          (domain === input.name && !betweenDomains.has(code)) || shared.includes(text),
      ),
    }
  }

  /** What the domain would share if it had the device. */
  sharing(domain: Domain, held: HeldDevice): Plan['problems'] {
    const others = domain.devices.filter(each => each !== held)
    const then = { ...domain, devices: [...others, { ...held, attached: true }] }
    const holdings = new Holdings(
      this.#host,
      this.#ledger.list.map(each => (each === domain ? then : each)),
      this.#known,
    )
    const problems = new Problems()
    for (const { protocol, id, namespace = 0 } of resourcesOf([held.plan])) {
      const holders = holdings.holders(spaceOf(protocol, namespace), id).map(holder => holder.domain)
      if (holders.length > 1 && !isNobodys(protocol, namespace))
        problems.add('resource-shared', sharedText({ protocol, id, namespace, holders }))
    }
    return problems.list
  }

  /** A device of the host's tree, by path, last part of the path, or SCMI device id. DEVICE_UNKNOWN. */
  hostDevice(text: string): PlanDevice {
    const found = onlyOne(
      planHostDevice(this.#host, device => names(device, text), this.#known).map(device => ({
        plan: device,
      })),
      text,
    )
    if (found === undefined)
      throw new MediatorError('DEVICE_UNKNOWN', `the host tree has no device ${text} that names SCMI`)
    return { ...found.plan, hostNode: found.plan.node }
  }

  outcome(
    domain: Domain,
    dryRun: boolean,
    change: {
      granted?: readonly PlanDevice[]
      revoked?: readonly PlanDevice[]
      problems?: Outcome['problems']
    },
  ): Outcome {
    const { agentId } = domain.agent
    const { granted = [], revoked = [], problems = [] } = change
    const others = liveDevices(domain).filter(
      device => !granted.includes(device) && !revoked.includes(device),
    )
    const commands = (devices: readonly PlanDevice[], allow: boolean): Outcome['permissionCommands'] =>
      this.#tenancies.isTold(domain.agent)
        ? idsOnlyOf(devices, others).map(deviceId => ({ agentId, deviceId, allow }))
        : []
    return {
      dryRun,
      domain: domain.spec.name,
      agentId,
      permissionCommands: [...commands(granted, true), ...commands(revoked, false)],
      granted: resourcesOf(granted),
      revoked: resourcesOf(revoked, others),
      problems,
    }
  }
}

/** The one there is, or none. DEVICE_UNKNOWN when `text` is not enough to tell. */
export function onlyOne<T extends { readonly plan: PlanDevice }>(
  found: readonly T[],
  text: string,
): T | undefined {
  if (found.length > 1)
    throw new MediatorError(
      'DEVICE_UNKNOWN',
      `${text} is ${found.map(({ plan: device }) => device.node).join(' and ')}: give the path`,
    )
  return found[0]
}
