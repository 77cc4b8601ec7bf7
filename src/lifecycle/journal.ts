// What survives the daemon: its domains, quarantined agents and what it knows of devices, in one file that is replaced
// whole. It decides nothing.

import { readFileSync } from 'node:fs'
import { Ajv } from 'ajv'
import { type Static, Type } from 'typebox'
import { discoveries } from '../config/names.ts'
import { errorText, MediatorError } from '../errors.ts'
import { conduits } from '../guest-link/guest-link.ts'
import { replaceFile } from '../native/replaced-file.ts'
import type { LabelOrder } from '../permissions/numbering.ts'
import { releases } from '../scmi/protocols.ts'
import { type Domain, devicePath } from './domain.ts'
import type { DomainSpec } from './views.ts'

const link = Type.Union([
  Type.Object({
    kind: Type.Literal('trap-socket'),
    path: Type.String(),
    smcId: Type.Optional(Type.Integer()),
  }),
  Type.Object({ kind: Type.Literal('message-socket'), path: Type.String() }),
  Type.Object({
    kind: Type.Literal('vhost-user'),
    path: Type.String(),
    role: Type.Union([Type.Literal('server'), Type.Literal('client')]),
    mode: Type.Optional(Type.Integer()),
    uid: Type.Optional(Type.Integer()),
    gid: Type.Optional(Type.Integer()),
  }),
  Type.Object({
    kind: Type.Literal('xen-smc'),
    uuid: Type.Optional(Type.String()),
    conduit: Type.Optional(Type.Enum([...conduits])),
    smcId: Type.Optional(Type.Integer()),
    devices: Type.Optional(Type.Array(Type.Object({ start: Type.Number(), size: Type.Number() }))),
    leaveArmed: Type.Optional(Type.Boolean()),
  }),
])

export const JournalFile = Type.Object({
  version: Type.Literal(1),
  domains: Type.Array(
    Type.Object({
      name: Type.String(),
      domid: Type.Optional(Type.Integer()),
      uuid: Type.Optional(Type.String()),
      agentId: Type.Integer(),
      dtb: Type.String({ description: 'base64' }),
      dtbPath: Type.Optional(Type.String()),
      link,
      discovery: Type.Optional(Type.Enum([...discoveries])),
      /** What the ids of a guest with ids of its own stand for, in their order, by space. */
      labels: Type.Optional(
        Type.Record(Type.String({ pattern: '^[0-9]{1,4}$' }), Type.Array(Type.String()), {
          additionalProperties: false,
        }),
      ),
      release: Type.Optional(Type.Enum(releases)),
      versions: Type.Optional(Type.Record(Type.String(), Type.String())),
      /** Devices of the partial tree that were detached, by their paths in it. */
      detached: Type.Array(Type.String()),
      /** Host devices that were attached, by their paths in the host tree. */
      attached: Type.Array(Type.String()),
      addedAt: Type.String(),
      /** Its place at the relay, where what it votes for is found. */
      slot: Type.Optional(Type.Integer({ minimum: 0 })),
    }),
  ),
  quarantined: Type.Array(Type.Object({ agentId: Type.Integer(), reason: Type.String() })),
  /** Agents that no domain has and that the firmware may allow something: swept before anybody gets them. */
  unproven: Type.Optional(Type.Array(Type.Integer())),
  /** Every SCMI device id that a tree ever named: what a sweep denies. */
  deviceIds: Type.Optional(Type.Array(Type.Integer())),
})

export type JournalState = Static<typeof JournalFile>
export type JournalDomain = JournalState['domains'][number]

export const emptyJournal: JournalState = { version: 1, domains: [], quarantined: [] }

/** The file `domains.json` in the daemon's state directory. */
export class Journal {
  readonly path: string
  /** The schema is our own, and a test holds it to JSON Schema. */
  readonly #valid = new Ajv({ validateSchema: false }).compile(JournalFile)

  constructor(path: string) {
    this.path = path
  }

  /** What was saved last; nothing when there is no file. STATE_CORRUPT names the file: it is never overwritten unread. */
  load(): JournalState {
    let text: string
    try {
      text = readFileSync(this.path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return emptyJournal
      throw new MediatorError('STATE_CORRUPT', `${this.path}: ${errorText(error)}`, {
        path: this.path,
        cause: error,
      })
    }
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      throw new MediatorError('STATE_CORRUPT', `${this.path}: ${errorText(error)}`, {
        path: this.path,
        cause: error,
      })
    }
    if (this.#valid(value)) return value as JournalState
    const fault = this.#valid.errors?.[0]
    throw new MediatorError(
      'STATE_CORRUPT',
      `${this.path}: ${fault?.instancePath ?? ''} ${fault?.message ?? 'is not a journal'}`,
      {
        path: this.path,
      },
    )
  }

  /** Replaces the file; on the disk when this returns. When it throws SYSTEM, the former file may still be there. */
  save(state: JournalState): void {
    replaceFile(this.path, `${JSON.stringify(state, null, 2)}\n`)
  }
}

/** A domain as the file has it. */
export const savedDomain = ({
  spec,
  agent,
  devices,
  addedAt,
  discovery,
  labels,
  slot,
}: Domain): JournalDomain => ({
  name: spec.name,
  ...(spec.domid === undefined ? {} : { domid: spec.domid }),
  ...(spec.uuid === undefined ? {} : { uuid: spec.uuid }),
  agentId: agent.agentId,
  dtb: Buffer.from(spec.dtb).toString('base64'),
  ...(spec.dtbPath === undefined ? {} : { dtbPath: spec.dtbPath }),
  link: spec.link as JournalDomain['link'],
  ...(spec.discovery === undefined ? {} : { discovery: spec.discovery }),
  ...(discovery === 'dense' ? { labels: Object.fromEntries(labels) as Record<string, string[]> } : {}),
  ...(spec.release === undefined ? {} : { release: spec.release }),
  ...(spec.versions === undefined ? {} : { versions: spec.versions }),
  detached: devices.filter(({ own, attached }) => own && !attached).map(({ plan }) => plan.node),
  attached: devices.filter(({ own }) => !own).map(({ plan }) => devicePath(plan)),
  addedAt,
  slot,
})

/** What a saved domain was added with; its agent id is pinned now. */
export const specOf = ({
  name,
  domid,
  uuid,
  agentId,
  dtb,
  dtbPath,
  link,
  discovery,
  release,
  versions,
}: JournalDomain): DomainSpec => ({
  name,
  ...(domid === undefined ? {} : { domid }),
  ...(uuid === undefined ? {} : { uuid }),
  agentId,
  dtb: Buffer.from(dtb, 'base64'),
  ...(dtbPath === undefined ? {} : { dtbPath }),
  link: link as DomainSpec['link'],
  ...(discovery === undefined ? {} : { discovery }),
  ...(release === undefined ? {} : { release }),
  ...(versions === undefined ? {} : { versions }),
})

/** What the saved domain's ids stood for; undefined where it had none of its own. */
export const savedLabels = ({ labels }: JournalDomain): LabelOrder | undefined =>
  labels && new Map(Object.entries(labels).map(([space, list]) => [Number(space), list]))

/** When a domain was added, in milliseconds; 0 where that cannot be read. */
export const addedMs = (addedAt: string): number => Math.max(0, Date.parse(addedAt) || 0)
