import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { ALLOWED } from '../../src/audit/decision.ts'
import { createAuditRing } from '../../src/audit/ring-layout.ts'
import { AuditRingReader } from '../../src/audit/ring-reader.ts'

test.each([
  [1, 'always full'],
  [16, 'often full'],
  [1024, 'seldom full'],
])(
  'two threads, %i records (%s): nothing is lost uncounted and nothing comes twice',
  async (recordsPerSlot, _) => {
    const messages = 2_000_000
    const shared = createAuditRing(1, recordsPerSlot)
    const reader = new AuditRingReader(shared)
    let taken = 0
    let lost = 0
    let lastAllowed = -1
    let raised = 0
    const sink = {
      message: (record: { decision: number; argument0: number; repeated: number }) => {
        taken += record.repeated
        if (record.repeated > 1) raised++
        if (record.decision !== ALLOWED) return
        if (record.repeated !== 1 || record.argument0 <= lastAllowed)
          throw new Error('an allowed message came twice')
        lastAllowed = record.argument0
      },
      lost: (_slot: number, _generation: number, count: number) => {
        lost += count
      },
    }
    // Node 20 cannot strip types by itself, and a worker does not inherit the test runner's loader.
    const worker = new Worker(
      `const { workerData } = require('node:worker_threads')
     import('tsx/esm/api').then(({ register }) => { register(); return import(workerData.url) })`,
      {
        eval: true,
        workerData: { url: new URL('./ring-producer.ts', import.meta.url).href, shared, messages },
      },
    )
    const { refused } = await new Promise<{ refused: number }>((resolve, reject) => {
      worker.once('error', reject)
      const timer = setInterval(() => {
        for (let i = 0; i < 2000; i++) reader.drain(sink)
      }, 0)
      worker.once('message', result => {
        clearInterval(timer)
        resolve(result)
      })
    })
    await worker.terminate()
    reader.drain(sink)
    expect(taken + refused).toBe(messages)
    expect(lost).toBe(refused)
    expect(reader.lost(0)).toBe(refused)
    expect(raised, 'some denials met a record that was still in the ring').toBeGreaterThan(0)
  },
)
