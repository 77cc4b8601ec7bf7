// Commands about the hypervisor's own domains: gate-list, hold, release.
import type { GatedDomainView } from '../lifecycle/views.ts'
import type { CommandSpec, Context } from './command.ts'

/** As `xl list` has its columns. */
const row = (name: string, id: string, state: string, agent: string, held: string, reason: string): string =>
  `${name.padEnd(32)} ${id.padStart(5)} ${state.padEnd(9)} ${agent.padStart(5)} ${held.padEnd(4)} ${reason}`.trimEnd()

export const gateList: CommandSpec = {
  name: 'gate-list',
  args: '',
  summary: "List the hypervisor's domains, and what became of each.",
  details: [
    'arriving: held until its configuration is there. granting: its plan is being carried out. served: it has its rights. denied: it has none, and why. unmanaged: its tree has no SCMI node.',
  ],
  options: [],
  modifies: false,
  daemon: 'yes',
  async run({ client, out }) {
    const domains = await client().gatedDomains()
    if (out.json) return void out.data(domains)
    out.line(row('Name', 'ID', 'State', 'Agent', 'Held', ''))
    for (const { name = '-', domid, state, agentId, held, reason = '' } of domains)
      out.line(row(name, String(domid), state, String(agentId ?? '-'), held ? 'yes' : '-', reason))
    return undefined
  },
}

export const hold: CommandSpec = {
  name: 'hold',
  args: '<Domain>',
  summary: 'Pause a domain of the hypervisor until it is released.',
  details: [
    'A domain that is being started is held anyhow, until it has its rights, and let go by itself then: for such a one this only makes sure of it, as the hotplug script vif-scmi does. Any other stays paused until scmictl release. Pauses are counted: the domain runs when xl has let it go too.',
  ],
  examples: [['scmictl hold 5', 'Make sure that domain 5 does not run before it has its rights.']],
  options: [],
  modifies: true,
  daemon: 'yes',
  run: context => change(context, 'hold'),
}

export const release: CommandSpec = {
  name: 'release',
  args: '<Domain>',
  summary: 'Let a held domain go.',
  details: ['One that is still being started is waited for no longer: it runs without SCMI.'],
  options: [],
  modifies: true,
  daemon: 'yes',
  run: context => change(context, 'release'),
}

async function change({ args, client, out, globals }: Context, verb: 'hold' | 'release'): Promise<number> {
  const name = args[0] ?? ''
  const daemon = client()
  const changed = globals.dryRun
    ? (await daemon.gatedDomains()).find(each => each.name === name || String(each.domid) === name)
    : await (verb === 'hold' ? daemon.holdDomain(name) : daemon.releaseDomain(name))
  if (changed === undefined) {
    out.warn(`${name} is not a domain of this hypervisor`)
    return 1
  }
  if (out.json) out.data(changed)
  else if (globals.dryRun || globals.verbose) out.line(stateText(changed))
  return 0
}

/** One line about a domain. */
export const stateText = ({ name, domid, state, held, agentId, reason }: GatedDomainView): string =>
  [
    `domain ${domid}${name === undefined ? '' : ` (${name})`}: ${state}`,
    agentId === undefined ? '' : `, agent ${agentId}`,
    held ? ', held' : '',
    reason === undefined ? '' : `: ${reason}`,
  ].join('')
