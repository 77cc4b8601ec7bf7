// Names of users and groups to their numbers, and how a socket's owner and mode are written. It reads the system's files.
import { readFileSync } from 'node:fs'
import { errorText, MediatorError } from '../errors.ts'

/** Who may connect to a socket file. */
export interface WrittenAccess {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
}

/** How a mode is written: three octal digits, a zero before them or not. */
export const modePattern = '^0?[0-7]{3}$'

/** Bits of a mode as written: `0660` is 432. */
export const socketMode = (text: string): number => Number.parseInt(text, 8)

/**
 * `USER`, `USER:GROUP` or `:GROUP`, each a name or a number. CONFIG_INVALID names what this system does not know.
 * `files`: where names stand.
 */
export function socketOwner(
  text: string,
  files = { users: '/etc/passwd', groups: '/etc/group' },
): { uid?: number; gid?: number } {
  const [user = '', group = '', ...rest] = text.split(':')
  if (rest.length > 0 || (user === '' && group === ''))
    throw new MediatorError('CONFIG_INVALID', `${text}: expected USER, USER:GROUP or :GROUP`)
  return {
    ...(user === '' ? {} : { uid: numberOf(user, files.users, 'user') }),
    ...(group === '' ? {} : { gid: numberOf(group, files.groups, 'group') }),
  }
}

function numberOf(name: string, file: string, what: string): number {
  if (/^[0-9]{1,9}$/.test(name)) return Number(name)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new MediatorError('CONFIG_INVALID', `${what} ${name}: ${file}: ${errorText(cause)}`, { cause })
  }
  for (const line of text.split('\n')) {
    const [known, , number] = line.split(':')
    if (known === name && number !== undefined && /^[0-9]+$/.test(number)) return Number(number)
  }
  throw new MediatorError('CONFIG_INVALID', `${what} ${name}: ${file} has no such name`, { path: file })
}
