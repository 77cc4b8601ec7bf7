// What the main thread can ask of the relay: plain data in, plain data out, so that it crosses threads. No behaviour.
import type { AddressRange, GuestLinkSpec } from '../guest-link/guest-link.ts'
import type { Counts, Grants } from '../permissions/grants.ts'
import type { PlatformIdentity } from './identity.ts'

/** What discovery found, as the mediator needs it. */
export interface RelaySetup {
  /** Protocol id to the version word in force, Base included. */
  readonly versions: ReadonlyMap<number, number>
  readonly counts: Counts
  readonly identity: PlatformIdentity
  /** What the host uses itself. */
  readonly host: Grants
  readonly auditQueries: boolean
}

/** What a guest whose calls the hypervisor traps has of its own, besides its link. */
export interface TrappedDomain {
  readonly domid: number
  /** As its tree names them. */
  readonly shmem: AddressRange
  readonly smcId: number
  readonly takesParameters: boolean
  /** A former run served it. */
  readonly returning: boolean
}

/** A guest to serve. */
export interface GuestOpening {
  readonly slot: number
  readonly generation: number
  readonly name: string
  readonly agentId: number
  readonly channel: number
  readonly grants: Grants
  /** Version words by protocol id, where it is shown others than the platform's; none may be newer. */
  readonly versions?: ReadonlyMap<number, number>
  readonly link: GuestLinkSpec
  /** Function id of trap-socket guests that name none. */
  readonly smcId: number
  readonly maxMessageBytes: number
  /** A former run of the daemon served it. */
  readonly returning?: boolean
  /** When its domain was added, in milliseconds: what it votes for is kept for a successor under that name. */
  readonly since?: number
  /** With link kind xen-smc. */
  readonly trapped?: TrappedDomain
}

/** A domain that a former run of the daemon served: in which slot, and when it was added, in milliseconds. */
export interface FormerDomain {
  readonly slot: number
  readonly since: number
}

/** What was found of former domains' votes. */
export interface Recollection {
  /** Domains whose votes stand, until they are opened or forgotten. */
  readonly domains: readonly FormerDomain[]
  /** The votes of this boot's former run are there, and cannot be believed. */
  readonly foreign: boolean
}

export type RelayCommand =
  | { readonly type: 'request'; readonly channel: number; readonly frame: Uint8Array }
  | { readonly type: 'configure'; readonly setup: RelaySetup }
  | { readonly type: 'recollect'; readonly domains: readonly FormerDomain[] }
  | { readonly type: 'forget'; readonly slot: number }
  | { readonly type: 'open'; readonly guest: GuestOpening }
  | { readonly type: 'grants'; readonly slot: number; readonly grants: Grants }
  | { readonly type: 'rename'; readonly slot: number; readonly name: string }
  | { readonly type: 'host'; readonly host: Grants }
  | { readonly type: 'close'; readonly slot: number }
  | { readonly type: 'restore'; readonly channel: number; readonly refused: readonly number[] }
  | { readonly type: 'facts' }

/** What was asked for again on a channel whose platform may have forgotten it. */
export interface RestoreReport {
  /** Switched on because guests need it; switched off because nobody does. */
  readonly votes: number
  readonly releases: number
  readonly subscriptions: number
  /** What the firmware refused, a sentence each. */
  readonly failed: readonly string[]
}

/** What the relay knows of the firmware-link before anything was asked. */
export interface LinkFacts {
  readonly kind: string
  readonly channels: number
  readonly maxMessageBytes: number
}

/** The relay as the main thread sees it; every method resolves when the relay has done it, in the order of calls. */
export interface RelayPort {
  /** Resolves when the firmware can be asked; FIRMWARE_SILENT when that takes too long. */
  facts(): Promise<LinkFacts>
  /** One exchange with the firmware. FIRMWARE_SILENT when nothing came within the deadline. */
  request(channel: number, frame: Uint8Array): Promise<Uint8Array>
  configure(setup: RelaySetup): Promise<void>
  /**
   * Before any guest is opened: votes of these domains stand, from now on, until they are opened or forgotten. What
   * anybody else had asked for of a former run is released.
   */
  recollect(domains: readonly FormerDomain[]): Promise<Recollection>
  /** What the domain that is not opened in this slot had asked for of a former run is released. */
  forget(slot: number): Promise<void>
  /**
   * Opens a guest's link. SOCKET_PATH when it cannot. What it had asked for of a former run, if that stands and it still
   * owns it, is asked for again before; then a report is given.
   */
  open(guest: GuestOpening): Promise<RestoreReport | undefined>
  /**
   * Puts other grants in force for a guest. Resolves when no message judged by the former ones is under way any more,
   * and what the guest had asked for of resources it has lost is withdrawn.
   */
  grants(slot: number, grants: Grants): Promise<void>
  /** What a guest is called, to itself and in the log. */
  rename(slot: number, name: string): Promise<void>
  host(host: Grants): Promise<void>
  /** Closes a guest's link, lets its messages under way end, withdraws what it asked for, frees the slot. */
  close(slot: number): Promise<void>
  /**
   * Asks again, on a channel that was lost, for what its guests asked for; from then on they are served, but for those in
   * the slots `refused`, which are denied. Until then they are answered BUSY. FIRMWARE_SILENT: to be tried again.
   */
  restore(channel: number, refused: readonly number[]): Promise<RestoreReport>
  /** Stops the relay; twice is once. */
  stop(): Promise<void>
}

/** The port over anything that executes commands: a relay in this thread, or one across a message port. */
export abstract class RelayCommands implements RelayPort {
  protected abstract execute(command: RelayCommand): Promise<unknown>
  abstract stop(): Promise<void>

  facts(): Promise<LinkFacts> {
    return this.execute({ type: 'facts' }) as Promise<LinkFacts>
  }
  request(channel: number, frame: Uint8Array): Promise<Uint8Array> {
    return this.execute({ type: 'request', channel, frame }) as Promise<Uint8Array>
  }
  async configure(setup: RelaySetup): Promise<void> {
    await this.execute({ type: 'configure', setup })
  }
  recollect(domains: readonly FormerDomain[]): Promise<Recollection> {
    return this.execute({ type: 'recollect', domains }) as Promise<Recollection>
  }
  async forget(slot: number): Promise<void> {
    await this.execute({ type: 'forget', slot })
  }
  open(guest: GuestOpening): Promise<RestoreReport | undefined> {
    return this.execute({ type: 'open', guest }) as Promise<RestoreReport | undefined>
  }
  async grants(slot: number, grants: Grants): Promise<void> {
    await this.execute({ type: 'grants', slot, grants })
  }
  async rename(slot: number, name: string): Promise<void> {
    await this.execute({ type: 'rename', slot, name })
  }
  async host(host: Grants): Promise<void> {
    await this.execute({ type: 'host', host })
  }
  restore(channel: number, refused: readonly number[]): Promise<RestoreReport> {
    return this.execute({ type: 'restore', channel, refused }) as Promise<RestoreReport>
  }
  async close(slot: number): Promise<void> {
    await this.execute({ type: 'close', slot })
  }
}
