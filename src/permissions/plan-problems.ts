// Every problem a plan can tell, and its JSON form. A closed list: the trees' own (dt/problem.ts) and those between
// holders.
import { type Severity, treeProblems } from '../dt/problem.ts'
import { MediatorError } from '../errors.ts'

/** Every code with its severity: an error means that the plan must not be applied as it stands. */
export const planProblems = {
  ...treeProblems,
  /** Two domains of one name, or a name that means the host. */
  'domain-name': 'error',
  /** An agent id that the standard reserves (0 is the platform) or that no platform can have. */
  'agent-reserved': 'error',
  /** Two domains pinned to one agent id. */
  'agent-repeated': 'error',
  /** One host device passed to two domains. */
  'device-passed-twice': 'error',
  /** One host device passed twice to the same domain. */
  'device-repeated': 'warning',
  /** A device that lies below one passed to somebody else. */
  'device-nested': 'warning',
  /** One SCMI device id in two domains: a grant to the one is a grant of the other's resources. */
  'device-id-twice': 'error',
  /** One SCMI device id on two host nodes. */
  'device-id-repeated': 'warning',
  /** The partial tree's SCMI device id is not the host's for the same device. */
  'device-id-differs': 'warning',
  /** SCMI resources but no SCMI device id: the firmware is told nothing, enforcement is local only. */
  'device-id-missing': 'warning',
  /** An SCMI device id but no SCMI resources. */
  'resources-missing': 'warning',
  /** Two or more holders reach one resource: it gets votes in the mediator. */
  'resource-shared': 'warning',
  /** One tree reaches resources through several SCMI nodes: their ids are taken as one firmware's. */
  'providers-several': 'warning',
} as const satisfies Record<string, Severity>

export type PlanProblemCode = keyof typeof planProblems

export interface PlanProblem {
  readonly severity: Severity
  readonly code: PlanProblemCode
  readonly domain?: string
  /** Path of the node it lies in. */
  readonly node?: string
  readonly text: string
}

/** Collects problems in order, each once. */
export class Problems {
  readonly list: PlanProblem[] = []
  readonly #told = new Set<string>()

  add(
    code: PlanProblemCode,
    text: string,
    where: { domain?: string; node?: string; severity?: Severity } = {},
  ): void {
    const problem = { severity: planProblems[code], code, ...where, text }
    const key = JSON.stringify(problem)
    if (this.#told.has(key)) return
    this.#told.add(key)
    this.list.push(problem)
  }
}

/** Throws PLAN_REFUSED with every error among the problems, each under its domain and node; nothing for warnings. */
export function refuseErrors(problems: readonly PlanProblem[]): void {
  const errors = problems.filter(({ severity }) => severity === 'error')
  if (errors.length === 0) return
  const line = ({ domain, node, text }: PlanProblem): string =>
    [domain, node, text]
      .filter(part => part !== undefined && (part === text || !text.includes(part)))
      .join(': ')
  throw new MediatorError('PLAN_REFUSED', errors.map(line).join('; '))
}
