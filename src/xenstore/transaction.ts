// Transactions: all of it or nothing, and begun anew while the daemon says EAGAIN, a bounded number of times.
import { setTimeout as sleep } from 'node:timers/promises'
import { MediatorError } from '../errors.ts'
import type { Connection } from './connection.ts'
import { isRefusal, XenstoreError } from './error.ts'
import { NodeRequests } from './requests.ts'
import { decodeTexts } from './wire.ts'

export interface TransactionOptions {
  /** How often it is begun in all. Default 32. */
  readonly attempts?: number
}

/** Longest pause between two attempts, in milliseconds; the first ones are shorter, and none is the same for two clients. */
const longestPauseMs = 64

/**
 * Runs `work` inside a transaction of the connection that `current` gives, again and again while others change what it
 * reads or writes. `work` must be repeatable: nothing of an earlier attempt has happened. Throws XenstoreError EAGAIN
 * when every attempt was in vain, XENSTORE_UNREACHABLE when the connection goes: whether it was committed is not known
 * then, if its end had been asked for.
 */
export async function runTransaction<T>(
  current: () => Connection,
  work: (nodes: NodeRequests) => Promise<T>,
  { attempts = 32 }: TransactionOptions = {},
): Promise<T> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (attempt > 0) await sleep(Math.random() * Math.min(2 ** attempt, longestPauseMs))
    const outcome = await once(current(), work)
    if (outcome !== undefined) return outcome.result
  }
  throw new XenstoreError('EAGAIN', 'transaction', `${attempts} attempts met other changes each time`)
}

/** Undefined for EAGAIN: nothing was applied, and the id is dead. */
async function once<T>(
  connection: Connection,
  work: (nodes: NodeRequests) => Promise<T>,
): Promise<{ readonly result: T } | undefined> {
  const transactionId = Number(decodeTexts(await connection.request('TRANSACTION_START', ['']))[0])
  if (!(transactionId > 0)) throw new MediatorError('XENSTORE_UNREACHABLE', 'xenstore gave no transaction id')
  const nodes = new NodeRequests((name, texts, value) =>
    connection.request(name, texts, { transactionId, ...(value === undefined ? {} : { value }) }),
  )
  let result: T
  try {
    result = await work(nodes)
  } catch (error) {
    await connection.request('TRANSACTION_END', ['F'], { transactionId }).catch(() => {})
    if (isRefusal(error, 'EAGAIN')) return undefined
    throw error
  }
  try {
    await connection.request('TRANSACTION_END', ['T'], { transactionId })
  } catch (error) {
    if (isRefusal(error, 'EAGAIN')) return undefined
    throw error
  }
  return { result }
}
