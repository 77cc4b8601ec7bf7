// Runs scmictl in this process with its streams caught; everything below them is real: parsing, HTTP, files.
import { runScmictl, type World } from '../../src/cli/program.ts'

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** One command line. `socket` goes before it as --socket. */
export async function scmictl(
  args: readonly string[],
  options: { readonly socket?: string; readonly stdin?: string; readonly colour?: boolean } = {},
): Promise<Ran> {
  let stdout = ''
  let stderr = ''
  const world: World = {
    stdin: (async function* () {
      yield options.stdin ?? ''
    })(),
    stdout: { write: text => (stdout += text) },
    stderr: { write: text => (stderr += text) },
    colour: options.colour ?? false,
    terminal: false,
  }
  const leading = options.socket === undefined ? [] : ['--socket', options.socket]
  const code = await runScmictl([...leading, ...args], world)
  return { code, stdout, stderr }
}

/** `file` of fixtures/, absolute. */
export const fixture = (file: string): string => new URL(`../../fixtures/${file}`, import.meta.url).pathname
