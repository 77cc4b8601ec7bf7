// What tells this boot of the machine, and a process of it, from every other: for what is left to a successor.
import { readFileSync } from 'node:fs'

const bootIdFile = '/proc/sys/kernel/random/boot_id'

/** The boot of this machine that is now: a UUID. Throws what reading throws. */
export const currentBoot = (): string => readFileSync(bootIdFile, 'utf8').trim()

/** When a process began, in clock ticks since boot; 0 when that cannot be known. */
export function processStart(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 0) // field 22
  } catch {
    return 0
  }
}

/** A UUID as four words; zeros for what is none. */
export function uuidWords(uuid: string): Uint32Array {
  const words = new Uint32Array(4)
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex')
  if (bytes.length === 16) for (let i = 0; i < 4; i++) words[i] = bytes.readUInt32BE(i * 4)
  return words
}
