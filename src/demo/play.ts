// What the guests of the demonstration do, act by act, and whether each answer and each audit record is as it must be.
// The lines they send come from what the daemon says that they hold and from the schema; no id is written here.
import type { AuditRecord } from '../audit/record.ts'
import type { DomainView } from '../lifecycle/views.ts'
import { messageOf, protocolOf } from '../scmi/protocols.ts'
import type { AnyMessage } from '../scmi/schema.ts'
import { DENIED } from '../scmi/status.ts'
import type { Evidence } from './evidence.ts'
import {
  foreignExpectation,
  foreignFault,
  listFault,
  type Outcome,
  ownFault,
  readSent,
  type Sent,
} from './expectations.ts'
import type { GuestProcess, Played } from './guest-process.ts'
import { type Held, inBoth, titleOf, without } from './holdings.ts'
import type { Group, Stage } from './stage.ts'

/** A guest with what it holds. */
export interface Actor {
  readonly process: GuestProcess
  readonly domain: DomainView
  readonly held: readonly Held[]
}

/** A message with what came of it, to be told. */
interface Told {
  readonly sent: Sent
  readonly outcome: Outcome
  readonly reason: string
}

/** Runs the acts. What is not as it must be is in `problems`, in words; nothing of it stops the play. */
export class Play {
  readonly problems: string[] = []
  readonly #evidence: Evidence
  readonly #stage: Stage

  constructor(evidence: Evidence, stage: Stage) {
    this.#evidence = evidence
    this.#stage = stage
  }

  /** Each guest uses all that is its own: every message must be SUCCESS, every control recorded with its node. */
  async useOwn(actor: Actor): Promise<void> {
    for (const resource of actor.held) {
      const played = await actor.process.play([`use ${keyOf(resource)} ${resource.id}`])
      await this.#evidence.settle()
      const told = sentOf(played).map(sent => {
        const record = this.#recordOf(actor, sent)
        this.#blame(actor, ownFault(sent))
        this.#blame(actor, listFault(sent, actor.held))
        if (sent.message.effect === 'control' && !resource.nodes.includes(record?.node ?? ''))
          this.#blame(
            actor,
            `${sent.name} of its own ${titleOf(resource)} is not recorded as ${resource.nodes}'s`,
          )
        return {
          sent,
          outcome: 'allowed' as const,
          reason: record?.rule ?? `its own: ${resource.nodes.join(', ')}`,
        }
      })
      for (const mismatch of played.mismatches) this.#blame(actor, mismatch)
      this.#tell(`${actor.process.name} uses ${titleOf(resource)}`, told)
    }
  }

  /** A guest tries all that is another's: nothing may come of it, and every message is recorded with the node that decides. */
  async tryOthers(actor: Actor, other: Actor): Promise<void> {
    for (const resource of without(other.held, actor.held)) {
      const holdsProtocol = actor.held.some(({ protocol }) => protocol === resource.protocol)
      const played = await actor.process.play([`try ${keyOf(resource)} ${resource.id}`])
      await this.#evidence.settle()
      const told = sentOf(played).flatMap(sent => {
        if (sent.resource === undefined) return [] // PROTOCOL_VERSION, which comes first
        const expected = foreignExpectation(sent, holdsProtocol)
        const record = this.#evidence.find(this.#question(actor, sent), ...expected.decisions)
        this.#blame(actor, foreignFault(sent, expected))
        if (!resource.nodes.includes(record?.node ?? ''))
          this.#blame(
            actor,
            `${sent.name} of ${titleOf(resource)} is not recorded as decided by ${resource.nodes}`,
          )
        return [{ sent, outcome: expected.outcome, reason: record?.rule ?? 'not recorded' }]
      })
      this.#tell(`${actor.process.name} tries ${titleOf(resource)}`, told)
    }
  }

  /** A guest asks the platform itself for another's devices, and for the other's end. */
  async tryPermissions(actor: Actor, other: Actor): Promise<void> {
    const { agentId } = actor.domain
    const lines = other.domain.devices.flatMap(({ deviceIds }) =>
      deviceIds.map(id => `BASE_SET_DEVICE_PERMISSIONS agent_id=${agentId} device_id=${id} flags.allow=1`),
    )
    const [device] = other.domain.devices.flatMap(({ deviceIds }) => deviceIds)
    const [resource] = other.held
    if (device !== undefined && resource !== undefined)
      lines.push(
        `BASE_SET_PROTOCOL_PERMISSIONS agent_id=${agentId} device_id=${device} command_id=${resource.protocol} flags.allow=1`,
      )
    lines.push(`BASE_RESET_AGENT_CONFIGURATION agent_id=${other.domain.agentId} flags.permissions=1`)
    const played = await actor.process.play(lines)
    await this.#evidence.settle()
    const told = sentOf(played).flatMap(sent => {
      if (sent.message.privileged !== true) return []
      const record = this.#evidence.find(this.#question(actor, sent), 'denied')
      if (sent.line.status !== DENIED) this.#blame(actor, `${sent.name} was answered ${sent.line.statusName}`)
      if (record === undefined) this.#blame(actor, `${sent.name} is not recorded`)
      return [{ sent, outcome: 'denied' as const, reason: record?.rule ?? 'not recorded' }]
    })
    this.#tell(`${actor.process.name} tries to give itself ${other.process.name}'s devices`, told)
  }

  /** What both hold and can switch: the one's release must leave the other its own. */
  async share(first: Actor, second: Actor): Promise<void> {
    for (const resource of inBoth(first.held, second.held)) {
      const lines = switchLines(resource)
      if (lines === undefined) continue
      const { on, off, view, field, isOn } = lines
      const asked = (played: Played): boolean => isOn(Number(numberIn(sentOf(played).at(-1), field)))
      await first.process.play([on])
      await second.process.play([on])
      const released = await first.process.play([off])
      await this.#evidence.settle()
      const seenBySecond = await second.process.play([view])
      const seenByFirst = await first.process.play([view])
      const [sent] = sentOf(released)
      const record = sent && this.#evidence.find(this.#question(first, sent), 'vote')
      if (sent !== undefined) this.#blame(first, ownFault(sent))
      const holders = resource.nodes.concat(inBoth(second.held, [resource]).flatMap(({ nodes }) => nodes))
      if (!holders.includes(record?.node ?? ''))
        this.#blame(first, `its release of ${titleOf(resource)} is not recorded as outvoted`)
      if (!asked(seenBySecond))
        this.#blame(second, `${titleOf(resource)} went off when ${first.process.name} released it`)
      if (asked(seenByFirst)) this.#blame(first, `${titleOf(resource)} reads on after it was released`)
      const title = `${first.process.name} switches ${titleOf(resource)} off, which it shares with ${second.process.name}`
      this.#tell(
        title,
        sent === undefined ? [] : [{ sent, outcome: 'allowed', reason: record?.rule ?? 'not recorded' }],
      )
      const state = asked(seenBySecond) ? 'still on' : 'off'
      this.#stage.marked(asked(seenBySecond) ? 'ok' : 'not ok', `for ${second.process.name} it is ${state}`)
      await first.process.play([on]) // as it was
    }
  }

  #question(actor: Actor, { line, name, resource }: Sent) {
    return {
      domain: actor.domain.name,
      protocol: line.protocol,
      message: name,
      ...(resource === undefined ? {} : { resource }),
    }
  }

  #recordOf(actor: Actor, sent: Sent): AuditRecord | undefined {
    return this.#evidence.find(this.#question(actor, sent), 'allowed', 'vote')
  }

  #blame(actor: Actor, fault: string | undefined): void {
    if (fault !== undefined) this.problems.push(`${actor.process.name}: ${fault}`)
  }

  #tell(title: string, told: readonly Told[]): void {
    this.#stage.line(`${title}`)
    const groups = new Map<string, Group & { readonly sent: Sent[] }>()
    for (const { sent, outcome, reason } of told) {
      const key = `${outcome} ${reason}`
      const group = groups.get(key) ?? { outcome, reason, sent: [] }
      group.sent.push(sent)
      groups.set(key, group)
    }
    for (const group of groups.values()) this.#stage.group(group)
  }
}

