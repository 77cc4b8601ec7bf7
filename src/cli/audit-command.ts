// `scmictl audit`: reads, follows and verifies the audit log. The file is read here, not asked of the daemon.
import { type Decision, decisions } from '../audit/decision.ts'
import { followAudit } from '../audit/follow.ts'
import { formatRecord } from '../audit/format.ts'
import { type AuditFilter, lastRecords, parseWhen, queryAudit } from '../audit/query.ts'
import type { AuditRecord } from '../audit/record.ts'
import { verifyAudit } from '../audit/verify.ts'
import { auditBeside } from '../config/paths.ts'
import { errorText, MediatorError } from '../errors.ts'
import type { AuditState } from '../lifecycle/views.ts'
import { type CommandSpec, type Context, choice, integer, UsageError } from './command.ts'

interface AuditOptions {
  readonly domain?: string
  readonly decision?: Decision
  readonly since?: number
  readonly n?: number
  readonly follow?: boolean
}

/** Records shown before following, where nobody says how many. */
const followTail = 10

export const audit: CommandSpec<AuditOptions> = {
  name: 'audit',
  args: '[action] [file]',
  usage: '[list|verify] [options] [FILE]',
  summary: 'Print the audit log, follow it, or verify that it is whole.',
  details: [
    'The log is FILE, else the one that the daemon says it writes, else, without a daemon, the one that belongs to its socket. Rotated files beside it belong to it.',
    'audit list (or audit alone) prints records, oldest first. With --json it prints one list, with -f and --json a record a line.',
    'audit verify checks the chain of hashes. Exit code 0: whole. 1: broken, told with file and line.',
  ],
  examples: [
    [
      'scmictl audit --domain guest-a --decision denied --since 10m',
      'What guest-a was denied in the last ten minutes.',
    ],
    ['scmictl audit -f', 'Everything, as it happens.'],
    ['scmictl audit verify /var/log/scmid/audit.jsonl', 'Prove that no line was changed, left out or added.'],
  ],
  options: [
    { flags: '--domain <domain>', summary: 'Only records of this domain.' },
    {
      flags: '--decision <word>',
      summary: `One of ${decisions.join(', ')}.`,
      ...choice(decisions),
    },
    {
      flags: '--since <time>',
      summary: 'Only since then: an age as in 30s, 10m, 2h, 1d, or ISO 8601.',
      parse: when,
    },
    { flags: '-n <count>', summary: 'Only the newest so many.', parse: integer(0, 1_000_000) },
    { flags: '-f, --follow', summary: 'Go on with what is written from now on; the newest 10 first.' },
  ],
  modifies: false,
  daemon: 'may',
  async run(context) {
    const { args, options } = context
    const [action = 'list', file] = args
    if (action === 'verify') {
      for (const [name, value] of Object.entries(options))
        if (['domain', 'decision', 'since', 'n', 'follow'].includes(name) && value !== undefined)
          throw new UsageError("'scmictl audit verify' takes no filters: the chain is whole or it is not.")
      return await verify(context, file)
    }
    if (action !== 'list') throw new UsageError(`'scmictl audit' expects list or verify, got "${action}".`)
    return await show(context, file)
  },
}

function when(text: string): number {
  try {
    return parseWhen(text)
  } catch (error) {
    throw new UsageError(errorText(error))
  }
}

/** `head`, where the daemon told it: the log must reach it. */
type Located = { readonly path: string; readonly head?: AuditState['head'] }

/** The log: as given; else the daemon's, once it has written all it knows; else the usual. */
async function locate({ client }: Context, file: string | undefined): Promise<Located> {
  if (file !== undefined) return { path: file }
  const daemon = client()
  try {
    return await daemon.flushAudit()
  } catch (error) {
    if (error instanceof MediatorError && error.code === 'DAEMON_UNREACHABLE')
      return { path: auditBeside(daemon.socket) }
    throw error
  }
}

async function verify(context: Context, file: string | undefined): Promise<number> {
  const { out } = context
  const { path, head } = await locate(context, file)
  const found = await verifyAudit(path, head === undefined ? {} : { expected: head })
  out.document(found, () => {
    if (found.chain === 'ok') {
      const first = found.first > 1 ? `, from record ${found.first} on: what came before is not here` : ''
      out.line(`${found.path}: ${found.records} records, the chain is whole${first}`)
    } else {
      out.line(`${found.path}:${found.line ?? '?'}: ${found.text ?? 'does not hold'}`)
      out.line(`${found.path}: the chain is broken after ${found.records} records`)
    }
  })
  return found.chain === 'ok' ? 0 : 1
}

async function show(context: Context<AuditOptions>, file: string | undefined): Promise<number> {
  const { out, options } = context
  const { path } = await locate(context, file)
  const { decision, since } = options
  const domain = await nameOf(context, options.domain)
  const filter: AuditFilter = {
    ...(domain === undefined ? {} : { domain }),
    ...(decision === undefined ? {} : { decision }),
    ...(since === undefined ? {} : { since }),
  }
  const broken = new Set<string>()
  const onBroken = (where: string, line: number, text: string): void => {
    const told = `${where}:${line}: ${text}`
    if (!broken.has(told)) out.warn(told)
    broken.add(told)
  }
  const print = (record: AuditRecord): void => (out.json ? out.data(record) : out.line(formatRecord(record)))
  if (options.follow === true) {
    const count = options.n ?? followTail
    let last = 0
    for (const record of await tail(path, count, filter, onBroken)) {
      print(record)
      last = record.sequence
    }
    // From the start, so that nothing between the two is missed; what was printed is known by its number.
    const { signal } = new AbortController()
    const from = count === 0 ? 'now' : 'start'
    for await (const record of followAudit(path, filter, { signal, from, onBroken }))
      if (record.sequence > last) print(record)
    return 0
  }
  if (out.json || options.n !== undefined) {
    const records = await lastRecords(path, options.n ?? Number.POSITIVE_INFINITY, filter, { onBroken })
    out.document(records, () => records.forEach(print))
  } else {
    for await (const record of queryAudit(path, filter, { onBroken })) print(record)
  }
  return broken.size === 0 ? 0 : 1
}

/** The newest records; none yet where there is no log yet. */
async function tail(
  path: string,
  count: number,
  filter: AuditFilter,
  onBroken: (path: string, line: number, text: string) => void,
): Promise<AuditRecord[]> {
  if (count === 0) return []
  try {
    return await lastRecords(path, count, filter, { onBroken })
  } catch (error) {
    if (error instanceof MediatorError && error.code === 'SYSTEM') return []
    throw error
  }
}

/** The log knows names; a number is a domid, which only the daemon can tell. */
async function nameOf({ client }: Context, domain: string | undefined): Promise<string | undefined> {
  return domain !== undefined && /^\d+$/.test(domain) ? (await client().domain(domain)).name : domain
}
