// Commands that change what domains hold: domain-add, domain-remove, device-attach, device-detach.
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { modePattern, socketMode, socketOwner } from '../config/accounts.ts'
import { type Discovery, discoveries } from '../config/names.ts'
import { checkSocketPath } from '../config/paths.ts'
import { readDeviceTree } from '../dt/fdt.ts'
import { maxBlobBytes } from '../dt/fdt-header.ts'
import { errorText, MediatorError } from '../errors.ts'
import { type Conduit, conduits } from '../guest-link/guest-link.ts'
import type { AskedDomain, AskedLink, Outcome } from '../lifecycle/views.ts'
import { type Release, releases } from '../scmi/protocols.ts'
import { type CommandSpec, type Context, integer, UsageError } from './command.ts'
import { kindName } from './show-commands.ts'

interface AddOptions {
  readonly dtb: string
  readonly domid?: number
  readonly agentId?: number
  readonly trapSocket?: string
  readonly smcId?: number
  readonly messageSocket?: string
  /** True without a path. */
  readonly vhostUser?: string | true
  readonly vhostUserClient?: string
  readonly xen?: boolean
  readonly uuid?: string
  readonly conduit?: Conduit
  readonly leaveArmed?: boolean
  readonly discovery?: Discovery
  readonly socketMode?: number
  readonly socketOwner?: { uid?: number; gid?: number }
  readonly release?: Release
  readonly versions?: Readonly<Record<string, string>>
}

function parseRelease(text: string): Release {
  const found = releases.find(each => each === text)
  if (found === undefined) throw new UsageError(`--release: expected ${releases.join(', ')}, not ${text}`)
  return found
}

/** `clock=2.0,power=2.0` */
function parseVersions(text: string): Readonly<Record<string, string>> {
  const pairs = text.split(',').map(part => /^([a-z-]+)=(\d+\.\d+)$/.exec(part))
  if (pairs.includes(null))
    throw new UsageError(
      `--versions: expected PROTOCOL=VERSION, as clock=2.0, with commas between, not ${text}`,
    )
  return Object.fromEntries(pairs.map(pair => [pair?.[1] ?? '', pair?.[2] ?? '']))
}

function parseConduit(text: string): Conduit {
  const found = conduits.find(each => each === text)
  if (found === undefined) throw new UsageError(`--conduit: expected ${conduits.join(', ')}, not ${text}`)
  return found
}

function parseMode(text: string): number {
  if (!new RegExp(modePattern).test(text))
    throw new UsageError(`--socket-mode: expected three octal digits, not ${text}`)
  return socketMode(text)
}

/** `auto`, `dense` or `identity`. */
function discovery(text: string): Discovery {
  const found = discoveries.find(each => each === text)
  if (found === undefined) throw new UsageError(`expected ${discoveries.join(', ')}, got "${text}"`)
  return found
}

