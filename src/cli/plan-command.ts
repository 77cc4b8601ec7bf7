// `scmictl plan`: the exact grants that device trees come to, without a daemon.
import { readFileSync } from 'node:fs'
import { passedDevices } from '../dt/devices.ts'
import type { DeviceTree } from '../dt/fdt.ts'
import { loadDeviceTree } from '../dt/load.ts'
import { scmiNodes } from '../dt/scmi-node.ts'
import { xenAssignment } from '../dt/xen-assignment.ts'
import { type ErrorCode, errorText, MediatorError } from '../errors.ts'
import { checkGuestNode } from '../permissions/guest-node-checks.ts'
import { plan, planHostDevice } from '../permissions/plan.ts'
import { type PlanProblem, Problems } from '../permissions/plan-problems.ts'
import type { Plan, PlanDevice, PlanInput } from '../permissions/plan-shape.ts'
import { type CommandSpec, integer } from './command.ts'
import type { Output } from './output.ts'
import { pair } from './pair.ts'
import { type PlannedDomain, type PlanOptions, planInputs } from './plan-inputs.ts'
import { kindName } from './show-commands.ts'
import { checkXlConfig } from './xl-checks.ts'
import { readXlConfig, type XlValue } from './xl-config.ts'

/** What is printed: the plan, its problems and those of files that are no trees. */
interface PrintedPlan extends Omit<Plan, 'problems'> {
  readonly problems: readonly (Omit<PlanProblem, 'code'> & {
    readonly code: PlanProblem['code'] | ErrorCode
  })[]
}

export const planCommand: CommandSpec<PlanOptions> = {
  name: 'plan',
  args: '',
  usage:
    '(--config FILE | --host FILE --domain NAME=FILE ...) [--agent NAME=ID ...] [--xl NAME=FILE ...] [--smc-id ID]',
  summary: 'Print what device trees come to: the devices and SCMI resources that each domain would get.',
  details: [
    "What stands in a guest's tree of SCMI is checked too: where its node is, function id, shared memory, protocols, ids. With --xl so is the domain's xl.cfg: device_tree, iomem, irqs, dtdev, arm_sci. Each difference is told with file, node, property, what is expected and what was found. What `scmictl generate` makes has none.",
    'Errors and warnings go to stderr, or into the JSON document. Exit code 0: clean, warnings allowed. 1: with errors.',
  ],
  examples: [
    [
      'scmictl plan --host host.dtb --domain guest-a=guest-a.dtb --domain guest-b=guest-b.dtb',
      'What two guests would get, and what they share.',
    ],
    [
      'scmictl plan --config /etc/scmid/scmid.yaml --domain agl=agl.dtb --xl agl=/etc/xen/agl.cfg',
      'The same for the domains of a configuration and one more, with its xl.cfg.',
    ],
  ],
  options: [
    { flags: '--host <file>', summary: "The host's device tree blob." },
    {
      flags: '--domain <name=file>',
      summary: 'A domain and its partial device tree blob; one of each or more.',
      repeats: true,
      parse: pair('NAME=FILE'),
    },
    {
      flags: '--config <file>',
      summary: "scmid's configuration: host tree, domains, function ids, agent ids.",
    },
    {
      flags: '--xl <name=file>',
      summary: "A domain's xl.cfg, to be checked against its tree.",
      repeats: true,
      parse: pair('NAME=FILE'),
    },
    {
      flags: '--smc-id <id>',
      summary: 'Function id that guests call, where no configuration says: 0x82000002.',
      parse: integer(1, 0xffffffff),
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

function makePlan(options: PlanOptions): PrintedPlan {
  const { host, domains } = planInputs(options)
  const unread: PrintedPlan['problems'][number][] = []
  const attempt = <T>(read: () => T, name?: string): T | undefined => {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof MediatorError)) throw error
      const { code, message: text } = error
      unread.push({ severity: 'error', code, ...(name === undefined ? {} : { domain: name }), text })
      return undefined
    }
  }
  const hostTree = attempt(() => loadDeviceTree(host))
  const inputs: (PlanInput & PlannedDomain)[] = []
  for (const domain of domains) {
    const tree = attempt(() => loadDeviceTree(domain.dtb), domain.name)
    if (tree !== undefined) inputs.push({ ...domain, tree })
  }
  // Without the host's tree every other finding would only follow from that.
  if (hostTree === undefined) return { domains: [], problems: unread, shared: [], host: [] }
  const made = plan(hostTree, inputs)
  const written = new Problems()
  const ofHost = new Map(planHostDevice(hostTree, () => true).map(({ node, resources }) => [node, resources]))
  for (const [index, input] of inputs.entries()) {
    const { tree, smcId, conduit, xl } = input
    const planned = made.domains[index]
    if (planned === undefined) continue
    const hostResources = (path: string) => ofHost.get(path) ?? []
    checkGuestNode(tree, planned, { smcId, conduit, hostResources }, written)
    const settings = xl === undefined ? undefined : attempt(() => loadXlConfig(xl), input.name)
    if (xl !== undefined && settings !== undefined)
      checkXlConfig({ ...xlFacts(input, hostTree), domain: input.name, file: xl, settings }, written)
  }
  return { ...made, problems: [...unread, ...made.problems, ...written.list] }
}

