// What a guest's configuration says beside its tree, in each toolstack's own notation. Text only, from facts that
// permissions/generate.ts found.
import { guestRam, lowestInRam, type XenAssignment } from '../dt/xen-assignment.ts'

export interface XlFacts {
  readonly name: string
  /** Where xl finds the tree. */
  readonly tree: string
  readonly assignment: XenAssignment
  /** Guest address of the shared memory; undefined for virtio. */
  readonly shmemAddress: bigint | undefined
}

/** Lines for xl.cfg. */
export function xlLines({ name, tree, assignment, shmemAddress }: XlFacts): readonly string[] {
  const { dtdev, unconfined, iomem, irqs } = assignment
  const lines = [`# SCMI of ${name}: made by scmictl generate`, `device_tree = ${quoted(tree)}`]
  if (dtdev.length > 0) lines.push(`dtdev = [ ${dtdev.map(quoted).join(', ')} ]`)
  const frames = iomem.map(({ hostFrame, count, guestFrame }) => {
    const at = guestFrame === hostFrame ? '' : `@${guestFrame.toString(16)}`
    return quoted(`${hostFrame.toString(16)},${count.toString(16)}${at}`)
  })
  if (frames.length > 0) lines.push(`iomem = [ ${frames.join(', ')} ]`)
  if (irqs.length > 0) lines.push(`irqs = [ ${irqs.join(', ')} ]`)
  for (const path of [...dtdev, ...unconfined])
    lines.push(`# the host's tree marks it at boot: fdt set ${path} xen,passthrough`)
  for (const path of unconfined)
    lines.push(`# no IOMMU confines ${path}: what masters the bus reaches all memory; no dtdev for it`)
  if (shmemAddress !== undefined)
    lines.push(
      `# no iomem for the shared memory at 0x${shmemAddress.toString(16)}: scmid puts a page of its own there`,
    )
  else
    lines.push(
      '# virtio: xl has no option for it; the guest needs a device model that offers vhost-user-scmi',
    )
  lines.push('# no arm_sci: the firmware is reached through scmid, not through Xen')
  const lowest = lowestInRam(iomem)
  if (lowest !== undefined) {
    const mebibytes = (lowest - guestRam.start) >> 20n
    lines.push(
      `# memory: at most ${mebibytes}, or the guest's RAM reaches its device at 0x${lowest.toString(16)}`,
    )
  }
  lines.push('# a dom0less guest starts before scmid: it is served over virtio only')
  return lines
}

export interface QemuFacts {
  readonly name: string
  /** The vhost-user socket, and whether QEMU listens there or scmid. */
  readonly socket: string
  readonly qemuListens: boolean
  /** Who may connect to scmid's socket, where the daemon was asked. */
  readonly access?: { readonly mode?: string; readonly uid?: number; readonly gid?: number } | undefined
  /** Where the tree lies. */
  readonly tree: string
  /** RAM as QEMU takes it: 512M, 2G. */
  readonly memory: string
}

/** QEMU's arguments, each option with its value; guest memory is shared, because scmid reads it. */
export const qemuArguments = ({
  socket,
  qemuListens,
  tree,
  memory,
}: QemuFacts): readonly (readonly [string, string])[] => [
  ['-machine', 'virt,memory-backend=mem'],
  ['-m', memory],
  ['-object', `memory-backend-memfd,id=mem,size=${memory},share=on`],
  // Where QEMU listens it starts when scmid has connected, and the guest outlives a restart of scmid.
  ['-chardev', `socket,id=scmi,path=${socket.replaceAll(',', ',,')}${qemuListens ? ',server=on' : ''}`],
  ['-device', 'vhost-user-scmi-pci,chardev=scmi,id=scmi0'],
  ['-dtb', tree],
]

/** A command line to be continued: one option a line. */
export const qemuLines = (facts: QemuFacts): readonly string[] =>
  qemuArguments(facts).map(([option, value], index, all) => {
    const shown = /^[\w./:,=@+-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`
    return `${option} ${shown}${index < all.length - 1 ? ' \\' : ''}`
  })

/** Elements for a domain of libvirt, which has no device of its own for SCMI: its QEMU arguments are passed through. */
export function libvirtLines(facts: QemuFacts): readonly string[] {
  const own = qemuArguments(facts).filter(([option]) => option === '-chardev' || option === '-device')
  return [
    "<!-- domain: xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' -->",
    '<memoryBacking>',
    "  <source type='memfd'/>",
    "  <access mode='shared'/>",
    '</memoryBacking>',
    '<os>',
    `  <dtb>${escaped(facts.tree)}</dtb>`,
    '</os>',
    ...accessLines(facts),
    '<qemu:commandline>',
    ...own.flatMap(pair => pair.map(word => `  <qemu:arg value='${escaped(word)}'/>`)),
    '</qemu:commandline>',
  ]
}

/** libvirt runs QEMU as another user, which the socket must let in. */
function accessLines({ access }: QemuFacts): readonly string[] {
  if (access === undefined) return []
  const { mode, uid, gid } = access
  const whose = [uid === undefined ? "scmid's user" : `user ${uid}`, gid === undefined ? '' : `group ${gid}`]
  return [`<!-- scmid listens: mode ${mode}, ${whose.filter(Boolean).join(', ')}; QEMU must be let in -->`]
}

const quoted = (text: string): string => `"${text.replace(/[\\"]/g, found => `\\${found}`)}"`
const escaped = (text: string): string => text.replace(/[&<>'"]/g, found => `&#${found.charCodeAt(0)};`)
