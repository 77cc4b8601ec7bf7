// A worker thread that scribbles over a guest's shared memory as fast as it can while the daemon reads it. It is told
// which memory by messages, and when by a shared word; it knows the places where it hurts.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { MappedMemory } from '../native/mapped-memory.ts'
import { Random } from './random.ts'

/** What the thread starts with. */
export interface RewriterData {
  /** [0] what it shall do, [1] what it does: both of the states below. */
  readonly control: SharedArrayBuffer
  readonly seed: number
}

/** Memory to scribble over from the next storm on: the fd is read once, before the storm shows as begun. */
export interface RewriterMemory {
  readonly fd: number
  readonly bytes: number
}

export const IDLE = 0
export const STORM = 1
export const QUIT = 2

/** Words of an area that decide something: channel status, flags, length, header, and the first of the payload. */
const soreWords = [1, 4, 5, 5, 5, 6, 6, 7, 8, 9]
/** Values that lengths and headers are sore about. */
const soreValues = [0, 1, 3, 4, 8, 12, 16, 128, 129, 0x7fff_ffff, 0xffff_ffff, 0x40, 0x5005, 0x4011]

if (parentPort !== null) run(workerData as RewriterData, parentPort)

function run({ control, seed }: RewriterData, port: NonNullable<typeof parentPort>): void {
  const states = new Int32Array(control)
  const random = new Random(seed)
  let memory: MappedMemory | undefined
  for (;;) {
    Atomics.wait(states, 0, IDLE)
    if (Atomics.load(states, 0) === QUIT) break
    for (let told = receiveMessageOnPort(port); told !== undefined; told = receiveMessageOnPort(port)) {
      const { fd, bytes } = told.message as RewriterMemory
      memory?.close()
      memory = new MappedMemory(bytes)
      memory.attach(fd, bytes)
    }
    Atomics.store(states, 1, STORM)
    const words = memory?.words ?? new Uint32Array(64)
    while (Atomics.load(states, 0) === STORM)
      words[random.pick(soreWords)] = random.below(4) === 0 ? random.word() : random.pick(soreValues)
    Atomics.store(states, 1, IDLE)
  }
  memory?.close()
}