const keyOf = ({ protocol }: Held): string => protocolOf(protocol)?.key ?? String(protocol)

const sentOf = ({ exchanges }: Played): readonly Sent[] => exchanges.flatMap(line => readSent(line) ?? [])

/** A field of an answer; of a word cut in bits its first range. */
function numberIn(sent: Sent | undefined, field: string): unknown {
  const value = sent?.line.value[field]
  return typeof value === 'object' && value !== null ? Object.values(value)[0] : value
}

/** Lines that switch a resource on and off, and show it, for protocols whose requests are counted. */
function switchLines({ protocol, id }: Held) {
  const messages: readonly [string, AnyMessage][] = Object.entries(protocolOf(protocol)?.messages ?? {})
  const [set, { votes = undefined } = {}] = messages.find(([, m]) => m.votes !== undefined) ?? []
  const views = messages.filter(([, m]) => m.view !== undefined)
  const [get, { view = undefined, resource = '' } = {}] = views.at(-1) ?? []
  if (set === undefined || votes === undefined || get === undefined || view === undefined) return undefined
  const named = messageOf(protocol, messages.find(([name]) => name === set)?.[1].id ?? -1)?.message.resource
  return {
    on: `${set} ${named}=${id} ${votes.field}=${view.on}`,
    off: `${set} ${named}=${id} ${votes.field}=${votes.off}`,
    view: `${get} ${resource}=${id}`,
    field: view.field,
    isOn: (word: number): boolean => (word & view.mask) >>> 0 === view.on,
  }
}
