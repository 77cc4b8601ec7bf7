// Domain configuration files of xl (xl.cfg): names and values, as far as device assignment needs them. It checks
// nothing that xl itself would refuse.
import { MediatorError } from '../errors.ts'

export type XlValue = string | number | readonly XlValue[]

/**
 * The settings of a file, by name; of a name that stands twice the last counts, as with xl.
 * @throws MediatorError CONFIG_INVALID with file and line for what is neither a string, a number nor a list of them
 */
export function readXlConfig(text: string, file: string): ReadonlyMap<string, XlValue> {
  const settings = new Map<string, XlValue>()
  const tokens = [...tokensOf(text, file)]
  let at = 0
  const fail = (what: string): MediatorError => {
    const place = `${file}:${tokens[Math.min(at, tokens.length - 1)]?.line ?? 1}`
    return new MediatorError('CONFIG_INVALID', `${place}: expected ${what}`, { path: place })
  }
  const isNext = (text: string): boolean => tokens[at]?.text === text && tokens[at]?.kind === 'mark'
  const value = (): XlValue => {
    const token = tokens[at]
    if (token === undefined) throw fail('a value')
    at++
    if (token.kind === 'string') return token.text
    if (token.kind === 'word' && /^(0x[0-9a-f]+|\d+)$/i.test(token.text)) return Number(token.text)
    at--
    if (!isNext('[')) throw fail('a string, a number or a list')
    at++
    const list: XlValue[] = []
    while (!isNext(']')) {
      list.push(value())
      if (isNext(',')) at++
      else if (!isNext(']')) throw fail('`,` or `]`')
    }
    at++
    return list
  }
  while (at < tokens.length) {
    if (isNext(';')) {
      at++
      continue
    }
    const name = tokens[at]
    if (name?.kind !== 'word') throw fail('a name')
    at++
    if (isNext('=')) at++
    else if (isNext('+=')) at++
    else throw fail('`=`')
    settings.set(name.text, value())
  }
  return settings
}

interface Token {
  readonly kind: 'word' | 'string' | 'mark'
  readonly text: string
  readonly line: number
}

function* tokensOf(text: string, file: string): Generator<Token> {
  const pattern = /(\s+|#[^\n]*)|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([A-Za-z0-9_.-]+)|(\+=|[[\],;=])/gy
  let line = 1
  while (pattern.lastIndex < text.length) {
    const start = pattern.lastIndex
    const found = pattern.exec(text)
    if (found === null) {
      const place = `${file}:${line}`
      throw new MediatorError(
        'CONFIG_INVALID',
        `${place}: cannot be read from ${JSON.stringify(text.slice(start, start + 20))} on`,
        {
          path: place,
        },
      )
    }
    const [whole, blank, double, single, word, mark] = found
    if (blank === undefined) {
      if (word !== undefined) yield { kind: 'word', text: word, line }
      else if (mark !== undefined) yield { kind: 'mark', text: mark, line }
      else yield { kind: 'string', text: (double ?? single ?? '').replace(/\\(.)/gs, '$1'), line }
    }
    line += whole.split('\n').length - 1
  }
}
