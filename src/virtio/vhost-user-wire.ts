// The messages of vhost-user as its standard numbers and sizes them. Numbers only.

export const GET_FEATURES = 1
export const SET_FEATURES = 2
export const SET_OWNER = 3
export const RESET_OWNER = 4
export const SET_MEM_TABLE = 5
export const SET_VRING_NUM = 8
export const SET_VRING_ADDR = 9
export const SET_VRING_BASE = 10
export const GET_VRING_BASE = 11
export const SET_VRING_KICK = 12
export const SET_VRING_CALL = 13
export const SET_VRING_ERR = 14
export const GET_PROTOCOL_FEATURES = 15
export const SET_PROTOCOL_FEATURES = 16
export const GET_QUEUE_NUM = 17
export const SET_VRING_ENABLE = 18
export const GET_INFLIGHT_FD = 31
export const SET_INFLIGHT_FD = 32
export const RESET_DEVICE = 34
export const GET_MAX_MEM_SLOTS = 36
export const ADD_MEM_REG = 37
export const REM_MEM_REG = 38

/** Header: u32 request, u32 flags, u32 size of what follows. Integers have the host's order. */
export const headerBytes = 12
/** Longest payload, and most descriptors with one message. */
export const maxPayloadBytes = 4096
export const maxFds = 32

/** Flags: the version in the two lowest bits, then whether it is a reply, and whether one is wanted. */
export const versionMask = 0x3
export const VERSION = 0x1
export const REPLY = 0x4
export const NEED_REPLY = 0x8

/** Payload of a ring's eventfd: the ring in the low byte, and whether no descriptor comes. */
export const ringMask = 0xff
export const NO_FD = 0x100

/** SET_MEM_TABLE: u32 count, u32 padding, then regions of four u64: guest-physical, size, user address, file offset. */
export const tableBytes = 8
export const regionBytes = 32
export const maxTableRegions = 8
/** ADD_MEM_REG and REM_MEM_REG: u64 padding, one region. */
const singleRegionBytes = 40

/** Logs of what is under way: u64 size, u64 offset, u16 rings, u16 entries; some front ends pad it. */
export const inflightBytes = 20
export const inflightPaddedBytes = 24

/** One message's form: its name, its payload's size (-1: its own matter), and the most descriptors it may bring. */
export interface RequestForm {
  readonly name: string
  readonly size: number
  readonly fds: number
}

const form = (name: string, size: number, fds = 0): RequestForm => ({ name, size, fds })

/** What a front end may ask of us; anything else is refused. */
export const requests: ReadonlyMap<number, RequestForm> = new Map([
  [GET_FEATURES, form('GET_FEATURES', 0)],
  [SET_FEATURES, form('SET_FEATURES', 8)],
  [SET_OWNER, form('SET_OWNER', 0)],
  [RESET_OWNER, form('RESET_OWNER', 0)],
  [SET_MEM_TABLE, form('SET_MEM_TABLE', -1, maxTableRegions)],
  [SET_VRING_NUM, form('SET_VRING_NUM', 8)],
  [SET_VRING_ADDR, form('SET_VRING_ADDR', 40)],
  [SET_VRING_BASE, form('SET_VRING_BASE', 8)],
  [GET_VRING_BASE, form('GET_VRING_BASE', 8)],
  [SET_VRING_KICK, form('SET_VRING_KICK', 8, 1)],
  [SET_VRING_CALL, form('SET_VRING_CALL', 8, 1)],
  [SET_VRING_ERR, form('SET_VRING_ERR', 8, 1)],
  [GET_PROTOCOL_FEATURES, form('GET_PROTOCOL_FEATURES', 0)],
  [SET_PROTOCOL_FEATURES, form('SET_PROTOCOL_FEATURES', 8)],
  [GET_QUEUE_NUM, form('GET_QUEUE_NUM', 0)],
  [SET_VRING_ENABLE, form('SET_VRING_ENABLE', 8)],
  [GET_INFLIGHT_FD, form('GET_INFLIGHT_FD', -1)],
  [SET_INFLIGHT_FD, form('SET_INFLIGHT_FD', -1, 1)],
  [RESET_DEVICE, form('RESET_DEVICE', 0)],
  [GET_MAX_MEM_SLOTS, form('GET_MAX_MEM_SLOTS', 0)],
  [ADD_MEM_REG, form('ADD_MEM_REG', singleRegionBytes, 1)],
  [REM_MEM_REG, form('REM_MEM_REG', singleRegionBytes, 1)],
])