export const domainAdd: CommandSpec<AddOptions> = {
  name: 'domain-add',
  args: '<NAME>',
  usage:
    '<NAME> --dtb FILE [--domid N] [--agent-id N] [--discovery MODE] [--release R] [--versions P=V,...] (--trap-socket PATH [--smc-id ID] | --message-socket PATH | --vhost-user [PATH] [--socket-mode MODE] [--socket-owner USER:GROUP] | --vhost-user-client PATH | --xen [--conduit smc|psci|off] [--smc-id ID] [--uuid UUID] [--leave-armed])',
  summary: 'Add a domain: give it an agent id and the devices of its partial device tree.',
  details: [
    'The tree is the one that xl passes to the guest as device_tree=. What it passes through is granted as a whole or not at all.',
    'The daemon makes the socket and listens there: the hypervisor side of the guest connects to it. A relative path is taken from the current directory.',
    "With --vhost-user alone the socket is NAME.sock beside the daemon's own, as /run/scmid/guest-a.sock. It has mode 0600 and the daemon's owner unless the options say otherwise, replaces one that nobody listens on any more, and goes with the domain and with the daemon.",
    'A domain is shown the versions that the firmware has, or older ones where every message that it can then send can be translated exactly; else it is refused, and the message named.',
    'With --xen the daemon traps the SMCs of the Xen domain of that --domid, which is paused meanwhile: create it with xl create -p, add it, then xl unpause it.',
    'With --vhost-user-client the VMM makes the socket and listens (QEMU: -chardev socket,server=on), and the daemon connects: such a guest goes on when the daemon is started again.',
  ],
  examples: [
    [
      'scmictl domain-add guest-a --dtb guest-a.dtb --trap-socket /run/scmid/guest-a.sock',
      'Add guest-a with the first free agent id.',
    ],
    [
      'scmictl -N domain-add guest-a --dtb guest-a.dtb --message-socket a.sock',
      'Only show what would be granted.',
    ],
    [
      'scmictl domain-add guest-a --dtb guest-a.dtb --domid 5 --xen',
      'Serve the Xen domain 5, whose Linux calls by SMC once its tree is changed.',
    ],
    [
      'scmictl domain-add guest-a --dtb guest-a.dtb --vhost-user --socket-mode 0660 --socket-owner :kvm',
      'Serve the virtio SCMI device of a QEMU guest, whose process runs in group kvm.',
    ],
  ],
  options: [
    { flags: '--dtb <file>', summary: "The guest's partial device tree blob.", required: true },
    { flags: '--domid <n>', summary: "The hypervisor's number of the domain.", parse: integer(0, 0x7fef) },
    {
      flags: '--agent-id <n>',
      summary: 'The SCMI agent id it shall have; else the first free one.',
      parse: integer(1, 0xfffffffe),
    },
    {
      flags: '--discovery <mode>',
      summary: "Whose ids it sees: dense, its own; identity, the firmware's; else by its tree.",
      parse: discovery,
    },
    {
      flags: '--release <release>',
      summary: "The SCMI release it is shown: 1.0 to 3.2, no newer than the firmware's.",
      parse: parseRelease,
    },
    {
      flags: '--versions <list>',
      summary: 'Versions of single protocols that it is shown, as clock=2.0,power=2.0.',
      parse: parseVersions,
    },
    { flags: '--trap-socket <path>', summary: 'Where its trapped calls and its shared memory come from.' },
    {
      flags: '--smc-id <id>',
      summary: "Function id of its calls, where not the configuration's.",
      parse: integer(1, 0xffffffff),
    },
    { flags: '--message-socket <path>', summary: 'Where its frames come from, without shared memory.' },
    {
      flags: '--vhost-user [path]',
      summary: 'Where its VMM connects, for a virtio SCMI device; else NAME.sock.',
    },
    {
      flags: '--vhost-user-client <path>',
      summary: 'Where its VMM listens, to have its virtio SCMI device served.',
    },
    { flags: '--xen', summary: 'Trap its SMCs through the hypervisor.' },
    {
      flags: '--conduit <who>',
      summary: 'Who serves its PSCI: smc changes its tree for that, psci does not; off: nobody.',
      parse: parseConduit,
      words: conduits,
    },
    { flags: '--uuid <uuid>', summary: 'The UUID that the domain must have.' },
    {
      flags: '--leave-armed',
      summary: 'Leave its calls to the next daemon when this one stops, not to Xen.',
    },
    { flags: '--socket-mode <mode>', summary: 'Who may connect, as of chmod; else 0600.', parse: parseMode },
    {
      flags: '--socket-owner <user:group>',
      summary: 'Whose the socket is, by name or number; either part may be left out.',
      parse: text => socketOwner(text),
    },
  ],
  modifies: true,
  daemon: 'yes',
  async run(context) {
    const { options, args, client, globals } = context
    const name = args[0] ?? ''
    const dtb = readTree(options.dtb)
    const spec: AskedDomain = {
      name,
      dtb,
      dtbPath: resolve(options.dtb),
      link: linkOf(options),
      ...(options.domid === undefined ? {} : { domid: options.domid }),
      ...(options.agentId === undefined ? {} : { agentId: options.agentId }),
      ...(options.discovery === undefined ? {} : { discovery: options.discovery }),
      ...(options.release === undefined ? {} : { release: options.release }),
      ...(options.versions === undefined ? {} : { versions: options.versions }),
    }
    return tell(context, await client().addDomain(spec, globals))
  },
}

/** Options that say where a guest comes from, and what goes with one of them alone. */
const linkFlags = {
  trapSocket: '--trap-socket',
  messageSocket: '--message-socket',
  vhostUser: '--vhost-user',
  vhostUserClient: '--vhost-user-client',
  xen: '--xen',
} as const
const companions = [
  ['smcId', '--smc-id', ['trapSocket', 'xen']],
  ['socketMode', '--socket-mode', ['vhostUser']],
  ['socketOwner', '--socket-owner', ['vhostUser']],
  ['conduit', '--conduit', ['xen']],
  ['uuid', '--uuid', ['xen']],
  ['leaveArmed', '--leave-armed', ['xen']],
] as const satisfies readonly [keyof AddOptions, string, readonly (keyof typeof linkFlags)[]][]

const usageOf = (key: keyof typeof linkFlags): string =>
  key === 'xen' ? linkFlags.xen : `${linkFlags[key]} ${key === 'vhostUser' ? '[PATH]' : 'PATH'}`

