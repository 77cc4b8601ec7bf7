// The manual page of scmictl in Markdown, made from the table. Text only.
import { type CommandSpec, type OptionSpec, synopsis } from './command.ts'
import { shownFlags, wrap } from './help.ts'
import { globalOptions, leadingOptions } from './parse.ts'

const width = 110

const optionTable = (options: readonly OptionSpec[]): string[] => [
  '| option | |',
  '|---|---|',
  ...options.map(option => `| \`${shownFlags(option)}\` | ${option.summary.replaceAll('|', '\\|')} |`),
  '',
]

function section(command: CommandSpec): string[] {
  const lines = [`### ${command.name}`, '', '```', `scmictl ${synopsis(command)}`, '```', '', command.summary]
  if (command.modifies) lines[lines.length - 1] += ' Takes `-N`.'
  if (command.daemon === 'no') lines[lines.length - 1] += ' Needs no daemon.'
  lines.push('')
  for (const paragraph of command.details ?? []) lines.push(wrap(paragraph, width), '')
  if (command.options.length > 0) lines.push(...optionTable(command.options))
  if (command.examples !== undefined) {
    lines.push('```sh')
    for (const [line, what] of command.examples) lines.push(`# ${what}`, line)
    lines.push('```', '')
  }
  return lines
}

const head = `<!-- Made by \`npm run docs\` from the table in src/cli/commands.ts. Do not edit. -->
# scmictl

shows and sets which SCMI resources each domain may control

## Synopsis

    scmictl [-v] [-N] [--json] [--socket PATH] <command> [args]

The operator's command line for \`scmid\`, in the manner of \`xl\`. It speaks to the daemon's Unix socket; \`plan\`,
\`decode\` and \`audit FILE\` do without. A command may be cut short while that is unambiguous, as \`scmictl device-l\`.
Success is silent unless there is something to print.
`

const tail = `## Exit status

| code | |
|---|---|
| 0 | Done. |
| 1 | The daemon, a file or the machine said no, told in one line on stderr; or there is no such command. \`status\`: degraded or unreachable. \`plan\`: with errors. \`audit verify\`: broken. |
| 2 | The command line cannot be meant; the usage is printed. |

With \`--json\`, stdout is one JSON document; where the exit code is 1 and there is nothing else to tell, it is
\`{"error":{"code","text","path"}}\`. \`audit -f --json\` prints a document a line.

## Files

| | root | other users |
|---|---|---|
| control socket | /run/scmid/scmid.sock | $XDG_RUNTIME_DIR/scmid/scmid.sock, without that /tmp/scmid-UID/scmid.sock |
| audit log | /var/log/scmid/audit.jsonl | log/audit.jsonl beside the socket |

A directory that belongs to somebody else, or that others may write to, is refused. Where the daemon's configuration
sets another \`directories.run\`, name its socket with \`--socket\`.

## Environment

\`XDG_RUNTIME_DIR\` as above. \`NO_COLOR\`, set to anything, and \`TERM=dumb\` switch colours off; there are none
outside a terminal.
`

/** The whole of docs/scmictl.md. */
export function scmictlPage(commands: readonly CommandSpec[]): string {
  return [
    head,
    '## Options',
    '',
    'Before the command or behind it:',
    '',
    ...optionTable(globalOptions),
    'Before the command only:',
    '',
    ...optionTable(leadingOptions),
    '## Commands',
    '',
    ...commands.flatMap(section),
    tail,
  ].join('\n')
}
