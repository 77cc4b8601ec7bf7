// What scmi-guest prints of a session: lines of text for people, or one JSON object a line for programs.
import { describe } from '../scmi/describe.ts'
import { statusName } from '../scmi/status.ts'
import type { Exchange, GuestSession, Listener } from './session.ts'

/** What an exchange is printed as with --json. Frames are in hexadecimal. */
export interface ExchangeLine {
  readonly request: string
  readonly response: string
  readonly protocol: number
  readonly message: string | null
  readonly version: number | null
  readonly status: number
  readonly statusName: string
  /** Fields by name; 64-bit numbers beyond 2^53 are decimal strings. */
  readonly value: Readonly<Record<string, unknown>>
  readonly entries: readonly Readonly<Record<string, unknown>>[]
  /** Absent where the answer is sound. */
  readonly problems?: readonly string[]
}

/** Every line that --json prints is one of these. */
export type ReportLine =
  | ExchangeLine
  | { readonly mark: string }
  | { readonly mismatch: string }
  | { readonly arrived: string }

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')

/** JSON that knows 64-bit numbers. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === 'bigint' ? plainNumber(part) : part))

/** A number where it is exact, else decimal text. */
const plainNumber = (value: bigint): number | string =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value.toString()

/** Prints one session. */
export class Report implements Listener {
  readonly #write: (line: string) => void
  readonly #json: boolean
  #session: GuestSession | undefined

  /** `write` takes a whole line, without its end. */
  constructor(write: (line: string) => void, json: boolean) {
    this.#write = write
    this.#json = json
  }

  /** From which session the versions come that frames are read in. */
  of(session: GuestSession): void {
    this.#session = session
  }

  exchanged(exchange: Exchange): void {
    if (!this.#json) {
      const version = this.#session?.known ?? (() => undefined)
      this.#write(`> ${describe(exchange.request, { version, direction: 'command' })}`)
      this.#write(`< ${describe(exchange.response, { version, direction: 'response' })}`)
      return
    }
    const { protocol, message, version, status, value, entries, problems } = exchange
    const line: ExchangeLine = {
      request: hex(exchange.request),
      response: hex(exchange.response),
      protocol,
      message: message ?? null,
      version: version ?? null,
      status,
      statusName: statusName(status),
      value,
      entries,
      ...(problems.length === 0 ? {} : { problems }),
    }
    this.#write(toJson(line))
  }

  arrived(frame: Uint8Array): void {
    const version = this.#session?.known ?? (() => undefined)
    if (this.#json) this.#write(toJson({ arrived: hex(frame) } satisfies ReportLine))
    else this.#write(`* ${describe(frame, { version })}`)
  }

  mismatch(text: string): void {
    if (this.#json) this.#write(toJson({ mismatch: text } satisfies ReportLine))
    else this.#write(`! ${text}`)
  }

  mark(text: string): void {
    if (this.#json) this.#write(toJson({ mark: text } satisfies ReportLine))
    else this.#write(`# ${text}`)
  }
}
