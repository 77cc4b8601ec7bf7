// The files of one audit log: `audit.jsonl`, and before it `audit.1.jsonl` (the oldest), `audit.2.jsonl`, … How they are named and found.
import { readdirSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { basename, dirname, extname } from 'node:path'
import { errorText, MediatorError } from '../errors.ts'

/** Where the log at `path` goes when it is the `n`th to be rotated out. Names are never used again. */
export function rotatedPath(path: string, n: number): string {
  const extension = extname(path)
  return `${path.slice(0, path.length - extension.length)}.${n}${extension}`
}

/** Which number `file` has among the rotated ones of the log at `path`; undefined when it is none of them. */
export function rotatedNumber(path: string, file: string): number | undefined {
  const extension = extname(path)
  const stem = `${basename(path, extension)}.`
  const name = basename(file)
  if (!name.startsWith(stem) || !name.endsWith(extension)) return undefined
  const middle = name.slice(stem.length, name.length - extension.length)
  return /^[1-9][0-9]{0,14}$/.test(middle) ? Number(middle) : undefined
}

/** The numbers of the rotated files beside `path`, rising, which is oldest first. */
export function rotatedNumbers(path: string): number[] {
  return readNames(dirname(path))
    .map(name => rotatedNumber(path, name))
    .filter(number => number !== undefined)
    .sort((a, b) => a - b)
}

/** Every file of the log at `path`, in the order of its chain. The last, `path` itself, may not exist. */
export function auditFiles(path: string): string[] {
  return [...rotatedNumbers(path).map(n => rotatedPath(path, n)), path]
}

function readNames(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw new MediatorError('SYSTEM', `${folder}: ${errorText(error)}`, { cause: error, path: folder })
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'

/** Opens a file to read it, undefined when there is none. */
export async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw new MediatorError('SYSTEM', `${path}: ${errorText(error)}`, { cause: error, path })
  }
}
