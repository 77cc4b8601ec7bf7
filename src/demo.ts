#!/usr/bin/env node
// The demonstration that `npm start` shows: two guests at one daemon, each with its own devices and each after the
// other's. Only a client of the daemon: it starts scmid, adds domains over its socket, and plays guests with scmi-guest.
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, CommanderError } from 'commander'
import { verifyAudit } from './audit/verify.ts'
import type { ControlClient } from './cli/client.ts'
import { readEnvironment } from './config/environment.ts'
import { checkSocketPath, type Directories, directories, privateDirectories } from './config/paths.ts'
import { version } from './config/version.ts'
import { DaemonProcess } from './demo/daemon-process.ts'
import { Evidence } from './demo/evidence.ts'
import { GuestProcess } from './demo/guest-process.ts'
import { heldBy, titleOf } from './demo/holdings.ts'
import { type Actor, Play } from './demo/play.ts'
import { Stage } from './demo/stage.ts'
import { countFaults, guestCounts, permissionFaults, type Summary } from './demo/summary.ts'
import { loadDeviceTree } from './dt/load.ts'
import { errorText, MediatorError } from './errors.ts'
import { plan } from './permissions/plan.ts'

interface Options {
  readonly once?: boolean
  readonly json?: boolean
  readonly verbose?: boolean
}

const root = fileURLToPath(new URL('..', import.meta.url))
const program = (...names: readonly string[]): string =>
  fileURLToPath(new URL(names.join('/'), import.meta.url))
const example = (name: string): string => join(root, 'fixtures', 'example', name)
const guests = ['guest-a', 'guest-b'] as const
/** With --once, nothing takes longer than this, in milliseconds. */
const onceLimitMs = 180_000

const command = (): Command =>
  new Command('npm start --')
    .description(
      'Shows scmid at work: two guests, each with its own devices, and what becomes of their messages.',
    )
    .option(
      '--once',
      'in a private directory, once; then stop. Exit code 0 when everything was as it must be',
    )
    .option('--json', 'print the summary as the last line of standard output, all else to standard error')
    .option('-v, --verbose', 'print every message in full')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()

/** Everything that was started, stopped in reverse. */
class Cast {
  readonly #stops: (() => Promise<unknown>)[] = []
  #stopping: Promise<void> | undefined

  /** What comes on stage while all are leaving leaves at once. */
  add(stop: () => Promise<unknown>): void {
    if (this.#stopping === undefined) this.#stops.push(stop)
    else void stop().catch(() => {})
  }

  /** Twice is once. */
  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      for (const stop of this.#stops.reverse()) await stop().catch(() => {})
    })()
    return this.#stopping
  }
}

function showPlan(stage: Stage): void {
  const planned = plan(
    loadDeviceTree(example('host.dtb')),
    guests.map(name => ({ name, tree: loadDeviceTree(example(`${name}.dtb`)) })),
  )
  stage.heading('The plan, from the host’s device tree and the guests’ partial ones')
  for (const { name, devices } of planned.domains)
    stage.line(`${name}: SCMI devices ${devices.flatMap(({ deviceIds }) => deviceIds).join(', ')}`)
  for (const { text, domain, severity } of planned.problems)
    stage.line(`${severity}: ${domain === undefined ? '' : `${domain}: `}${text}`)
}

/** Adds a domain and says what it was given. */
async function addGuest(client: ControlClient, name: string, run: string, stage: Stage): Promise<void> {
  const dtbPath = example(`${name}.dtb`)
  const path = checkSocketPath(join(run, `${name}.sock`))
  const spec = { name, dtb: readFileSync(dtbPath), dtbPath, link: { kind: 'trap-socket' as const, path } }
  const { agentId, permissionCommands } = await client.addDomain(spec, { dryRun: false })
  const domain = await client.domain(name)
  stage.heading(`${name}: agent ${agentId}, at ${path}`)
  for (const { node, hostNode = node, deviceIds, resources } of domain.devices) {
    stage.line(`  ${hostNode}: SCMI device ${deviceIds.join(', ')}`)
    for (const { protocol, id, property, name: called } of resources)
      if (id !== null)
        stage.line(
          `    ${titleOf({ protocol, id, nodes: [], ...(called === undefined ? {} : { name: called }) }).padEnd(28)} ${property}`,
        )
  }
  for (const { deviceId, allow } of permissionCommands)
    stage.line(`  told the firmware: agent ${agentId} ${allow ? 'may' : 'may not'} use device ${deviceId}`)
}

async function playAll(play: Play, a: Actor, b: Actor, stage: Stage): Promise<void> {
  stage.heading('Each guest uses its own devices (of what is allowed, the audit log records controls only)')
  await play.useOwn(a)
  await play.useOwn(b)
  stage.heading('Each guest tries the other’s')
  await play.tryOthers(a, b)
  await play.tryOthers(b, a)
  await play.tryPermissions(a, b)
  await play.tryPermissions(b, a)
  stage.heading('What both hold')
  await play.share(a, b)
  await play.share(b, a)
}

