// Runs scripts for a guest, line by line, over a session. What it prints is the session's listener's matter.
import { setTimeout as sleep } from 'node:timers/promises'
import { MediatorError } from '../errors.ts'
import { messageOf, protocolOf } from '../scmi/protocols.ts'
import { formAt } from '../scmi/schema.ts'
import { attempt } from './attempt.ts'
import { discover } from './discover.ts'
import { parseScriptLine, type ScriptLine } from './script-line.ts'
import type { GuestSession } from './session.ts'
import { useResource } from './use.ts'

/** Does what one line says. RangeError when the line cannot be sent as it is, and what the connection throws. */
export async function runLine(
  session: GuestSession,
  line: ScriptLine,
  mark: (text: string) => void,
): Promise<void> {
  switch (line.kind) {
    case 'nothing':
      return
    case 'frame':
      await session.send(line.bytes)
      return
    case 'message':
      await session.ask(line.protocol, line.message, await completed(session, line))
      return
    case 'sleep':
      await sleep(line.ms)
      return
    case 'use':
      for (const id of line.ids) await useResource(session, line.protocol, id)
      return
    case 'try':
      for (const id of line.ids) await attempt(session, line.protocol, id)
      return
    case 'discover':
      await discover(session)
      return
    case 'mark':
      return mark(line.text)
  }
}

/** What the line leaves out is zero. */
async function completed(
  session: GuestSession,
  line: Extract<ScriptLine, { kind: 'message' }>,
): Promise<Readonly<Record<string, unknown>>> {
  if (line.message === 'PROTOCOL_VERSION') return line.value
  const version = await session.version(line.protocol)
  const id = protocolOf(line.protocol)?.messages[line.message]?.id ?? -1
  const declared = messageOf(line.protocol, id)
  if (declared === undefined) return line.value
  const names = Object.keys(formAt(declared.message, version).command.fields)
  return { ...Object.fromEntries(names.map(name => [name, 0])), ...line.value }
}

/** Reads a whole script before any of it is sent. CONFIG_INVALID naming the file and the line. */
export function parseScript(text: string, name: string): readonly { line: number; said: ScriptLine }[] {
  return text
    .split('\n')
    .map((line, i) => ({ line: i + 1, said: located(name, i + 1, () => parseScriptLine(line)) }))
}

/**
 * Runs lines as they come. CONFIG_INVALID at the first that is no command or cannot be sent, naming it; whatever the
 * connection throws ends the run too.
 */
export async function runScript(
  session: GuestSession,
  lines: AsyncIterable<string> | Iterable<string>,
  name: string,
  mark: (text: string) => void,
): Promise<void> {
  let line = 0
  for await (const text of lines) {
    line++
    const said = located(name, line, () => parseScriptLine(text))
    try {
      await runLine(session, said, mark)
    } catch (error) {
      throw locate(error, name, line)
    }
  }
}

function located<T>(name: string, line: number, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw locate(error, name, line)
  }
}

/** The codec's and the parser's complaints are about the line. */
const locate = (error: unknown, name: string, line: number): unknown =>
  error instanceof RangeError
    ? new MediatorError('CONFIG_INVALID', `${name}:${line}: ${error.message}`, { path: name, cause: error })
    : error
