// What each guest's messages came to, counted by the relay in memory that the main thread reads. Numbers only.

export const MESSAGES = 0
/** Forwarded, or answered here with what the guest may know. */
export const ALLOWED = 1
/** Refused, or answered with a placeholder. */
export const DENIED = 2
/** Malformed, absent, busy, or failed below. */
export const ERRORS = 3
/** 1 while a guest is connected. */
export const CONNECTED = 4
const stride = 8 // float64 numbers a guest: one cache line each

/** Shared memory for `slots` guests' counters. */
export const createCounters = (slots: number): SharedArrayBuffer => new SharedArrayBuffer(slots * stride * 8)

/** The counters of the guest in `slot`: one writer, the relay; a reader may lag, never tear. */
export const countersOf = (shared: SharedArrayBuffer, slot: number): Float64Array =>
  new Float64Array(shared, slot * stride * 8, stride)