function showSummary(stage: Stage, summary: Summary): void {
  const { guests: counted, permissionCommands, audit, problems } = summary
  stage.heading('Summary')
  for (const { name, agentId, messages, allowed, denied, errors } of counted)
    stage.line(
      `${name} (agent ${agentId}): ${messages} messages: ${allowed} allowed, ${denied} denied, ${errors} errors`,
    )
  stage.line(`permission commands the platform received: ${permissionCommands.length}`)
  stage.line(`audit log: ${audit.records} records, chain ${audit.chain}: ${audit.path}`)
  for (const problem of problems) stage.marked('not ok', problem)
  if (problems.length === 0) stage.marked('ok', 'everything was as it must be')
}

/** Starts all, plays, sums up; with --once the daemon is stopped before its audit log is verified. */
async function perform(options: Options, where: Directories, cast: Cast, stage: Stage): Promise<Summary> {
  showPlan(stage)
  const daemon = new DaemonProcess({
    program: program('main.js'),
    config: example('scmid.yaml'),
    directory: where.run,
  })
  cast.add(() => daemon.stop())
  await daemon.serving()
  daemon.died.then(
    text => {
      if (daemon.stopping) return
      process.stderr.write(`${text}\n`)
      void cast.stop().then(() => process.exit(1))
    },
    () => {},
  )
  const { client } = daemon
  for (const { name } of await client.domains())
    if ((guests as readonly string[]).includes(name)) {
      stage.line(`${name} is left from an earlier run; removed`)
      await client.removeDomain(name, { dryRun: false })
    }
  const actors: Actor[] = []
  for (const name of guests) {
    await addGuest(client, name, where.run, stage)
    if (!options.once) cast.add(() => client.removeDomain(name, { dryRun: false }))
    const domain = await client.domain(name)
    const { link } = domain
    if (!('path' in link)) throw new MediatorError('NOT_SUPPORTED', `${name} is served by ${link.kind}`)
    const guest = new GuestProcess(name, program('guest', 'main.js'), link.path)
    cast.add(() => guest.stop())
    actors.push({ process: guest, domain, held: heldBy(domain) })
  }
  const { path } = (await client.info()).audit
  const evidence = new Evidence(client, path)
  cast.add(() => evidence.close())
  const play = new Play(evidence, stage)
  const [a, b] = actors as [Actor, Actor]
  await playAll(play, a, b, stage)
  const domains = (await client.domains()).filter(({ name }) => (guests as readonly string[]).includes(name))
  const permissionCommands = await client.permissionCommands()
  await client.flushAudit()
  if (options.once) await cast.stop()
  const { records, chain, line, path: broken, text } = await verifyAudit(path)
  const counted = guestCounts(domains)
  const answered = new Map(actors.map(({ process: { name, messages } }) => [name, messages]))
  const problems = [
    ...play.problems,
    ...permissionFaults(domains, permissionCommands),
    ...countFaults(counted, answered),
    ...(chain === 'ok' ? [] : [`${broken}:${line}: ${text}`]),
  ]
  const audit = { records, chain, path, ...(line === undefined ? {} : { line }) }
  const summary = { ok: problems.length === 0, guests: counted, permissionCommands, audit, problems }
  showSummary(stage, summary)
  return summary
}

/** Says how to look from elsewhere, and waits for the end. */
function serve(stage: Stage, where: Directories): void {
  stage.heading(`scmid serves in ${where.run}; look at it from another terminal`)
  for (const line of ['list', 'agent-list', 'device-list -l', 'status']) stage.line(`  npx scmictl ${line}`)
  stage.line('Ctrl-C stops everything.')
}

async function main(): Promise<void> {
  const options = command().parse().opts<Options>()
  const { noColor } = readEnvironment()
  const out = options.json ? process.stderr : process.stdout
  const stage = new Stage({
    write: text => out.write(text),
    colour: out.isTTY === true && !noColor,
    verbose: options.verbose === true,
  })
  const where = options.once ? privateDirectories() : directories()
  const cast = new Cast()
  let interrupted = false
  const interrupt = (): void => {
    if (interrupted) return // every stop has an end of its own
    interrupted = true
    stage.line('\nstopping')
    void cast.stop().then(() => process.exit(options.once ? 1 : 0))
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  process.on('SIGHUP', interrupt)
  for (const stream of [process.stdout, process.stderr]) stream.on('error', interrupt) // nobody reads any more
  const limit =
    options.once && setTimeout(() => fail(cast, `not done after ${onceLimitMs / 1000} s`), onceLimitMs)
  try {
    const summary = await perform(options, where, cast, stage)
    if (limit) clearTimeout(limit)
    if (options.once) rmSync(where.state, { recursive: true, force: true }) // what remains is the audit log
    if (options.json) process.stdout.write(`${JSON.stringify(summary)}\n`)
    if (options.once) process.exitCode = summary.ok ? 0 : 1
    else serve(stage, where)
  } catch (error) {
    if (interrupted) return
    await fail(cast, errorText(error))
  }
}

async function fail(cast: Cast, text: string): Promise<void> {
  process.stderr.write(`demo: ${text}\n`)
  await cast.stop()
  process.exit(1)
}

await main().catch(error => {
  if (!(error instanceof CommanderError)) process.stderr.write(`demo: ${errorText(error)}\n`)
  process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : 1
})
