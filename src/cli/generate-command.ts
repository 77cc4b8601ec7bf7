// `scmictl generate`: a guest's SCMI nodes and the lines of its configuration, from device trees or from the daemon.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { directories, guestSocket } from '../config/paths.ts'
import { version } from '../config/version.ts'
import type { DraftNode } from '../dt/draft.ts'
import type { DeviceNode, DeviceTree } from '../dt/fdt.ts'
import { readDeviceTree } from '../dt/fdt.ts'
import { graftedTree } from '../dt/grafted-tree.ts'
import { loadDeviceTree } from '../dt/load.ts'
import { nodeAt } from '../dt/node.ts'
import { type Conduit, defaultShmemAddress, defaultShmemBytes } from '../dt/scmi-fragment.ts'
import { writeDts } from '../dt/write-dts.ts'
import { writeFdt } from '../dt/write-fdt.ts'
import { errorText, MediatorError } from '../errors.ts'
import { names as isNamed } from '../lifecycle/domain.ts'
import type { DeviceView, DomainView } from '../lifecycle/views.ts'
import { type Generated, generate } from '../permissions/generate.ts'
import { type LabelOrder, labelOf, type ResourceNames } from '../permissions/numbering.ts'
import { planHostDevice } from '../permissions/plan.ts'
import { spaceOf } from '../scmi/space.ts'
import { type CommandSpec, type Context, choice, integer, UsageError } from './command.ts'
import { libvirtLines, type QemuFacts, qemuArguments, qemuLines, xlLines } from './generate-lines.ts'
import { type Pair, pair } from './pair.ts'

const formats = ['dts', 'dtb', 'xl', 'qemu', 'libvirt', 'json'] as const

interface GenerateOptions {
  readonly host?: string
  readonly domain?: Pair
  readonly device?: readonly string[]
  readonly conduit?: 'smc' | 'virtio'
  readonly discovery?: 'dense' | 'identity'
  readonly smcId?: number
  readonly shmemAddress?: bigint
  readonly onto?: string
  readonly tree?: string
  /** True without a path. */
  readonly vhostUser?: string | true
  readonly vhostUserClient?: string
  readonly memory?: string
  readonly format?: (typeof formats)[number]
  readonly output?: string
}

/** As SiP calls of Arm's calling convention go, and as scmid.yaml's guests.smcId has it where it is not set. */
const defaultSmcId = 0x8200_0002

const address = (text: string): bigint => {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? BigInt(text) : -1n
  if (value <= 0n || value >= 1n << 48n || value % 0x1000n !== 0n)
    throw new UsageError(`expected the address of a page below 2^48, got "${text}"`)
  return value
}

const size = (text: string): string => {
  if (!/^[1-9]\d*[MG]$/.test(text)) throw new UsageError(`expected a size such as 512M or 2G, got "${text}"`)
  return text
}

