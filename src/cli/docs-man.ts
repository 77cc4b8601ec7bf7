// The manual pages: scmictl(1) from the command table, scmid(8) from its options, scmid.conf(5) from the schema. Text only.
import { configProperties } from '../config/describe-schema.ts'
import { defaultConfig, scmidOptions, scmidSummary } from '../config/scmid-options.ts'
import { version } from '../config/version.ts'
import { type CommandSpec, type OptionSpec, synopsis } from './command.ts'
import { shownFlags } from './help.ts'
import { globalOptions, leadingOptions } from './parse.ts'
import { ManPage } from './roff.ts'

const source = `scmi-mediator ${version}`

function options(page: ManPage, list: readonly OptionSpec[]): void {
  for (const option of list) page.item(shownFlags(option), option.summary)
}

/** scmictl(1). */
export function scmictlManPage(commands: readonly CommandSpec[]): string {
  const page = new ManPage('scmictl', 1, source, 'scmi-mediator')
    .name('scmictl', 'shows and sets which SCMI resources each domain may control')
    .heading('synopsis')
    .paragraph('`scmictl` [-v] [-N] [--json] [--socket PATH] <command> [args]')
    .heading('description')
    .paragraph(
      "The operator's command line for `scmid`(8), in the manner of xl. A command may be cut short while that is unambiguous. Success is silent unless there is something to print.",
    )
    .heading('options')
    .paragraph('Before the command or behind it:')
  options(page, globalOptions)
  page.paragraph('Before the command only:')
  options(page, leadingOptions)
  page.heading('commands')
  for (const command of commands) {
    page.subheading(synopsis(command)).paragraph(command.summary)
    if (command.modifies) page.paragraph('Takes `-N`.')
    if (command.daemon === 'no') page.paragraph('Needs no daemon.')
    for (const paragraph of command.details ?? []) page.paragraph(paragraph)
    options(page, command.options)
    for (const [line, what] of command.examples ?? []) page.paragraph(what).example([line])
  }
  return page
    .heading('exit status')
    .item('0', 'Done.')
    .item(
      '1',
      'The daemon, a file or the machine said no, told in one line on stderr; or there is no such command.',
    )
    .item('2', 'The command line cannot be meant; the usage is printed.')
    .heading('files')
    .item('/run/scmid/scmid.sock', 'The control socket of a daemon that root runs.')
    .item('/var/log/scmid/audit.jsonl', 'Its audit log.')
    .heading('environment')
    .item('XDG_RUNTIME_DIR', 'For users other than root: the control socket is in its directory scmid.')
    .item('NO_COLOR', 'Set to anything: no colours.')
    .heading('see also')
    .paragraph('`scmid`(8), `scmid.conf`(5), `xl`(1)')
    .toString()
}

/** scmid(8). */
export function scmidManPage(): string {
  const page = new ManPage('scmid', 8, source, 'scmi-mediator')
    .name('scmid', 'mediates SCMI between guests and firmware')
    .heading('synopsis')
    .paragraph('`scmid` [--config FILE] [--directory DIR]')
    .paragraph('`scmid` --check [--config FILE]')
    .heading('description')
    .paragraph(scmidSummary)
    .paragraph(
      'The daemon runs in Dom0, or on the host of a KVM machine. It reads which devices each domain was given from the partial device tree, works out which SCMI resources they need, and answers each guest under an identity of its own. What is not granted is denied; every control and every denial goes to an audit log.',
    )
    .heading('options')
  for (const { flags, summary, initial } of scmidOptions)
    page.item(
      shownFlags({ flags, summary }),
      `${summary[0]?.toUpperCase()}${summary.slice(1)}${initial === undefined ? '' : `; ${initial} by default`}.`,
    )
  return page
    .item('--version', 'Print the version.')
    .item('-h, --help', 'Print help.')
    .heading('signals')
    .item(
      'SIGTERM, SIGINT',
      'Stop: guests are answered no more, what they hold is taken back, and the audit log is closed.',
    )
    .item(
      'SIGHUP',
      'Read the configuration again: a new log level is in force at once, all else from the next start.',
    )
    .heading('exit status')
    .item('0', 'Stopped as asked, or nothing is wrong with what --check read.')
    .item('1', 'The configuration, a file or the machine is at fault, told in one line on stderr.')
    .item('2', 'The command line cannot be meant.')
    .item('70', 'Something broke within; systemd starts it anew.')
    .heading('systemd')
    .paragraph(
      'The unit `scmid.service` starts after xenstored and before xendomains, so that guests that are started at boot find it. Installing the package does not start it: its configuration must name the firmware first.',
    )
    .example(['scmid --check && systemctl enable --now scmid'])
    .paragraph(
      'The unit lets the daemon write to its own directories only. Sockets elsewhere want a drop-in with `ReadWritePaths=`; sockets in /tmp are not seen.',
    )
    .heading('files')
    .item(defaultConfig, 'The configuration, see `scmid.conf`(5).')
    .item('/run/scmid', 'The control socket, the sockets of guests, the lock.')
    .item('/var/lib/scmid', 'What outlives the daemon: domains, and who had which agent.')
    .item('/var/log/scmid', 'The audit log.')
    .heading('see also')
    .paragraph('`scmictl`(1), `scmid.conf`(5), `xl`(1)')
    .toString()
}

/** scmid.conf(5). */
export function configManPage(): string {
  const page = new ManPage('scmid.conf', 5, source, 'scmi-mediator')
    .name('scmid.conf', 'configuration of scmid')
    .heading('synopsis')
    .paragraph(`\`${defaultConfig}\``)
    .heading('description')
    .paragraph(
      'A YAML file. Relative paths in it are relative to the file. An unknown property is an error, and so is one of another type; `scmid --check` tells each with its line.',
    )
    .heading('properties')
  for (const { path, type, required, initial, help } of configProperties()) {
    const shown = initial === undefined || initial === '[]' ? undefined : value(path, initial)
    const facts = [
      type,
      required ? 'must be there' : undefined,
      shown === undefined ? undefined : `default ${shown}`,
    ]
    const known = facts.filter(fact => fact !== undefined)
    page.item(path, known.length === 0 ? help : `${help} (${known.join('; ')})`)
  }
  return page
    .heading('example')
    .example([
      'host: /sys/firmware/fdt',
      'firmware:',
      '  link: stream-socket',
      '  management: { path: /run/scp/agent-1.sock, agentId: 1 }',
      '  channels:',
      '    - { path: /run/scp/agent-2.sock, agentId: 2 }',
      '    - { path: /run/scp/agent-3.sock }',
    ])
    .heading('see also')
    .paragraph('`scmid`(8), `scmictl`(1)')
    .toString()
}

const value = (path: string, initial: string): string =>
  path.endsWith('smcId') ? `0x${Number(initial).toString(16)}` : initial.replaceAll('"', '')
