// The configuration that the package installs: every property with what it means, all but the necessary ones commented
// out at their defaults. Text only, made from the schema.
import { type ConfigProperty, configProperties } from '../config/describe-schema.ts'
import { wrap } from './help.ts'

/** What is set in it: without these scmid does not start. */
const set: ReadonlyMap<string, string> = new Map([
  ['host', '/sys/firmware/fdt'],
  ['firmware', ''],
  ['firmware.link', 'embedded'],
  ['firmware.platform', 'platform.yaml'],
  ['firmware.management', ''],
  ['firmware.management.channel', '0'],
])

/** Written as people read them. */
const hexadecimal = /smcId$/

const head = `# scmid's configuration, with everything it may say; scmid.conf(5) tells the same. Made by \`npm run docs\`.
# What is commented out stands at its default, or shows how it is written. Relative paths are relative to this file.
# Check it with  scmid --check , then start it with  systemctl enable --now scmid .
#
# As it stands it serves the virtual SCP that platform.yaml describes: enough to try all of it, no hardware behind it.
`

/** The whole of packaging/scmid.yaml. */
export function defaultConfigFile(): string {
  const blocks: string[] = []
  const properties = configProperties()
  for (const [index, property] of properties.entries()) {
    if (property.inList) continue
    const lines = comment(property)
    const value = shownValue(property, properties.slice(index + 1))
    const written = set.get(property.path)
    const isGroup = property.type === undefined && property.initial === undefined
    const live = written !== undefined || (isGroup && hasLiveMember(property, properties))
    const indent = '  '.repeat(property.depth)
    lines.push(
      `${indent}${live ? '' : '# '}${property.key}:${live && written !== undefined ? spaced(written) : spaced(value)}`,
    )
    if (property.path in listExamples && !live)
      for (const line of listExamples[property.path] ?? []) lines.push(`${indent}# ${line}`)
    blocks.push(`${property.depth === 0 ? '\n' : ''}${lines.join('\n')}`)
  }
  return `${head}${blocks.join('\n')}\n`
}

/** How lists are written; a property that is not among them shows its default alone. */
const listExamples: Readonly<Record<string, readonly string[]>> = {
  domains: ['  - name: guest-a', '    dtb: /etc/xen/guest-a.dtb', '    trapSocket: /run/scmid/guest-a.sock'],
  'firmware.channels': [
    '  - { path: /run/scp/agent-2.sock, agentId: 2 }',
    '  - { path: /run/scp/agent-3.sock }',
  ],
  'firmware.agents': ['  - { channel: 1, agentId: 2 }'],
}

const spaced = (text: string): string => (text === '' ? '' : ` ${text}`)

function comment({ depth, help, type }: ConfigProperty): string[] {
  const indent = '  '.repeat(depth)
  const kind =
    type === undefined || type.startsWith('the path') ? '' : `${type[0]?.toUpperCase()}${type.slice(1)}.`
  const text = [help, kind].filter(Boolean).join(' ')
  return wrap(text, 110 - indent.length)
    .split('\n')
    .map(line => `${indent}# ${line}`)
}

function shownValue({ path, initial, type }: ConfigProperty, behind: readonly ConfigProperty[]): string {
  if (path in listExamples) return ''
  if (initial !== undefined)
    return hexadecimal.test(path) ? `0x${Number(initial).toString(16)}` : initial.replaceAll('"', '')
  const isGroup = type === undefined && behind[0]?.path.startsWith(`${path}.`) === true
  return isGroup ? '' : (examples[path] ?? '')
}

/** Values for properties without a default. */
const examples: Readonly<Record<string, string>> = {
  'firmware.connectMs': '5000',
  'firmware.management.path': '/run/scp/agent-1.sock',
  'firmware.management.agentId': '1',
  'xen.libraries.xenctrl': 'libxenctrl.so.4.20',
  'xen.libraries.xenevtchn': 'libxenevtchn.so.1',
  'xen.libraries.xenforeignmemory': 'libxenforeignmemory.so.1',
  'toolstack.xenstore': '/run/xenstored/socket',
  'directories.run': '/run/scmid',
  'directories.state': '/var/lib/scmid',
  'directories.log': '/var/log/scmid',
}

const hasLiveMember = ({ path }: ConfigProperty, all: readonly ConfigProperty[]): boolean =>
  all.some(each => each.path.startsWith(`${path}.`) && set.has(each.path))
