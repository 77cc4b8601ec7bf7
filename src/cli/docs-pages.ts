// The generated pages: which there are, how each is made, and whether it is stale.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errorText } from '../errors.ts'
import { commands } from './commands.ts'
import { bashCompletion } from './completion.ts'
import { defaultConfigFile } from './docs-config.ts'
import { configManPage, scmictlManPage, scmidManPage } from './docs-man.ts'
import { protocolsPage, protocolTable } from './docs-protocols.ts'
import { scmictlPage } from './docs-scmictl.ts'

/** A file that is generated, in whole or between markers. */
interface Page {
  /** Relative to the root of the repository. */
  readonly path: string
  /** The file as it should be, from the file as it is (undefined when there is none); undefined leaves it so. */
  readonly make: (before: string | undefined) => string | undefined
}

/** Between these lines the README's table of protocols is generated; the rest of it is written. */
const readmeMarkers = ['<!-- protocols:begin -->', '<!-- protocols:end -->'] as const

const pages: readonly Page[] = [
  { path: 'docs/scmictl.md', make: () => scmictlPage(commands) },
  { path: 'docs/protocols.md', make: () => protocolsPage() },
  {
    path: 'README.md',
    make: before => (before === undefined ? before : between(before, ...readmeMarkers, protocolTable())),
  },
  { path: 'packaging/scmid.yaml', make: () => defaultConfigFile() },
  { path: 'packaging/man/scmictl.1', make: () => scmictlManPage(commands) },
  { path: 'packaging/man/scmid.8', make: () => scmidManPage() },
  { path: 'packaging/man/scmid.conf.5', make: () => configManPage() },
  { path: 'packaging/bash-completion/scmictl', make: () => bashCompletion(commands) },
]

/** `text` with `inner` between the two marker lines. Throws when they are not there, once each and in order. */
export function between(text: string, begin: string, end: string, inner: string): string {
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from || text.indexOf(begin, from + 1) >= 0 || text.indexOf(end, to + 1) >= 0)
    throw new Error(`expected ${begin} and ${end}, once each and in this order`)
  return `${text.slice(0, from + begin.length)}\n${inner.trim()}\n${text.slice(to)}`
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Writes every page under `root`, or with `check` only compares.
 * @returns a line for each page that is stale or cannot be made; none when all is well
 */
export function generate(root: string, check: boolean): string[] {
  const lines: string[] = []
  for (const { path, make } of pages) {
    const before = read(join(root, path))
    try {
      const after = make(before)
      if (after === undefined || after === before) continue
      if (check) lines.push(`${path}: ${before === undefined ? 'missing' : 'stale'}; run npm run docs`)
      else {
        mkdirSync(dirname(join(root, path)), { recursive: true })
        writeFileSync(join(root, path), after)
      }
    } catch (error) {
      lines.push(`${path}: ${errorText(error)}`)
    }
  }
  return lines
}
