// The packets of the trap socket, as docs/trap-socket.md states them. Numbers only.

/** ASCII 'SCMI', first letter in the lowest byte. */
export const helloMagic = 0x494d4353
export const helloVersion = 1
/** HELLO: u32 magic, u32 version, u32 a2pSize, u32 p2aSize; one memfd comes with it. */
export const helloBytes = 16

/** CALL: u32 type, u32 vcpu, u64 x0..x7. */
export const CALL = 1
export const callBytes = 72
/** RETURN: u32 type, u32 vcpu, u64 x0..x3. */
export const RETURN = 2
export const returnBytes = 40
/** DOORBELL, from the daemon: u32 type, u32 channel. */
export const DOORBELL = 3
export const doorbellBytes = 8

/** The channel of the P2A area in DOORBELL. */
export const p2aChannel = 1

/** Sizes an area may have, in bytes; a multiple of 4. */
export const areaBytesMin = 32
export const areaBytesMax = 65536
