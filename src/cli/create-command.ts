// scmictl create: a Xen domain that never runs without its rights. It is created paused, and let run when it is served.
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { MediatorError } from '../errors.ts'
import type { GatedDomainView } from '../lifecycle/views.ts'
import { type CommandSpec, type Context, integer } from './command.ts'
import { tell } from './domain-commands.ts'
import { stateText } from './toolstack-commands.ts'

interface CreateOptions {
  readonly xl?: string
  readonly timeout?: number
}

const pollMs = 100
const usualTimeoutSeconds = 60

export const create: CommandSpec<CreateOptions> = {
  name: 'create',
  args: '<CFG>',
  usage: '[--xl PROGRAM] [--timeout SECONDS] <CFG>',
  summary: 'Create a Xen domain, and let it run only when it has its rights.',
  details: [
    'Asks xl what the configuration comes to and the daemon whether that can be granted, before there is a domain; then xl create -p, the grant, xl unpause. What fails after the creation destroys the domain again.',
    'Plain xl create works as well: the daemon holds every new domain until it has its rights. This command also fails where that one would start the guest without them.',
  ],
  examples: [
    ['scmictl create /etc/xen/guest-a.cfg', 'Start guest-a with its SCMI resources, or not at all.'],
    ['scmictl -N create guest-a.cfg', 'Only show what would be granted.'],
  ],
  options: [
    { flags: '--xl <program>', summary: 'The xl to run; else the one in the PATH.' },
    {
      flags: '--timeout <seconds>',
      summary: `How long to wait until it is served; else ${usualTimeoutSeconds}.`,
      parse: integer(1, 3600),
    },
  ],
  modifies: true,
  daemon: 'yes',
  async run(context) {
    const { args, options, client, globals, out } = context
    const file = args[0] ?? ''
    const xl = (...words: string[]): Promise<string> => run(options.xl ?? 'xl', words)
    const printed = await xl('-N', 'create', file)
    const configuration = printed.slice(Math.max(0, printed.indexOf('{')))
    const outcome = await client().preflight(configuration)
    if (globals.dryRun || outcome.problems.some(({ severity }) => severity === 'error'))
      return tell(context, outcome)
    const name = outcome.domain
    await xl('create', '-p', file)
    try {
      const domid = Number((await xl('domid', name)).trim())
      const domain = await served(context, domid, (options.timeout ?? usualTimeoutSeconds) * 1000)
      await xl('unpause', String(domid))
      if (out.json) out.data(domain)
      else if (globals.verbose) out.line(stateText(domain))
      return 0
    } catch (error) {
      await xl('destroy', name).catch(fault =>
        out.warn(String(fault instanceof Error ? fault.message : fault)),
      )
      throw error
    }
  },
}

/** The domain when it is served. PLAN_REFUSED when it never will be; FIRMWARE_SILENT is the daemon's to say. */
async function served(
  { client }: Context<CreateOptions>,
  domid: number,
  timeoutMs: number,
): Promise<GatedDomainView> {
  const end = Date.now() + timeoutMs
  for (;;) {
    const domain = (await client().gatedDomains()).find(each => each.domid === domid)
    if (domain?.state === 'served' && !domain.held) return domain
    if (domain?.state === 'denied' || domain?.state === 'unmanaged')
      throw new MediatorError('PLAN_REFUSED', `${stateText(domain)}; destroyed`)
    if (Date.now() > end)
      throw new MediatorError(
        'DOMAIN_UNKNOWN',
        `domain ${domid} was not served within ${timeoutMs / 1000} s${domain === undefined ? '' : ` (${stateText(domain)})`}; destroyed`,
      )
    await sleep(pollMs)
  }
}

/** Standard output of xl. It ends with 0 even where it failed to pause or unpause: what it says on stderr counts too. */
function run(program: string, words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, words, { maxBuffer: 16 << 20, encoding: 'utf8' }, (error, stdout, stderr) => {
      const said = stderr.trim()
      const failed = error !== null || (words[0] === 'unpause' && said !== '')
      if (!failed) return resolve(stdout)
      const text = said === '' ? (error?.message ?? '') : said
      reject(new MediatorError('SYSTEM', `${program} ${words.join(' ')}: ${text}`, { cause: error }))
    })
  })
}