export const generateCommand: CommandSpec<GenerateOptions> = {
  name: 'generate',
  args: '[Domain]',
  usage:
    '([Domain] | --host FILE) [--domain NAME=FILE] [--device DEVICE ...] [--conduit smc|virtio] [--format FORMAT] [-o FILE]',
  summary: "Make a guest's SCMI nodes and configuration lines from what its devices come to.",
  details: [
    'With a Domain, or without --host, the daemon is asked: for the domain, its tree, its devices, and what the firmware calls its resources. With --host nothing but files is read.',
    "The tree is the domain's partial tree with the SCMI nodes made anew: only protocols that it holds, and its devices' clocks, resets, power domains, supplies and sensors pointed at them. What a device does not say itself it takes from the host node behind xen,path. --device passes a device of the host tree without a node of its own.",
    'libxl and Xen copy /passthrough and /aliases alone, so the SCMI nodes stand below /passthrough. --onto puts them at /firmware of a whole tree instead, such as QEMU dumps with -machine dumpdtb=.',
    'A dom0less guest starts before the daemon does and is served over virtio only.',
    'Warnings and what could not be taken along go to stderr. Exit code 1: the trees contradict each other.',
  ],
  examples: [
    [
      'scmictl generate --host host.dtb --domain agl=agl.dtb --format dtb -o /etc/xen/agl-scmi.dtb',
      "agl's tree with its own SCMI nodes, offline.",
    ],
    [
      'scmictl generate agl --host host.dtb --device /soc/can@e66c0000 --format xl',
      'What xl.cfg says for a guest with one device that has no partial tree yet.',
    ],
    [
      'scmictl generate agl --conduit virtio --onto virt.dtb --format dtb -o agl-virt.dtb',
      "QEMU's tree with the SCMI nodes of a domain that the daemon has.",
    ],
  ],
  options: [
    { flags: '--host <file>', summary: "The host's device tree blob; else the daemon's." },
    {
      flags: '--domain <name=file>',
      summary: 'A domain and its partial device tree blob.',
      parse: pair('NAME=FILE'),
    },
    {
      flags: '--device <device>',
      summary: 'A device of the host tree: path, last component or SCMI device id. Repeats.',
      repeats: true,
    },
    {
      flags: '--conduit <conduit>',
      summary: 'smc (default) or virtio: how the guest reaches the daemon.',
      ...choice(['smc', 'virtio']),
    },
    {
      flags: '--discovery <mode>',
      summary: "dense (default): the guest's ids count from 0. identity: the firmware's ids.",
      ...choice(['dense', 'identity']),
    },
    { flags: '--smc-id <id>', summary: 'Function id of the calls.', parse: integer(1, 0xffffffff) },
    {
      flags: '--shmem-address <address>',
      summary: 'Guest address of the shared memory, 0x22001000 by default.',
      parse: address,
    },
    { flags: '--onto <file>', summary: 'A whole device tree blob to put the SCMI nodes into.' },
    { flags: '--tree <path>', summary: 'Where the toolstack will find the tree, for xl, qemu and libvirt.' },
    {
      flags: '--vhost-user [path]',
      summary: 'For qemu and libvirt: where the daemon listens for QEMU; else NAME.sock.',
    },
    {
      flags: '--vhost-user-client <path>',
      summary: 'For qemu and libvirt: where QEMU listens for the daemon; the usual way.',
    },
    { flags: '--memory <size>', summary: 'RAM of the guest, for qemu: 512M, 2G.', parse: size },
    { flags: '--format <format>', summary: `${formats.join(', ')}; dts by default.`, ...choice(formats) },
    { flags: '-o, --output <file>', summary: 'Write there, not to stdout.' },
  ],
  modifies: false,
  daemon: 'may',
  async run(context) {
    const { options, globals, out } = context
    const format = globals.json ? 'json' : (options.format ?? 'dts')
    const isQemu = format === 'qemu' || format === 'libvirt'
    if (isQemu && options.conduit === 'smc')
      throw new UsageError(
        `'scmictl generate' --format ${format}: QEMU hands over no SMC; its guests use virtio.`,
      )
    const found = await gather(context)
    const conduit = conduitOf(options, found.view, isQemu)
    const discovery = options.discovery ?? found.view?.discovery ?? 'dense'
    const made = generate({ ...found, conduit, discovery })
    // Whom a guest shares with is the plan's of all domains; here there is one.
    const problems = made.problems.filter(({ code }) => code !== 'resource-shared')
    for (const { severity, node, text, code } of problems)
      out.warn(`${severity}: ${node === undefined ? '' : `${node}: `}${text} (${code})`)
    for (const text of [...found.warnings, ...made.notes]) out.warn(`warning: ${text}`)
    write(context, format, { ...found, made, conduit })
    return problems.some(({ severity }) => severity === 'error') ? 1 : 0
  },
}

interface Found {
  readonly name: string
  readonly host: DeviceTree | undefined
  readonly partial: DeviceTree | undefined
  readonly devices: readonly DeviceNode[]
  /** The domain as the daemon has it. */
  readonly view: DomainView | undefined
  /** What the firmware calls its resources; empty without a daemon. */
  readonly names: ResourceNames
  /** How the domain's guest counts, where it has ids of its own. */
  readonly order: LabelOrder | undefined
  /** Where the daemon's sockets are: those of the daemon that was asked, else the usual ones. */
  readonly run: string
  readonly warnings: readonly string[]
}

/** The trees and devices that are asked for, from files or from the daemon. */
async function gather({ args: [word], options, client }: Context<GenerateOptions>): Promise<Found> {
  const { host: hostFile, domain, device = [] } = options
  if (word !== undefined && domain !== undefined && word !== domain.name)
    throw new UsageError(`'scmictl generate' is asked for ${word} and for --domain ${domain.name}.`)
  const asked = hostFile === undefined && word !== undefined && domain === undefined
  const name = word ?? domain?.name ?? 'guest'
  const view = asked ? await client().domain(name) : undefined
  if (view === undefined && domain === undefined && device.length === 0)
    throw new UsageError(
      "'scmictl generate' requires a Domain of the daemon, --domain NAME=FILE or --device DEVICE.",
    )
  const info = hostFile === undefined ? await client().info() : undefined
  const file = hostFile ?? info?.host
  if (file === undefined)
    throw new MediatorError('NOT_SUPPORTED', 'the daemon has no host tree: name one with --host')
  const host = loadDeviceTree(file)
  const names = hostFile === undefined ? firmwareNames(await client().devices()) : new Map()
  const warnings: string[] = []
  const partial = domain !== undefined ? loadDeviceTree(domain.value) : partialOf(view, warnings)
  return {
    name: view?.name ?? name,
    host,
    partial,
    devices: [...attachedBeside(view, partial, host), ...device.map(text => hostDevice(host, text))],
    view,
    names,
    run: info === undefined ? directories().run : dirname(info.socket),
    order: view?.discovery === 'dense' ? guestOrder(view.devices, names) : undefined,
    warnings,
  }
}

