// Help from the table, laid out as xl's. Text only; it prints nothing.
import { type CommandSpec, type OptionSpec, synopsis } from './command.ts'
import { globalOptions, leadingOptions } from './parse.ts'

const leading = '[-v] [-N] [--json] [--socket PATH]'

/** `--dtb FILE` of `--dtb <file>`; what may be left out stays in brackets. */
export const shownFlags = (option: OptionSpec): string =>
  option.flags.replace(/<[^>]+>|\[[^\]]+\]/g, name => name.replace(/[<>]/g, '').toUpperCase())

const optionLines = (options: readonly OptionSpec[]): string[] =>
  options.map(option => `  ${shownFlags(option).padEnd(28)} ${option.summary}`)

export const programUsage = `Usage: scmictl ${leading} <command> [args]`

/** What `scmictl` alone prints. */
export function programHelp(commands: readonly CommandSpec[]): string {
  return [
    programUsage,
    '',
    'Shows and sets which SCMI resources each domain may control.',
    '',
    'Commands, which may be cut short while that is unambiguous:',
    '',
    ...commands.map(command => `  ${command.name.padEnd(19)} ${command.summary}`),
    '',
    'Options:',
    '',
    ...optionLines([...globalOptions, ...leadingOptions]),
    '',
    "See 'scmictl help <command>' for more of a command.",
    '',
  ].join('\n')
}

/** The first line: `Usage: scmictl [-v] [-N] … device-attach <Domain> <device>`. */
export function usageLine(command: CommandSpec): string {
  const globals = command.modifies ? leading : leading.replace(' [-N]', '')
  return `Usage: scmictl ${globals} ${synopsis(command)}`
}

/** What `scmictl help <command>` prints. */
export function commandHelp(command: CommandSpec): string {
  const lines = [usageLine(command), '', command.summary]
  for (const paragraph of command.details ?? []) lines.push('', wrap(paragraph, 78))
  if (command.options.length > 0) lines.push('', 'Options:', '', ...optionLines(command.options))
  if (command.examples !== undefined) {
    lines.push('', 'Examples:', '')
    for (const [line, what] of command.examples) lines.push(`  ${line}`, `      ${what}`)
  }
  return `${lines.join('\n')}\n`
}

/** Breaks at blanks so that no line is longer than `width`, where words allow. */
export function wrap(text: string, width: number): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].join('\n')
}
