// Windows on guest memory, made once and lent again and again: front ends that come and go cost no new addresses.
import { MappedMemory } from '../native/mapped-memory.ts'

/** By size class: windows that nobody uses. */
const idle: MappedMemory[][] = []

/** An empty window of at least `bytes` bytes. */
export function lendWindow(bytes: number): MappedMemory {
  const sizeClass = Math.max(12, Math.ceil(Math.log2(bytes)))
  return idle[sizeClass]?.pop() ?? new MappedMemory(2 ** sizeClass)
}

/** Empties a window and takes it back; whoever still holds a view of it must not use it any more. */
export function returnWindow(window: MappedMemory): void {
  window.detach(true)
  const sizeClass = Math.log2(window.size)
  const list = idle[sizeClass] ?? []
  idle[sizeClass] = list
  list.push(window)
}