function loadXlConfig(file: string): ReadonlyMap<string, XlValue> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new MediatorError('SYSTEM', `${file}: ${errorText(cause)}`, { cause, path: file })
  }
  return readXlConfig(text, file)
}

function xlFacts({ tree, dtb, agentId }: PlanInput & PlannedDomain, host: DeviceTree) {
  const silent = (): void => {}
  const assignment = xenAssignment(passedDevices(tree, host, silent), host)
  return { tree: dtb, agentId, assignment, shmem: sharedFrames(tree) }
}

/** Frames of the guest's shared memory; undefined where there is none, or none that can be read. */
function sharedFrames(tree: DeviceTree): { frame: bigint; count: bigint } | undefined {
  try {
    const [area] = scmiNodes(tree).flatMap(({ shmem }) => shmem)
    if (area === undefined) return undefined
    const frame = area.address >> 12n
    return { frame, count: ((area.address + area.size + 0xfffn) >> 12n) - frame }
  } catch {
    return undefined // told by the check of the node
  }
}

function printPlan({ domains, problems, shared }: PrintedPlan, out: Output): void {
  for (const { name, agentId, discovery, devices } of domains) {
    const notes = [
      ...(agentId === undefined ? [] : [`agent ${agentId}`]),
      ...(discovery === 'dense' ? ['ids of its own'] : []),
    ]
    out.line(`${name}${notes.length === 0 ? '' : ` (${notes.join(', ')})`}`)
    for (const device of devices) printDevice(device, out)
    if (devices.length === 0) out.line('  no devices')
  }
  if (shared.length > 0) out.line('shared')
  for (const each of shared) out.line(`  ${kindName(each)} ${each.id}: ${each.holders.join(', ')}`)
  for (const { severity, code, domain, node, text } of problems) {
    const where = [domain, node].filter(each => each !== undefined).join(' ')
    out.warn(`${severity}: ${where === '' ? '' : `${where}: `}${text} (${code})`)
  }
}

function printDevice({ node, hostNode, deviceIds, resources }: PlanDevice, out: Output): void {
  const ids = deviceIds.length === 0 ? 'no SCMI device id' : `SCMI device ${deviceIds.join(', ')}`
  out.line(`  ${node}${hostNode === undefined || hostNode === node ? '' : ` = ${hostNode}`}: ${ids}`)
  for (const each of resources) {
    const { id, property, node: named, from } = each
    const notes = [property, named, from === 'host' ? 'host tree' : undefined].filter(
      each => each !== undefined,
    )
    out.line(`    ${kindName(each)} ${id ?? '?'} (${notes.join(', ')})`)
  }
}