function linkOf(options: AddOptions): AskedLink {
  const keys = Object.keys(linkFlags) as (keyof typeof linkFlags)[]
  const [key, second] = keys.filter(each => options[each] !== undefined)
  if (key === undefined || second !== undefined)
    throw new UsageError(
      `'scmictl domain-add' requires ${key === undefined ? 'a link' : 'one link'}: ${keys.map(usageOf).join(', ')}.`,
    )
  for (const [option, flag, owners] of companions)
    if (options[option] !== undefined && !(owners as readonly string[]).includes(key))
      throw new UsageError(
        `'scmictl domain-add' ${flag}: goes with ${owners.map(each => linkFlags[each]).join(' or ')} only.`,
      )
  if (key === 'xen') return xenLink(options)
  if (key === 'vhostUser') return vhostUserLink(options)
  const path = checkSocketPath(resolve(options[key] ?? ''))
  const { smcId } = options
  switch (key) {
    case 'trapSocket':
      return { kind: 'trap-socket', path, ...(smcId === undefined ? {} : { smcId }) }
    case 'messageSocket':
      return { kind: 'message-socket', path }
    case 'vhostUserClient':
      return { kind: 'vhost-user', path, role: 'client' }
  }
}

function vhostUserLink({ vhostUser = true, socketMode: mode, socketOwner: owner }: AddOptions): AskedLink {
  return {
    kind: 'vhost-user',
    ...(vhostUser === true ? {} : { path: checkSocketPath(resolve(vhostUser)) }),
    role: 'server',
    ...(mode === undefined ? {} : { mode }),
    ...owner,
  }
}

function xenLink({ domid, uuid, conduit, smcId, leaveArmed }: AddOptions): AskedLink {
  if (domid === undefined)
    throw new UsageError("'scmictl domain-add' --xen: goes with --domid, by which Xen knows the domain.")
  return {
    kind: 'xen-smc',
    ...(uuid === undefined ? {} : { uuid }),
    ...(conduit === undefined ? {} : { conduit }),
    ...(smcId === undefined ? {} : { smcId }),
    ...(leaveArmed === undefined ? {} : { leaveArmed }),
  }
}

/** The blob, read as a tree once here, so that what is wrong with it is told with the name of the file. */
function readTree(file: string): Uint8Array {
  let bytes: Uint8Array
  try {
    const { size } = statSync(file)
    if (size > maxBlobBytes) throw new Error(`is larger than ${maxBlobBytes} bytes`)
    bytes = readFileSync(file)
  } catch (cause) {
    throw new MediatorError('SYSTEM', `${file}: ${errorText(cause)}`, { cause, path: file })
  }
  readDeviceTree(bytes, file)
  return bytes
}

export const domainRemove: CommandSpec = {
  name: 'domain-remove',
  args: '<Domain>',
  summary: 'Remove a domain: take back its devices, reset its agent id and close its link.',
  options: [],
  modifies: true,
  daemon: 'yes',
  async run(context) {
    const { args, client, globals } = context
    return tell(context, await client().removeDomain(args[0] ?? '', globals))
  },
}

const deviceDetails = [
  'A device is a node path of the host tree, its last component, or an SCMI device id.',
] as const

export const deviceAttach: CommandSpec = {
  name: 'device-attach',
  args: '<Domain> <device>',
  summary: 'Give a device with all its SCMI resources to a domain.',
  details: deviceDetails,
  examples: [['scmictl device-attach guest-a /soc/i2c@e6510000', 'Give the I2C controller to guest-a.']],
  options: [],
  modifies: true,
  daemon: 'yes',
  async run(context) {
    const { args, client, globals } = context
    return tell(context, await client().attachDevice(args[0] ?? '', args[1] ?? '', globals))
  },
}

export const deviceDetach: CommandSpec = {
  name: 'device-detach',
  args: '<Domain> <device>',
  summary: 'Take a device with its SCMI resources from a domain.',
  details: deviceDetails,
  options: [],
  modifies: true,
  daemon: 'yes',
  async run(context) {
    const { args, client, globals } = context
    return tell(context, await client().detachDevice(args[0] ?? '', args[1] ?? '', globals))
  },
}

/** Success is silent; a dry run and -v tell what it comes to, and warnings go to stderr. */
export function tell({ out, globals }: Pick<Context, 'out' | 'globals'>, outcome: Outcome): number {
  for (const { severity, node, text, code } of outcome.problems)
    out.warn(`${severity}: ${node === undefined ? '' : `${node}: `}${text} (${code})`)
  if (out.json) out.data(outcome)
  else if (outcome.dryRun || globals.verbose) {
    out.line(
      `${outcome.domain}: agent ${outcome.agentId}${outcome.dryRun ? ' (dry run, nothing was done)' : ''}`,
    )
    for (const each of outcome.granted)
      out.line(`  grant ${kindName(each)} ${each.id} (${each.node} ${each.property})`)
    for (const each of outcome.revoked)
      out.line(`  revoke ${kindName(each)} ${each.id} (${each.node} ${each.property})`)
    for (const { agentId, deviceId, allow } of outcome.permissionCommands)
      out.line(
        `  BASE_SET_DEVICE_PERMISSIONS agent_id=${agentId} device_id=${deviceId} flags=${allow ? 1 : 0}`,
      )
  }
  return outcome.problems.some(problem => problem.severity === 'error') ? 1 : 0
}
