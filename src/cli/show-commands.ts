// Commands that only look: status, info, list, agent-list, device-list.

import { setTimeout as sleep } from 'node:timers/promises'
import { MediatorError } from '../errors.ts'
import type { AgentView, DeviceView, DomainView, ResourceView } from '../lifecycle/views.ts'
import { protocolOf } from '../scmi/protocols.ts'
import { type CommandSpec, integer } from './command.ts'
import type { Column, Output } from './output.ts'

const long = { flags: '-l, --long', summary: 'All details.' } as const

/** `clock`, or the number of a protocol without a name here. */
const protocolName = (id: number): string => protocolOf(id)?.key ?? `0x${id.toString(16)}`

/** `clock`; where a protocol numbers several kinds apart, the kind: `pin group`, if the id is known. */
export const kindName = ({
  protocol,
  id,
  namespace = 0,
}: {
  readonly protocol: number
  readonly id: number | null
  readonly namespace?: number
}): string =>
  (id === null ? undefined : protocolOf(protocol)?.namespaces?.[namespace]?.name) ?? protocolName(protocol)

const protocolNames = (ids: readonly number[]): string => ids.map(protocolName).join(',')

/** Milliseconds between two tries of a daemon that is coming up. */
const retryMs = 200

export const status: CommandSpec<{ wait?: number }> = {
  name: 'status',
  args: '',
  summary: 'Tell whether the daemon is well; the exit code tells it too.',
  details: [
    'Exit code 0: it runs and all is well. 1: it runs degraded, each problem on a line of its own, or it cannot be reached.',
  ],
  options: [
    {
      flags: '--wait <seconds>',
      summary: 'Wait so long for a daemon that is starting.',
      parse: integer(0, 86_400),
    },
  ],
  modifies: false,
  daemon: 'yes',
  async run({ client, options: { wait = 0 }, out }) {
    for (let left = wait * 1000; ; left -= retryMs) {
      try {
        const view = await client().status()
        out.document(view, () => {
          out.marked(view.state, '')
          for (const problem of view.problems) out.line(`  ${problem}`)
        })
        return view.state === 'ok' ? 0 : 1
      } catch (error) {
        if (!(error instanceof MediatorError) || error.code !== 'DAEMON_UNREACHABLE') throw error
        if (left > 0) {
          await sleep(retryMs)
          continue
        }
        if (!out.json) throw error
        out.data({ state: 'unreachable', problems: [error.message] })
        return 1
      }
    }
  },
}

export const info: CommandSpec = {
  name: 'info',
  args: '',
  summary: 'Print what the daemon is, what it serves and what its firmware can do.',
  options: [],
  modifies: false,
  daemon: 'yes',
  async run({ client, out }) {
    const view = await client().info()
    out.document(view, () => {
      const { firmware, agents, audit } = view
      const facts: [string, string | number | undefined][] = [
        ['version', view.version],
        ['pid', view.pid],
        ['started', view.startedAt],
        ['socket', view.socket],
        ['config', view.config],
        ['host_tree', view.host],
        ['firmware_link', firmware.link],
        ['firmware_vendor', [firmware.vendor, firmware.subVendor].filter(Boolean).join(' ')],
        ['firmware_version', `0x${firmware.implementationVersion.toString(16)}`],
        ['firmware_channels', firmware.channels],
        ['firmware_agents', firmware.agents],
        ['permission_commands', firmware.permissionCommands ? 'yes' : 'no'],
        ['enforcement', firmware.enforcement],
        ...firmware.protocols.map((each): [string, string] => [
          `protocol_0x${each.id.toString(16)}`,
          `${protocolName(each.id)} ${each.version >>> 16}.${each.version & 0xffff}${each.resources === undefined ? '' : `, ${each.resources} resources`}`,
        ]),
        ['domains', view.domains],
        ['agents_free', agents.free],
        ['agents_assigned', agents.assigned],
        ['agents_quarantined', agents.quarantined],
        ['audit_log', audit.path],
        ['audit_records', audit.records],
        ['audit_lost', audit.lost],
      ]
      for (const [name, value] of facts) out.line(`${name.padEnd(22)} : ${value ?? '-'}`)
    })
    return 0
  },
}

const domainColumns: readonly Column<DomainView>[] = [
  { title: 'Name', width: 32, of: each => each.name },
  { title: 'ID', width: 5, right: true, of: each => each.domid },
  { title: 'Agent', width: 5, right: true, of: each => each.agentId },
  { title: 'State', width: 8, of: each => each.state },
  { title: 'Link', width: 14, of: each => each.link.kind },
  { title: 'Discovery', width: 9, of: each => each.discovery },
  { title: 'Up', width: 3, of: each => (each.connected ? 'yes' : 'no') },
  { title: 'Devices', width: 7, right: true, of: each => each.devices.length },
  { title: 'Messages', width: 10, right: true, of: each => each.counters.messages },
  { title: 'Denied', width: 8, right: true, of: each => each.counters.denied },
  { title: 'Errors', width: 8, right: true, of: each => each.counters.errors },
]

