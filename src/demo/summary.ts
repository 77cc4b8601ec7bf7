// What the demonstration comes to: counts, permission commands and the state of the audit log, compared with the plan.
import type { DomainView, PermissionCommand } from '../lifecycle/views.ts'

/** The last line of `--json`. */
export interface Summary {
  readonly ok: boolean
  readonly guests: readonly {
    readonly name: string
    readonly agentId: number
    /** messages = allowed + denied + errors, as the daemon counted them. */
    readonly messages: number
    readonly allowed: number
    readonly denied: number
    readonly errors: number
  }[]
  readonly permissionCommands: readonly PermissionCommand[]
  readonly audit: {
    readonly records: number
    readonly chain: 'ok' | 'broken'
    readonly path: string
    /** The first line that does not hold. */
    readonly line?: number
  }
  /** What was not as it must be. */
  readonly problems: readonly string[]
}

/** Counts of the domains. */
export const guestCounts = (domains: readonly DomainView[]): Summary['guests'] =>
  domains.map(({ name, agentId, counters: { messages, allowed, denied, errors } }) => ({
    name,
    agentId,
    messages,
    allowed,
    denied,
    errors,
  }))

/** What is wrong with the permission commands: they must be exactly one grant for each device of each domain. */
export function permissionFaults(
  domains: readonly DomainView[],
  commands: readonly PermissionCommand[],
): readonly string[] {
  const text = ({ agentId, deviceId, allow }: PermissionCommand): string =>
    `agent ${agentId}, device ${deviceId}, ${allow ? 'allow' : 'deny'}`
  const left = domains.flatMap(({ agentId, devices }) =>
    [...new Set(devices.flatMap(({ deviceIds }) => deviceIds))].map(deviceId =>
      text({ agentId, deviceId, allow: true }),
    ),
  )
  const surplus = commands.map(text).filter(command => {
    const at = left.indexOf(command)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
  return [
    ...left.map(command => `the platform was never told: ${command}`),
    ...surplus.map(command => `the platform was told what is not in the plan: ${command}`),
  ]
}

/** What is wrong with the daemon's counts, given how many messages each guest had answered. */
export const countFaults = (
  guests: Summary['guests'],
  answered: ReadonlyMap<string, number>,
): readonly string[] =>
  guests.flatMap(({ name, messages, allowed, denied, errors }) => [
    ...(messages === allowed + denied + errors
      ? []
      : [`${name}: ${messages} messages are not ${allowed} + ${denied} + ${errors}`]),
    ...(messages === answered.get(name)
      ? []
      : [`${name}: the daemon counts ${messages} messages, the guest ${answered.get(name)}`]),
  ])
