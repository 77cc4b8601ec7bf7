// Every property of scmid's configuration in order, with its type in words, its default and what it means. Text for
// manuals; checking is schema-text.ts's.
import { configHelp } from './scmid-help.ts'
import { ScmidSchema } from './scmid-schema.ts'

export interface ConfigProperty {
  /** `firmware.channels[].path` */
  readonly path: string
  readonly key: string
  /** How deep it stands; 0 for the file's own. */
  readonly depth: number
  readonly required: boolean
  /** `an integer from 1 to 60000`, `one of a, b`; undefined for a group of others. */
  readonly type: string | undefined
  /** JSON of the default; undefined where there is none, or where a group's is its members'. */
  readonly initial: string | undefined
  readonly help: string
  /** An item of a list, not a value of its own. */
  readonly inList: boolean
}

/** The parts of JSON Schema that configuration uses. */
interface Shape {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly description?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: readonly string[]
  readonly items?: Shape
}

/** All of them, groups before their members. */
export function configProperties(): readonly ConfigProperty[] {
  return propertiesOf(ScmidSchema as unknown as Shape, '', 0, false)
}

function propertiesOf(
  shape: Shape,
  prefix: string,
  depth: number,
  inList: boolean,
): readonly ConfigProperty[] {
  return Object.entries(shape.properties ?? {}).flatMap(([key, each]) => {
    const path = prefix === '' ? key : `${prefix}.${key}`
    const isGroup = each.properties !== undefined || each.items?.properties !== undefined
    const own: ConfigProperty = {
      path,
      key,
      depth,
      inList,
      required: shape.required?.includes(key) === true && each.default === undefined,
      type: isGroup ? undefined : typeText(each),
      initial:
        each.default === undefined || each.properties !== undefined
          ? undefined
          : JSON.stringify(each.default),
      help: configHelp[path] ?? '',
    }
    return [
      own,
      ...propertiesOf(each, path, depth + 1, inList),
      ...propertiesOf(each.items ?? {}, `${path}[]`, depth + 1, true),
    ]
  })
}

function typeText({ type, enum: words, description, minimum, maximum }: Shape): string {
  if (words !== undefined) return `one of ${words.join(', ')}`
  if (type === 'boolean') return 'true or false'
  if (type !== 'integer' && type !== 'number') return description ?? (type === 'array' ? 'a list' : 'a text')
  const noun = type === 'integer' ? 'an integer' : 'a number'
  if (minimum === undefined) return noun
  return maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER
    ? `${noun} of at least ${minimum}`
    : `${noun} from ${minimum} to ${maximum}`
}