export const list: CommandSpec<{ long?: boolean }> = {
  name: 'list',
  args: '[Domain]',
  summary: 'List domains: agent id, state, link, devices, messages.',
  details: [
    'A domain is named by its name or its domid. Discovery says whose ids the guest sees: dense, its own; identity, those of the firmware. Up says whether it is connected. Denied counts messages that were refused or answered with a placeholder.',
  ],
  options: [{ ...long, summary: 'All details, as JSON, as xl does.' }],
  modifies: false,
  daemon: 'yes',
  async run({ client, args: [name], options, out }) {
    const domains = name === undefined ? await client().domains() : [await client().domain(name)]
    if (options.long === true) out.data(domains)
    else out.document(domains, () => out.table(domains, domainColumns))
    return 0
  },
}

export const agentList: CommandSpec = {
  name: 'agent-list',
  args: '',
  summary: 'List the agents of the firmware: who holds them, which are free or quarantined.',
  details: [
    'Provenance tells how the id is known: discovered, the channel said so; indexed, the platform listed it; declared, the configuration says so; virtual, the daemon made it up.',
  ],
  options: [],
  modifies: false,
  daemon: 'yes',
  async run({ client, out }) {
    const agents = await client().agents()
    out.document(agents, () => out.table(agents, agentColumns(agents)))
    return 0
  },
}

function agentColumns(agents: readonly AgentView[]): readonly Column<AgentView>[] {
  const reason: Column<AgentView> = { title: 'Reason', width: 0, of: each => each.reason }
  return [
    { title: 'Agent', width: 5, right: true, of: each => each.agentId },
    { title: 'Channel', width: 7, right: true, of: each => each.channel },
    { title: 'Name', width: 16, of: each => each.name },
    { title: 'State', width: 11, of: each => each.state },
    { title: 'Provenance', width: 10, of: each => each.provenance },
    { title: 'Domain', width: 24, of: each => each.domain },
    { title: 'ID', width: 5, right: true, of: each => each.domid },
    { title: 'Denials', width: 8, right: true, of: each => each.denials },
    { title: 'Protocols', width: 32, of: each => protocolNames(each.protocols) },
    ...(agents.some(each => each.reason !== undefined) ? [reason] : []),
  ]
}

const deviceColumns: readonly Column<DeviceView>[] = [
  { title: 'Device', width: 40, of: each => each.hostNode ?? each.node },
  { title: 'Ids', width: 8, of: each => each.deviceIds.join(',') },
  { title: 'Domain', width: 24, of: each => each.domain },
  { title: 'Resources', width: 0, of: each => resourceCounts(each.resources) },
]

/** `clock 2, power 1` */
function resourceCounts(resources: readonly ResourceView[]): string {
  const counts = new Map<string, Set<number | null>>()
  for (const each of resources) {
    const kind = kindName(each)
    counts.set(kind, (counts.get(kind) ?? new Set()).add(each.id))
  }
  return [...counts].map(([kind, ids]) => `${kind} ${ids.size}`).join(', ')
}

export const deviceList: CommandSpec<{ long?: boolean }> = {
  name: 'device-list',
  args: '[Domain]',
  summary: 'List devices with their SCMI device ids and the domain that holds them.',
  options: [{ ...long, summary: 'A line for each resource.' }],
  modifies: false,
  daemon: 'yes',
  async run({ client, args: [domain], options, out }) {
    const devices = await client().devices(domain)
    out.document(devices, () => {
      if (options.long === true) printResources(devices, out)
      else out.table(devices, deviceColumns)
    })
    return 0
  },
}

function printResources(devices: readonly DeviceView[], out: Output): void {
  const rows = devices.flatMap(device => device.resources.map(resource => ({ device, resource })))
  out.table(rows, [
    ...deviceColumns
      .slice(0, 3)
      .map(({ of, ...column }) => ({ ...column, of: (row: Row) => of(row.device) })),
    { title: 'Protocol', width: 12, of: row => kindName(row.resource) },
    { title: 'Id', width: 5, right: true, of: row => row.resource.id ?? undefined },
    ...(rows.some(({ resource }) => resource.guestId !== undefined) ? [guestColumn] : []),
    { title: 'Name', width: 16, of: row => row.resource.name },
    { title: 'Property', width: 0, of: row => row.resource.property },
  ])
}

const guestColumn: Column<Row> = {
  title: 'Guest',
  width: 5,
  right: true,
  of: row => row.resource.guestId,
}

interface Row {
  readonly device: DeviceView
  readonly resource: ResourceView
}