/** What the firmware calls its resources, as far as devices name them. */
function firmwareNames(devices: readonly DeviceView[]): ResourceNames {
  const names = new Map<number, string[]>()
  for (const { protocol, namespace = 0, id, name = '' } of devices.flatMap(each => each.resources)) {
    if (id === null) continue
    const space = spaceOf(protocol, namespace)
    const list = names.get(space) ?? []
    while (list.length <= id) list.push('')
    list[id] = name
    names.set(space, list)
  }
  return names
}

/** Labels by the ids that the guest has; a place whose resource is gone keeps an empty one. */
function guestOrder(devices: readonly DeviceView[], names: ResourceNames): LabelOrder {
  const order = new Map<number, string[]>()
  for (const { protocol, namespace = 0, id, guestId } of devices.flatMap(each => each.resources)) {
    if (id === null || guestId === undefined) continue
    const space = spaceOf(protocol, namespace)
    const list = order.get(space) ?? []
    while (list.length <= guestId) list.push('')
    list[guestId] = labelOf(names, space, id)
    order.set(space, list)
  }
  return order
}

/** The tree that the daemon was given, from its file, if that is still the same. */
function partialOf(view: DomainView | undefined, warnings: string[]): DeviceTree | undefined {
  if (view?.dtbPath === undefined) return undefined
  const path = view.dtbPath
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    throw new MediatorError(
      'SYSTEM',
      `${path}: ${errorText(cause)}: name ${view.name}'s tree with --domain`,
      {
        cause,
        path,
      },
    )
  }
  if (createHash('sha256').update(bytes).digest('hex') !== view.dtbHash)
    warnings.push(
      `${path} is not the tree that ${view.name} was added with any more: it is taken as it is now`,
    )
  return readDeviceTree(bytes, path)
}

/** Devices that the domain has and its tree does not: an operator attached them. */
function attachedBeside(
  view: DomainView | undefined,
  partial: DeviceTree | undefined,
  host: DeviceTree,
): readonly DeviceNode[] {
  return (view?.devices ?? []).flatMap(({ node, hostNode = node }) => {
    if (partial !== undefined && nodeAt(partial, node) !== undefined) return []
    return nodeAt(host, hostNode) ?? []
  })
}

function hostDevice(host: DeviceTree, text: string): DeviceNode {
  const exact = nodeAt(host, text)
  if (exact !== undefined) return exact
  const found = planHostDevice(host, device => isNamed(device, text))
  const [only] = found
  if (only === undefined || found.length > 1)
    throw new MediatorError(
      'DEVICE_UNKNOWN',
      only === undefined
        ? `${host.file}: no device is called "${text}"`
        : `${host.file}: "${text}" may mean ${found.map(({ node }) => node).join(' and ')}`,
      { path: host.file },
    )
  return nodeAt(host, only.node) as DeviceNode
}

function conduitOf(options: GenerateOptions, view: DomainView | undefined, isQemu: boolean): Conduit {
  const link = view?.link
  const usual = isQemu || link?.kind === 'vhost-user' ? 'virtio' : 'smc'
  if ((options.conduit ?? usual) === 'virtio') {
    const misplaced = [
      ['--smc-id', options.smcId],
      ['--shmem-address', options.shmemAddress],
    ].find(([, value]) => value !== undefined)
    if (misplaced !== undefined)
      throw new UsageError(`'scmictl generate' ${misplaced[0]}: goes with smc only.`)
    return { kind: 'virtio' }
  }
  const linkSmcId = link !== undefined && 'smcId' in link ? link.smcId : undefined
  return {
    kind: 'smc',
    smcId: options.smcId ?? linkSmcId ?? defaultSmcId,
    shmemAddress: options.shmemAddress ?? defaultShmemAddress,
    shmemBytes: defaultShmemBytes,
  }
}

