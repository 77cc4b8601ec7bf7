// Where things lie in a split virtqueue: numbers of the virtio standard, section "Split Virtqueues". No behaviour.

/** Descriptor flags. */
export const NEXT = 1
export const WRITE = 2
export const INDIRECT = 4
/** Flag of the available ring: the driver wants no signal. Flag of the used ring: the device wants no kick. */
export const NO_INTERRUPT = 1
export const NO_NOTIFY = 1

/** A descriptor: u64 address, u32 length, u16 flags, u16 next. */
export const descriptorShift = 4
export const descriptorBytes = 1 << descriptorShift
export const descriptorWords = 4

/** Entries a ring may have: a power of two. */
export const maxRingSize = 32768

/** Sizes and alignments of the three parts of a ring of `size` entries, event fields included. */
export const descriptorTableBytes = (size: number): number => size * descriptorBytes
export const availableRingBytes = (size: number): number => 6 + 2 * size
export const usedRingBytes = (size: number): number => 6 + 8 * size
export const descriptorAlignment = 16
export const availableAlignment = 2
export const usedAlignment = 4

/** Available ring, in halves: flags, idx, ring[size], used_event. Used ring: flags, idx, then words {id, len}, avail_event. */
export const FLAGS = 0
export const IDX = 1
export const RING = 2
/** First word of the used ring's elements, and words of each. */
export const USED_RING_WORD = 1
export const usedElementWords = 2
