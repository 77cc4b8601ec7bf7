// Runs as a worker: floods slot 0 of a ring from another thread, then says how many messages went in and how many did not.
import { parentPort, workerData } from 'node:worker_threads'
import { ALLOWED, DENIED } from '../../src/audit/decision.ts'
import { AuditRingWriter } from '../../src/audit/ring.ts'

const { shared, messages } = workerData as { shared: SharedArrayBuffer; messages: number }
const producer = new AuditRingWriter(shared).producers[0]!
let refused = 0
for (let i = 0; i < messages; i++) {
  // runs of equal denials, with an allowed control in between, which carries its own number
  const took =
    i % 64 === 63
      ? producer.reserve(1) && producer.complete(0x14, 5, i, ALLOWED, 0, 1, 3, 1, i, 0, 0)
      : producer.append(0x14, 5, (i >>> 5) & 1, DENIED, -3, 1, 3, 1, i, 0, 9)
  if (!took) refused++
}
parentPort!.postMessage({ refused })
