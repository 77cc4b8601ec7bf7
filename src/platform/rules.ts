// The schema compiled for the platform: for each message and version what to check before its handler is called.

import { NEGOTIATE_PROTOCOL_VERSION } from '../scmi/common.ts'
import { type AnyMessage, existsAt, formAt, type Layout } from '../scmi/schema.ts'
import { INVALID_PARAMETERS, SUCCESS } from '../scmi/status.ts'
import type { Call, Handler } from './call.ts'
import type { Implementation } from './implementation.ts'
import { firstProtocol, protocolCount } from './numbering.ts'
import type { Deviations } from './profiles.ts'
import { maxVersions, type Versions } from './versions.ts'
import { shiftOf } from './words.ts'

/** What the platform knows of a message at one version. */
export interface Rule {
  readonly name: string
  /** Changes nothing. */
  readonly query: boolean
  readonly handler: Handler
  /** Bytes of the command, header included, without entries. */
  readonly commandLength: number
  /** Bytes of each entry that follows; the word of the payload, bits and lowest bit that tell how many do. */
  readonly entryBytes: number
  readonly entriesWord: number
  readonly entriesMask: number
  readonly entriesShift: number
  /** Bytes of the response's header, status and fixed fields. */
  readonly responseLength: number
  /** Words of the payload that the standard restricts. */
  readonly checks: readonly Check[]
  /** Word of the payload that names a resource; -1 for none. */
  readonly resourceWord: number
  /** Word of the payload, bits and lowest bit of the selector, where ids are of several numberings; word -1 for one. */
  readonly selectorWord: number
  readonly selectorMask: number
  readonly selectorShift: number
  /** By selector: ids below this exist. */
  readonly resources: Uint32Array
  /** Only for trusted agents. The handler makes the checks itself: the agent id comes before the flags. */
  readonly privileged: boolean
  /** Subscribes to a notification: only for agents that can be told. */
  readonly subscribes: boolean
  /** In the standard, but left out here: PROTOCOL_MESSAGE_ATTRIBUTES says NOT_FOUND. */
  readonly absent: boolean
}

interface Check {
  readonly word: number
  readonly valid: (word: number) => boolean
}

/** Rules by protocol index, message id and version index; see `ruleAt`. */
export type Rules = readonly (Rule | undefined)[]

/** Where a rule stands. */
export const ruleAt = (protocol: number, message: number, version: number): number =>
  ((protocol << 8) | message) * maxVersions + version

/** INVALID_PARAMETERS when a restricted word of the command holds what the standard does not allow. */
export function checked(rule: Rule, call: Call): number {
  for (let i = 0; i < rule.checks.length; i++) {
    const check = rule.checks[i] as Check
    // Signed: a word above 2^31 would need a number on the heap. The schema's checks take either.
    if (!check.valid(call.signedArgs[check.word] as number)) return INVALID_PARAMETERS
  }
  return SUCCESS
}

const checksOf = (command: Layout): Check[] =>
  Object.entries(command.fields).flatMap(([name, field]) =>
    field.valid === undefined ? [] : [{ word: command.word[name] as number, valid: field.valid }],
  )

/** Handlers of the messages that all protocols answer alike, and PROTOCOL_ATTRIBUTES. */
export type CommonHandlers = (implementation: Implementation) => Readonly<Record<string, Handler>>

/** Bytes that a command of `length` bytes should have. Its words may be read as far as it goes. */
export function commandLength(rule: Rule, words: Uint32Array, length: number): number {
  if (rule.entryBytes === 0 || length < rule.commandLength) return rule.commandLength
  const told = (words[1 + rule.entriesWord] as number) & rule.entriesMask
  return rule.commandLength + rule.entryBytes * (told >>> rule.entriesShift)
}

/** Compiles all messages of all versions up to the presented ones. */
export function compileRules(
  implementations: readonly Implementation[],
  versions: Versions,
  common: CommonHandlers,
  { without, unchecked }: Deviations,
): Rules {
  const rules = new Array<Rule | undefined>(protocolCount * 256 * maxVersions).fill(undefined)
  for (const implementation of implementations) {
    const { protocol } = implementation
    const resources = Uint32Array.of(implementation.resources, ...(implementation.selectable ?? []))
    const index = protocol.id - firstProtocol
    const newest = versions.presented[index] as number
    const shared = common(implementation)
    for (const [name, message] of Object.entries(protocol.messages) as [string, AnyMessage][]) {
      if (without.includes(name)) continue
      const handler = shared[name] ?? (implementation.handlers as Readonly<Record<string, Handler>>)[name]
      if (handler === undefined) throw new Error(`${protocol.name}: no handler for ${name}`)
      for (let v = 0; v <= newest; v++) {
        // An agent that negotiated an older version can still negotiate back.
        const version = versions.word(index, message.id === NEGOTIATE_PROTOCOL_VERSION ? newest : v)
        if (!existsAt(message, version)) continue
        const { command, response } = formAt(message, version)
        rules[ruleAt(index, message.id, v)] = {
          name,
          query: message.effect === 'query',
          handler,
          commandLength: 4 + command.size,
          entryBytes: command.tail?.entry.size ?? 0,
          entriesWord: command.tail?.count?.word ?? 0,
          entriesMask: command.tail?.count?.mask ?? 0,
          entriesShift: shiftOf(command.tail?.count?.mask ?? 1),
          selectorWord:
            message.selector === undefined ? -1 : (command.word[message.selector.field] as number),
          selectorMask: message.selector?.mask ?? 0,
          selectorShift: shiftOf(message.selector?.mask ?? 1),
          responseLength: 8 + response.size,
          checks: unchecked.includes(name) ? [] : checksOf(command),
          resourceWord: message.resource === undefined ? -1 : (command.word[message.resource] as number),
          resources,
          privileged: protocol.id === firstProtocol && message.privileged === true,
          subscribes: message.subscribes !== undefined,
          absent: implementation.absent?.includes(message.id) ?? false,
        }
      }
    }
  }
  return rules
}
