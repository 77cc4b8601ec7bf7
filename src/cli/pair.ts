// `NAME=VALUE` of an option, NAME a domain's.
import { domainName } from '../config/names.ts'
import { UsageError } from './command.ts'

export interface Pair {
  readonly name: string
  readonly value: string
}

const namePattern = new RegExp(domainName.pattern)

/** A parser of such a pair; `what` is how usage calls it. */
export const pair =
  (what: string) =>
  (text: string): Pair => {
    const at = text.indexOf('=')
    const [name, value] = [text.slice(0, at), text.slice(at + 1)]
    if (at < 1 || value === '') throw new UsageError(`expected ${what}, got "${text}"`)
    if (!namePattern.test(name)) throw new UsageError(`"${name}" is not ${domainName.description}`)
    return { name, value }
  }
