// What survives the daemon: its domains and quarantined agents, in one file that is replaced whole. It decides nothing.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { Ajv } from 'ajv'
import { type Static, Type } from 'typebox'
import { errorText, MediatorError } from '../errors.ts'

const link = Type.Union([
  Type.Object({
    kind: Type.Literal('trap-socket'),
    path: Type.String(),
    smcId: Type.Optional(Type.Integer()),
  }),
  Type.Object({ kind: Type.Literal('message-socket'), path: Type.String() }),
])

const JournalFile = Type.Object({
  version: Type.Literal(1),
  domains: Type.Array(
    Type.Object({
      name: Type.String(),
      domid: Type.Optional(Type.Integer()),
      agentId: Type.Integer(),
      dtb: Type.String({ description: 'base64' }),
      dtbPath: Type.Optional(Type.String()),
      link,
      /** Devices of the partial tree that were detached, and host devices that were attached, by path. */
      detached: Type.Array(Type.String()),
      attached: Type.Array(Type.String()),
      addedAt: Type.String(),
    }),
  ),
  quarantined: Type.Array(Type.Object({ agentId: Type.Integer(), reason: Type.String() })),
})

export type JournalState = Static<typeof JournalFile>
export type JournalDomain = JournalState['domains'][number]

export const emptyJournal: JournalState = { version: 1, domains: [], quarantined: [] }

/** The file `domains.json` in the daemon's state directory. */
export class Journal {
  readonly path: string
  readonly #valid = new Ajv().compile(JournalFile)

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

  /** Replaces the file; on the disk when this returns. */
  save(state: JournalState): void {
    const temporary = `${this.path}.new`
    try {
      const fd = openSync(temporary, 'w', 0o600)
      try {
        writeSync(fd, `${JSON.stringify(state, null, 2)}\n`)
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(temporary, this.path)
    } catch (error) {
      throw new MediatorError('SYSTEM', `${this.path}: ${errorText(error)}`, {
        path: this.path,
        cause: error,
      })
    }
  }
}
