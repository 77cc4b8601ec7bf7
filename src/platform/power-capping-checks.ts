// What must agree within the power capping section of a platform file: ranges, steps, parents. Linux drops the whole
// protocol at one domain that does not.
import type { PlatformConfig } from './config.ts'
import type { Faults } from './fault.ts'

interface Span {
  readonly min: number
  readonly max: number
  readonly step: number
}

function* span({ min, max, step }: Span, property: string): Faults {
  if (max < min)
    yield { property: `${property}.max`, expected: `must not be below min, ${min}; found ${max}` }
  if (max > min && (step === 0 || step > max - min))
    yield { property: `${property}.step`, expected: `must be 1 to max - min, ${max - min}; found ${step}` }
}

function* within(value: number | undefined, { min, max, step }: Span, property: string): Faults {
  if (value === undefined) return
  if (value < min || value > max || (step > 0 && (value - min) % step !== 0))
    yield { property, expected: `must be ${min} to ${max} in steps of ${step}; found ${value}` }
}

export function* powerCapping(config: PlatformConfig): Faults {
  const list = config.powerCapping?.domains ?? []
  for (const [at, domain] of list.entries()) {
    const property = `powerCapping.domains[${at}]`
    yield* span(domain.cap, `${property}.cap`)
    yield* within(domain.ownCap, domain.cap, `${property}.ownCap`)
    yield* span(domain.pai, `${property}.pai`)
    yield* within(domain.initialPai, domain.pai, `${property}.initialPai`)
    for (const [i, { message }] of domain.fastChannels.entries())
      if (domain.fastChannels.findIndex(f => f.message === message) !== i)
        yield {
          property: `${property}.fastChannels[${i}].message`,
          expected: `must be unique; found ${message} again`,
        }
    if (domain.parent === undefined) continue
    if (domain.parent >= list.length)
      yield { property: `${property}.parent`, expected: `must be a domain; there is no ${domain.parent}` }
    const seen = new Set<number>()
    for (let id: number | undefined = at; id !== undefined; id = list[id]?.parent) {
      if (seen.has(id)) {
        yield { property: `${property}.parent`, expected: 'must not lead back to a domain below it' }
        break
      }
      seen.add(id)
    }
  }
}
