// `scmictl plan`: the exact grants that device trees come to, without a daemon.
import type { DeviceTree } from '../dt/fdt.ts'
import { loadDeviceTree } from '../dt/load.ts'
import { type ErrorCode, MediatorError } from '../errors.ts'
import { plan } from '../permissions/plan.ts'
import type { PlanProblem } from '../permissions/plan-problems.ts'
import type { Plan, PlanDevice, PlanInput } from '../permissions/plan-shape.ts'
import { type CommandSpec, integer, UsageError } from './command.ts'
import type { Output } from './output.ts'
import { type Pair, pair } from './pair.ts'
import { protocolName } from './show-commands.ts'

interface PlanOptions {
  readonly host: string
  readonly domain: readonly Pair[]
  readonly agent?: readonly Pair[]
}

/** What is printed: the plan, its problems and those of files that are no trees. */
interface PrintedPlan extends Omit<Plan, 'problems'> {
  readonly problems: readonly (Omit<PlanProblem, 'code'> & {
    readonly code: PlanProblem['code'] | ErrorCode
  })[]
}

export const planCommand: CommandSpec<PlanOptions> = {
  name: 'plan',
  args: '',
  usage: '--host FILE --domain NAME=FILE ... [--agent NAME=ID ...]',
  summary: 'Print what device trees come to: the devices and SCMI resources that each domain would get.',
  details: [
    'Errors and warnings go to stderr, or into the JSON document. Exit code 0: clean, warnings allowed. 1: with errors.',
  ],
  examples: [
    [
      'scmictl plan --host host.dtb --domain guest-a=guest-a.dtb --domain guest-b=guest-b.dtb',
      'What two guests would get, and what they share.',
    ],
  ],
  options: [
    { flags: '--host <file>', summary: "The host's device tree blob.", required: true },
    {
      flags: '--domain <name=file>',
      summary: 'A domain and its partial device tree blob; one of each or more.',
      repeats: true,
      required: true,
      parse: pair('NAME=FILE'),
    },
    {
      flags: '--agent <name=id>',
      summary: 'The agent id that a domain is pinned to.',
      repeats: true,
      parse: pair('NAME=ID'),
    },
  ],
  modifies: false,
  daemon: 'no',
  run({ options, out }) {
    const made = makePlan(options)
    out.document(made, () => printPlan(made, out))
    return made.problems.some(problem => problem.severity === 'error') ? 1 : 0
  },
}

function makePlan({ host, domain, agent = [] }: PlanOptions): PrintedPlan {
  const pins = new Map<string, number>()
  for (const { name, value } of agent) {
    if (!domain.some(each => each.name === name))
      throw new UsageError(`'scmictl plan' --agent: there is no --domain ${name}.`)
    if (pins.has(name)) throw new UsageError(`'scmictl plan' --agent: ${name} has two agent ids.`)
    pins.set(name, pinned(value))
  }
  const unread: PrintedPlan['problems'][number][] = []
  const load = (file: string, name?: string): DeviceTree | undefined => {
    try {
      return loadDeviceTree(file)
    } catch (error) {
      if (!(error instanceof MediatorError)) throw error
      const { code, message: text } = error
      unread.push({ severity: 'error', code, ...(name === undefined ? {} : { domain: name }), text })
      return undefined
    }
  }
  const hostTree = load(host)
  const inputs: PlanInput[] = []
  for (const { name, value } of domain) {
    const tree = load(value, name)
    if (tree !== undefined) inputs.push({ name, tree, agentId: pins.get(name) })
  }
  // Without the host's tree every other finding would only follow from that.
  if (hostTree === undefined) return { domains: [], problems: unread, shared: [], host: [] }
  const made = plan(hostTree, inputs)
  return { ...made, problems: [...unread, ...made.problems] }
}

function pinned(text: string): number {
  try {
    return integer(0, 0xffffffff)(text)
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`'scmictl plan' --agent: ${error.message}`)
    throw error
  }
}

function printPlan({ domains, problems, shared }: PrintedPlan, out: Output): void {
  for (const { name, agentId, devices } of domains) {
    out.line(`${name}${agentId === undefined ? '' : ` (agent ${agentId})`}`)
    for (const device of devices) printDevice(device, out)
    if (devices.length === 0) out.line('  no devices')
  }
  if (shared.length > 0) out.line('shared')
  for (const { protocol, id, holders } of shared)
    out.line(`  ${protocolName(protocol)} ${id}: ${holders.join(', ')}`)
  for (const { severity, code, domain, node, text } of problems) {
    const where = [domain, node].filter(each => each !== undefined).join(' ')
    out.warn(`${severity}: ${where === '' ? '' : `${where}: `}${text} (${code})`)
  }
}

function printDevice({ node, hostNode, deviceIds, resources }: PlanDevice, out: Output): void {
  const ids = deviceIds.length === 0 ? 'no SCMI device id' : `SCMI device ${deviceIds.join(', ')}`
  out.line(`  ${node}${hostNode === undefined || hostNode === node ? '' : ` = ${hostNode}`}: ${ids}`)
  for (const { protocol, id, property, node: named, from } of resources) {
    const notes = [property, named, from === 'host' ? 'host tree' : undefined].filter(
      each => each !== undefined,
    )
    out.line(`    ${protocolName(protocol)} ${id ?? '?'} (${notes.join(', ')})`)
  }
}
