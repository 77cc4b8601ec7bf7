// What `scmictl plan` is asked to plan: the host's tree and each domain's files, from options and a configuration.
import type { Discovery } from '../config/names.ts'
import { parseConfig } from '../config/scmid.ts'
import { integer, UsageError } from './command.ts'
import type { Pair } from './pair.ts'

export interface PlanOptions {
  readonly host?: string
  readonly domain?: readonly Pair[]
  readonly agent?: readonly Pair[]
  readonly config?: string
  readonly smcId?: number
  readonly xl?: readonly Pair[]
}

/** A domain to plan, its files by name. */
export interface PlannedDomain {
  readonly name: string
  readonly dtb: string
  readonly agentId: number | undefined
  /** Whose ids its tree has; undefined where nothing says so. */
  readonly discovery: Discovery | undefined
  /** The function id that the daemon answers; undefined where it is the tree's, or there is none. */
  readonly smcId: { readonly id: number; readonly isSure: boolean } | undefined
  /** Undefined where nothing says how the guest reaches the daemon. */
  readonly conduit: 'smc' | 'virtio' | undefined
  readonly xl: string | undefined
}

/** The function id that scmid.yaml's guests.smcId stands at. */
const usualSmcId = 0x8200_0002

/**
 * Host and domains. Options win over the configuration, domain by domain.
 * @throws UsageError for options that do not go together; CONFIG_INVALID, AGENT_MISMATCH for the configuration
 */
export function planInputs({ host, domain = [], agent = [], config: file, smcId, xl = [] }: PlanOptions): {
  host: string
  domains: readonly PlannedDomain[]
} {
  const config = file === undefined ? undefined : parseConfig(file)
  const hostFile = host ?? config?.host
  if (hostFile === undefined) throw new UsageError("'scmictl plan' requires --host FILE.")
  const configured = config?.domains ?? []
  const names = [...domain, ...configured].map(({ name }) => name)
  if (names.length === 0) throw new UsageError("'scmictl plan' requires --domain NAME=FILE.")
  const pins = byName('--agent', 'agent ids', agent, names)
  const xls = byName('--xl', 'xl.cfg', xl, names)

  const usual = { id: smcId ?? config?.guests.smcId ?? usualSmcId, isSure: smcId !== undefined }
  const given = domain.map(({ name, value }): PlannedDomain => {
    const other = configured.find(each => each.name === name)
    return {
      ...facts(other, usual),
      name,
      dtb: value,
      agentId: other?.agentId,
      discovery: other?.discovery,
      xl: undefined,
    }
  })
  const rest = configured
    .filter(({ name }) => !domain.some(each => each.name === name))
    .map((each): PlannedDomain => {
      const { name, dtb, agentId, discovery } = each
      return { ...facts(each, usual), name, dtb, agentId, discovery, xl: undefined }
    })
  const domains = [...given, ...rest].map(each => {
    const pin = pins.get(each.name)
    return { ...each, agentId: pin === undefined ? each.agentId : pinned(pin), xl: xls.get(each.name) }
  })
  return { host: hostFile, domains }
}

/** What the configuration's link says, or nobody does. A Xen guest is answered by the function id of its tree. */
function facts(
  domain: { readonly link: { readonly kind: string; readonly smcId?: number } } | undefined,
  usual: { readonly id: number; readonly isSure: boolean },
): Pick<PlannedDomain, 'smcId' | 'conduit'> {
  if (domain === undefined) return { smcId: usual, conduit: undefined }
  const { kind, smcId: own } = domain.link
  const told = own === undefined ? undefined : { id: own, isSure: true }
  if (kind === 'trap-socket') return { smcId: told ?? { ...usual, isSure: true }, conduit: 'smc' }
  if (kind === 'xen-smc') return { smcId: told, conduit: 'smc' }
  return { smcId: undefined, conduit: kind === 'vhost-user' ? 'virtio' : undefined }
}

function byName(
  option: string,
  what: string,
  pairs: readonly Pair[],
  names: readonly string[],
): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const { name, value } of pairs) {
    if (!names.includes(name)) throw new UsageError(`'scmictl plan' ${option}: there is no --domain ${name}.`)
    if (found.has(name)) throw new UsageError(`'scmictl plan' ${option}: ${name} has two ${what}.`)
    found.set(name, value)
  }
  return found
}

function pinned(text: string): number {
  try {
    return integer(0, 0xffffffff)(text)
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`'scmictl plan' --agent: ${error.message}`)
    throw error
  }
}
