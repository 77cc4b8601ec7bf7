// agent-release: an operator has seen to a quarantined agent, and has it given out again.
import { type CommandSpec, integer, UsageError } from './command.ts'

interface ReleaseOptions {
  readonly yes?: true
  readonly unproven?: true
}

export const agentRelease: CommandSpec<ReleaseOptions> = {
  name: 'agent-release',
  args: '<AgentId>',
  usage: '<AgentId> --yes [--unproven]',
  summary: 'Free a quarantined agent, so that another domain can have it.',
  details: [
    'The agent is reset, denied every device, and asked for what it must be refused. Only where that proves it clean it is free; else it stays in quarantine.',
    'With --unproven it is freed all the same, on your word: whoever gets it may use what the firmware still allows it, as far as the daemon does not refuse it. The audit log keeps why.',
  ],
  examples: [
    ['scmictl -N agent-release 3', 'Only show why agent 3 is quarantined.'],
    ['scmictl agent-release 3 --yes', 'Sweep agent 3, and free it if it is clean.'],
  ],
  options: [
    { flags: '--yes', summary: 'You have seen why it is quarantined. It must be said, but for a dry run.' },
    { flags: '--unproven', summary: 'Free it also where it cannot be proven clean.' },
  ],
  modifies: true,
  daemon: 'yes',
  async run({ args, options, client, globals, out }) {
    const agentId = integer(1, 0xffff_ffff)(args[0] ?? '')
    if (options.yes !== true && !globals.dryRun)
      throw new UsageError(`agent-release: say --yes, or look first: scmictl -N agent-release ${agentId}`)
    const { dryRun } = globals
    const done = await client().releaseAgent(agentId, { dryRun, unproven: options.unproven === true })
    if (out.json) out.data(done)
    else if (dryRun || globals.verbose)
      out.line(
        `agent ${agentId}${dryRun ? ' (dry run, nothing was done)' : ''}: was quarantined: ${done.reason}`,
      )
    if (done.unproven !== undefined)
      out.warn(`warning: agent ${agentId} is not proven clean: ${done.unproven}`)
    return 0
  },
}