/** As the options have it, else as the daemon has it; else QEMU listens. */
function socketOf(
  { vhostUser, vhostUserClient }: GenerateOptions,
  { view, name, run }: Found,
): Pick<QemuFacts, 'socket' | 'qemuListens' | 'access'> {
  if (vhostUser !== undefined && vhostUserClient !== undefined)
    throw new UsageError("'scmictl generate' takes one of --vhost-user and --vhost-user-client.")
  const link = view?.link.kind === 'vhost-user' ? view.link : undefined
  const own = link?.role === 'server' ? link : undefined
  if (vhostUser === true || (vhostUser === undefined && vhostUserClient === undefined && own !== undefined))
    return { socket: own?.path ?? guestSocket({ run }, name), qemuListens: false, access: own }
  const asked = vhostUser ?? vhostUserClient
  return { socket: asked ?? link?.path ?? `/run/${name}-scmi.sock`, qemuListens: vhostUser === undefined }
}

interface Written extends Found {
  readonly made: Generated
  readonly conduit: Conduit
}

function write(
  { options, out }: Context<GenerateOptions>,
  format: (typeof formats)[number],
  all: Written,
): void {
  const { made, name, conduit } = all
  const base = options.onto === undefined ? undefined : loadDeviceTree(options.onto)
  const root: DraftNode = base === undefined ? made.root : graftedTree(base, made.fragment)
  const reserved = base?.reservations ?? []
  const dts = (): string => writeDts(root, comment(all, options), reserved)
  const dtb = (): Uint8Array => writeFdt(root, reserved)
  const shmemAddress = conduit.kind === 'smc' ? conduit.shmemAddress : undefined
  const xl = { name, tree: options.tree ?? `/etc/xen/${name}.dtb`, assignment: made.assignment, shmemAddress }
  const qemu = {
    name,
    tree: options.tree ?? `${name}.dtb`,
    ...socketOf(options, all),
    memory: options.memory ?? '1G',
  }
  const lines = (list: readonly string[]): string => `${list.join('\n')}\n`
  switch (format) {
    case 'dts':
      return put(dts())
    case 'dtb':
      if (options.output === undefined && out.terminal)
        throw new UsageError(
          "'scmictl generate' --format dtb: a blob is not for a terminal; name a file with -o.",
        )
      return put(dtb())
    case 'xl':
      return put(lines(xlLines(xl)))
    case 'qemu':
      return put(lines(qemuLines(qemu)))
    case 'libvirt':
      return put(lines(libvirtLines(qemu)))
    case 'json': {
      const document = {
        name,
        conduit: conduit.kind,
        ...(conduit.kind === 'smc'
          ? { smcId: conduit.smcId, shmemAddress: `0x${conduit.shmemAddress.toString(16)}` }
          : { qemu: qemuArguments(qemu).flat() }),
        protocols: [...made.fragment.providers.keys()],
        devices: made.devices,
        dts: dts(),
        dtb: Buffer.from(dtb()).toString('base64'),
        xl: xlLines(xl),
        problems: made.problems.filter(({ code }) => code !== 'resource-shared'),
        notes: [...all.warnings, ...made.notes],
      }
      if (options.output === undefined) out.data(document)
      else put(`${JSON.stringify(document)}\n`)
    }
  }

  function put(data: string | Uint8Array): void {
    if (options.output === undefined) {
      out.verbatim(data)
      return
    }
    try {
      writeFileSync(options.output, data)
    } catch (cause) {
      throw new MediatorError('SYSTEM', `${options.output}: ${errorText(cause)}`, {
        cause,
        path: options.output,
      })
    }
  }
}

function comment({ name, conduit, partial, host }: Written, options: GenerateOptions): readonly string[] {
  const from = [partial?.file, ...(options.device ?? []).map(device => `device ${device}`)].filter(Boolean)
  const lines = [
    `SCMI of ${name}: made by scmictl generate ${version}. Make it anew instead of editing it.`,
    `From ${from.join(', ') || 'no devices'}; host tree ${host?.file ?? 'none'}.`,
  ]
  if (options.onto !== undefined) lines.push(`Onto ${options.onto}.`)
  if (conduit.kind === 'smc')
    lines.push(
      `Calls 0x${conduit.smcId.toString(16)}, shared memory at 0x${conduit.shmemAddress.toString(16)}: scmid puts a page there; the guest's RAM and`,
      'iomem leave it alone. Dom0less guests start before scmid and are served over virtio only.',
    )
  else lines.push('The device itself is virtio (id 32); scmid serves it over vhost-user.')
  return lines
}
