// The table: every command of scmictl, one row each, in the order of the help.
import { agentRelease } from './agent-command.ts'
import { audit } from './audit-command.ts'
import { type CommandSpec, synopsis } from './command.ts'
import { bashCompletion } from './completion.ts'
import { create } from './create-command.ts'
import { decode } from './decode-command.ts'
import { deviceAttach, deviceDetach, domainAdd, domainRemove } from './domain-commands.ts'
import { generateCommand } from './generate-command.ts'
import { commandHelp, programHelp } from './help.ts'
import { lookup, tellUnknown } from './lookup.ts'
import { planCommand } from './plan-command.ts'
import { agentList, deviceList, info, list, status } from './show-commands.ts'
import { gateList, hold, release } from './toolstack-commands.ts'

const help: CommandSpec = {
  name: 'help',
  args: '[command]',
  summary: 'Print the list of commands, or all about one.',
  options: [],
  modifies: false,
  daemon: 'no',
  run({ args: [word], out }) {
    if (word === undefined) {
      const rows = commands.map(command => ({
        name: command.name,
        usage: synopsis(command),
        summary: command.summary,
        modifies: command.modifies,
      }))
      out.document({ commands: rows }, () => out.verbatim(programHelp(commands)))
      return 0
    }
    const result = lookup(commands, word)
    if (result.found === undefined) {
      tellUnknown(word, result.candidates, out)
      return 1
    }
    const { found } = result
    const facts = {
      name: found.name,
      usage: synopsis(found),
      summary: found.summary,
      modifies: found.modifies,
    }
    out.document(facts, () => out.verbatim(commandHelp(found)))
    return 0
  },
}

const completion: CommandSpec = {
  name: 'completion',
  args: '',
  summary: 'Print a bash script that completes commands, options and domains.',
  examples: [['source <(scmictl completion)', 'Switch it on in this shell.']],
  options: [],
  modifies: false,
  daemon: 'no',
  run({ out }) {
    const script = bashCompletion(commands)
    out.document({ script }, () => out.verbatim(script))
    return 0
  },
}

/** All rows. Each gets the options that it declares: parse.ts builds them from the same row. */
export const commands: readonly CommandSpec[] = [
  status,
  info,
  list,
  domainAdd,
  domainRemove,
  agentList,
  agentRelease,
  deviceList,
  deviceAttach,
  deviceDetach,
  gateList,
  hold,
  release,
  create,
  planCommand,
  generateCommand,
  decode,
  audit,
  help,
  completion,
] as readonly CommandSpec[]
