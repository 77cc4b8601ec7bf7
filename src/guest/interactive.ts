// A prompt for playing the guest by hand: the commands of a script, one at a time, with help and history. Mistakes are
// told and cost nothing.
import { createInterface } from 'node:readline/promises'
import { errorText, MediatorError } from '../errors.ts'
import { protocols } from '../scmi/protocols.ts'
import { runLine } from './script.ts'
import { parseScriptLine, scriptHelp } from './script-line.ts'
import type { GuestSession } from './session.ts'

export interface Terminal {
  readonly input: NodeJS.ReadStream
  readonly output: NodeJS.WriteStream
  /** Prints a line. */
  readonly say: (line: string) => void
}

const words = [
  ...['help', 'quit', 'use ', 'try ', 'discover', 'sleep ', 'mark '],
  ...protocols.flatMap(({ key, messages }) => [
    `${key}.`,
    ...Object.keys(messages).filter(
      name => !name.startsWith('PROTOCOL_') && name !== 'NEGOTIATE_PROTOCOL_VERSION',
    ),
  ]),
]

/** Completes the first word of a line. */
const complete = (line: string): [string[], string] => [words.filter(word => word.startsWith(line)), line]

/** Serves lines until their end, `quit`, or the end of the connection, which it throws. Without a terminal: no prompt. */
export async function runInteractive(
  session: GuestSession,
  { input, output, say }: Terminal,
  mark: (text: string) => void,
): Promise<void> {
  const terminal = input.isTTY === true && output.isTTY === true
  const lines = createInterface({
    input,
    ...(terminal ? { output, completer: complete, prompt: 'scmi-guest> ', historySize: 1000 } : {}),
    terminal,
  })
  if (terminal) say(`connected over the ${session.connection.kind}; help lists what can be said`)
  lines.prompt()
  try {
    for await (const line of lines) {
      const said = line.trim()
      if (said === 'quit' || said === 'exit') return
      if (said === 'help' || said === '?') for (const text of helpLines()) say(text)
      else await answer(session, said, mark, say)
      lines.prompt()
    }
  } finally {
    lines.close()
  }
}

async function answer(
  session: GuestSession,
  line: string,
  mark: (text: string) => void,
  say: (text: string) => void,
): Promise<void> {
  try {
    await runLine(session, parseScriptLine(line), mark)
  } catch (error) {
    const mistake =
      error instanceof RangeError || (error instanceof MediatorError && error.code === 'NOT_SUPPORTED')
    if (!mistake) throw error
    say(`? ${errorText(error)}`)
  }
}

/** What can be said, in two columns. */
export const helpLines = (): readonly string[] => [
  ...scriptHelp.map(([form, what]) => `  ${form.padEnd(48)} ${what}`),
  `  ${'help'.padEnd(48)} this`,
  `  ${'quit'.padEnd(48)} hang up; so does the end of the input`,
]
