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
  /** SCMI resources, but neither a host device (xen,path) nor an SCMI device id: only these ids say what it may have. */
  'device-unbound': 'error',
  /** An SCMI device id but no SCMI resources. */
  'resources-missing': 'warning',
  /** Two or more holders reach one resource: it gets votes in the mediator. */
  'resource-shared': 'warning',
  /** A pin state names what the firmware does not have under that name: it is not granted. */
  'pin-unknown': 'warning',
  /** A tree with ids of its own names one that its list does not have. */
  'dense-id-unknown': 'error',
  /** The name in the list of a tree with ids of its own is no resource of the domain's: the guest finds nothing there. */
  'dense-name-unknown': 'warning',
  /** A device's node in a tree with ids of its own names another resource than the device has. */
  'dense-reference-differs': 'warning',
  /** A device in a tree with ids of its own of which the host's tree has no node: its resources are not known. */
  'dense-device-unknown': 'warning',
  /** One tree reaches resources through several SCMI nodes: their ids are taken as one firmware's. */
  'providers-several': 'warning',
  /** The guest holds resources, but its tree has no SCMI node where libxl copies one. */
  'scmi-node-missing': 'warning',
  /** An SCMI node that libxl does not copy, or that Linux does not look into. */
  'scmi-node-unseen': 'warning',
  /** A second SCMI node: a guest has one channel. */
  'scmi-node-several': 'warning',
  /** An SCMI node that cannot be read. */
  'scmi-node-malformed': 'error',
  /** The guest's driver would take another transport than the daemon serves it by. */
  'conduit-differs': 'error',
  /** The guest would call another function than the daemon answers. */
  'smc-id-differs': 'error',
  /** The guest's shared memory is not where or what it must be. */
  'shmem-differs': 'error',
  /** The guest holds resources of a protocol that its tree does not have: its driver will not look for them. */
  'protocol-missing': 'warning',
  /** A protocol that the guest holds nothing of: its driver finds nothing but refusals. */
  'protocol-not-held': 'warning',
  /** A device names another resource than the host's node behind it. */
  'resource-differs': 'warning',
  /** The domain's configuration and its tree do not fit. */
  'xl-differs': 'error',
  /** The domain's configuration lacks what its tree's devices need. */
  'xl-missing': 'warning',
} as const satisfies Record<string, Severity>

export type PlanProblemCode = keyof typeof planProblems

export interface PlanProblem {
  readonly severity: Severity
  readonly code: PlanProblemCode
  readonly domain?: string
  /** Path of the node it lies in. */
  readonly node?: string
  readonly text: string
  /** What stands in which file and property, where the problem is one of that. */
  readonly mismatch?: Mismatch
}

/** Something that stands in a file and should be otherwise. */
export interface Mismatch {
  readonly file: string
  readonly property: string
  readonly expected: string
  readonly found: string
}

/** Collects problems in order, each once. */
export class Problems {
  readonly list: PlanProblem[] = []
  readonly #told = new Set<string>()

  add(
    code: PlanProblemCode,
    text: string,
    where: { domain?: string; node?: string; severity?: Severity; mismatch?: Mismatch } = {},
  ): void {
    this.take({ severity: planProblems[code], code, ...where, text })
  }

  /** One that was made elsewhere. */
  take(problem: PlanProblem): void {
    const key = JSON.stringify(problem)
    if (this.#told.has(key)) return
    this.#told.add(key)
    this.list.push(problem)
  }
}

/** A problem that is a mismatch, in words that name file, node, property, what is expected and what was found. */
export function addMismatch(
  problems: Problems,
  code: PlanProblemCode,
  where: { domain: string; node?: string; severity?: Severity },
  mismatch: Mismatch,
): void {
  const { file, property, expected, found } = mismatch
  const place = where.node === undefined ? file : `${file}: ${where.node}`
  const text = `${place}: property "${property}": expected ${expected}, found ${found}`
  problems.add(code, text, { ...where, mismatch })
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
