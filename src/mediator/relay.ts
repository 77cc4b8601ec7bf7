// The relay: mediator, firmware-link and guests' links on one reactor, and the main thread's commands to them. Everything
// here runs on one thread and waits for nothing; what takes time calls back.
import { type AuditProducer, AuditRingWriter } from '../audit/ring.ts'
import { MediatorError } from '../errors.ts'
import type { FirmwareHandler, FirmwareLink } from '../firmware-link/firmware-link.ts'
import type { FrameHandler, GuestLink } from '../guest-link/guest-link.ts'
import type { Reactor } from '../native/reactor.ts'
import { type Grants, noGrants, protocolIds } from '../permissions/grants.ts'
import { compileOlder } from '../permissions/older.ts'
import { compileRules, type Rules } from '../permissions/rules.ts'
import { base } from '../scmi/base.ts'
import { COMMS_ERROR } from '../scmi/status.ts'
import { headerBytes, type Transfer } from '../transfer.ts'
import { Arbiter } from './arbiter.ts'
import { CONNECTED, countersOf } from './counters.ts'
import { giveBack } from './giving-back.ts'
import { type GuestState, maxGuests } from './guest.ts'
import { VirtualIdentity } from './identity.ts'
import { InFlight } from './in-flight.ts'
import { Keeping, type KeepingParts } from './keeping.ts'
import { Mailbox } from './mailbox.ts'
import { Mediator } from './mediator.ts'
import { OlderGuest } from './older-guest.ts'
import type { FormerDomain, GuestOpening, RelayCommand, RelaySetup } from './relay-port.ts'

/** Called once, when a command is done. */
export type Done = (error: unknown, result?: unknown) => void

/** What a relay is built from. */
export interface RelayParts extends KeepingParts {
  readonly reactor: Reactor
  /** Builds the firmware-link over its handler. */
  readonly makeFirmware: (handler: FirmwareHandler) => FirmwareLink
  /** Builds a guest's link; it listens at once. */
  readonly makeLink: (guest: GuestOpening, handler: FrameHandler) => GuestLink
  /** Memory of the audit ring and of the counters, for `maxGuests` slots. */
  readonly audit: SharedArrayBuffer
  readonly counters: SharedArrayBuffer
  /** Told when the connection of a firmware channel is back: its guests wait for `restore`. */
  readonly onReconnected?: (channel: number) => void
  /** How often silent firmware is looked for, in milliseconds. */
  readonly expireMs: number
}

const unconfigured: RelaySetup = {
  versions: new Map(),
  counts: new Uint32Array(protocolIds),
  identity: { vendor: '', implementationVersion: 0 },
  host: noGrants(),
  auditQueries: false,
}

/** One platform and its guests. */
export class Relay implements FirmwareHandler, FrameHandler {
  readonly #parts: RelayParts
  readonly #firmware: FirmwareLink
  readonly #audit: AuditRingWriter
  readonly #links = new Map<number, GuestLink>()
  readonly #keeping: Keeping
  #setup: RelaySetup = unconfigured
  /** Slots of domains that a former run served, whose votes stand, and that are not opened yet. */
  readonly #absent = new Set<number>()
  #arbiter: Arbiter
  #mediator: Mediator

  constructor(parts: RelayParts) {
    this.#parts = parts
    this.#keeping = new Keeping(parts)
    this.#audit = new AuditRingWriter(parts.audit, parts.reactor.clock)
    this.#firmware = parts.makeFirmware(this)
    this.#arbiter = this.#newArbiter()
    this.#mediator = this.#newMediator()
    this.#everyTick()
  }

  /** The mediator in force; for tests and counters. */
  get mediator(): Mediator {
    return this.#mediator
  }

  handle(transfer: Transfer, link: GuestLink): void {
    this.#mediator.handle(transfer, link)
  }
  restarted(link: GuestLink): void {
    this.#mediator.restarted(link)
  }
  resumed(link: GuestLink): void {
    this.#mediator.resumed(link)
  }
  room(link: GuestLink): void {
    this.#mediator.room(link)
  }
  complete(transfer: Transfer): void {
    this.#mediator.complete(transfer)
  }
  arrived(channel: number, frame: Uint8Array, length: number): void {
    this.#mediator.arrived(channel, frame, length)
  }
  delayed(tag: number, frame: Uint8Array, length: number): void {
    this.#mediator.delayed(tag, frame, length)
  }
  reconnected(channel: number): void {
    this.#mediator.reconnected(channel)
    this.#parts.onReconnected?.(channel)
  }

  /** One round of the reactor; waits up to `timeoutMs`. */
  step(timeoutMs: number): void {
    this.#parts.reactor.step(timeoutMs)
  }

  /** Executes a command of the main thread; `done` is called before this returns, or later. Never throws. */
  execute(command: RelayCommand, done: Done): void {
    try {
      this.#execute(command, done)
    } catch (error) {
      done(error)
    }
  }

  /** Closes every link. Twice is once. */
  close(): void {
    for (const link of this.#links.values()) {
      if (link.suspend === undefined) link.close()
      else link.suspend()
    }
    this.#links.clear()
    this.#firmware.close()
    this.#keeping.close()
  }

  #execute(command: RelayCommand, done: Done): void {
    switch (command.type) {
      case 'facts': {
        const { kind, channels, maxMessageBytes } = this.#firmware
        const tell = (error?: unknown): void => done(error, { kind, channels, maxMessageBytes })
        return this.#firmware.whenReady === undefined ? tell() : this.#firmware.whenReady(tell)
      }
      case 'request':
        return this.#request(command.channel, command.frame, done)
      case 'configure':
        if (this.#links.size > 0 || this.#mediator.own.busy)
          throw new MediatorError(
            'NOT_SUPPORTED',
            'the relay cannot be configured anew while it serves guests',
          )
        this.#configure(command.setup)
        return done(undefined)
      case 'recollect':
        return this.#recollect(command.domains, done)
      case 'forget':
        if (this.#absent.has(command.slot)) this.#drop(command.slot)
        return this.#mediator.own.whenReleased(() => done(undefined))
      case 'open':
        return this.#open(command.guest, done)
      case 'grants':
        return this.#regrant(command.slot, command.grants, done)
      case 'rename':
        return this.#rename(command.slot, command.name, done)
      case 'host':
        this.#setup = { ...this.#setup, host: command.host }
        this.#countHolders()
        this.#mediator.admission.releaseAbandoned()
        return this.#mediator.own.whenReleased(() => done(undefined))
      case 'restore':
        this.#refuseUnknown(command.channel)
        return this.#mediator.restoration.restore(command.channel, command.refused, done)
      case 'close':
        return this.#close(command.slot, done)
    }
  }

  #configure(setup: RelaySetup): void {
    this.#setup = setup
    this.#keeping.openVotes({ counts: setup.counts, slots: maxGuests, channels: this.#firmware.channels })
    this.#arbiter = this.#newArbiter()
    this.#arbiter.bound()
    this.#mediator = this.#newMediator()
    this.#absent.clear()
    for (const slot of this.#keeping.votes?.taken ?? []) this.#absent.add(slot)
    this.#countHolders()
  }

  #newArbiter(): Arbiter {
    return new Arbiter(this.#setup.counts, maxGuests, this.#firmware.channels, this.#keeping.votes)
  }

  /** Votes of every one of these domains count before the first of them is served. */
  #recollect(domains: readonly FormerDomain[], done: Done): void {
    const stands = ({ slot, since }: FormerDomain): boolean =>
      this.#absent.has(slot) && this.#keeping.votes?.since(slot) === since
    const standing = domains.filter(stands)
    for (let slot = 0; slot < maxGuests; slot++)
      if (this.#mediator.guests[slot] === undefined && !standing.some(each => each.slot === slot))
        this.#drop(slot)
    const foreign = this.#keeping.votes?.foreign ?? false
    this.#mediator.own.whenReleased(() => done(undefined, { domains: standing, foreign }))
  }

  /** Nobody is in the slot: what stands there of a former run is withdrawn. */
  #drop(slot: number): void {
    this.#keeping.votes?.assign(slot, 0)
    this.#absent.delete(slot)
    this.#mediator.admission.withdrawAll(slot, [])
    this.#countHolders()
  }

  #newMediator(): Mediator {
    return new Mediator({
      rules: compileRules(this.#setup.versions),
      counts: this.#setup.counts,
      arbiter: this.#arbiter,
      firmware: this.#firmware,
      auditQueries: this.#setup.auditQueries,
      now: () => this.#parts.reactor.now,
      log: (level, text) => this.#parts.log?.(level, text),
    })
  }

  #request(channel: number, frame: Uint8Array, done: Done): void {
    this.#refuseUnknown(channel)
    const { maxMessageBytes } = this.#firmware
    if (frame.length < headerBytes || frame.length > maxMessageBytes)
      throw new MediatorError(
        'REQUEST_INVALID',
        `a command to the firmware has ${headerBytes} to ${maxMessageBytes} bytes, not ${frame.length}`,
      )
    this.#mediator.own.request(channel, frame, transfer => {
      if (transfer.ints[1] === COMMS_ERROR && transfer.length === 8)
        return done(new MediatorError('FIRMWARE_SILENT', `the firmware did not answer on channel ${channel}`))
      done(undefined, transfer.bytes.slice(0, transfer.length))
    })
  }

  #refuseUnknown(channel: number): void {
    const { channels } = this.#firmware
    if (!Number.isInteger(channel) || channel < 0 || channel >= channels)
      throw new MediatorError(
        'AGENT_UNKNOWN',
        `the firmware has ${channels} channels, and no channel ${channel}`,
      )
  }

  #open(opening: GuestOpening, done: Done): void {
    const { slot, name, channel, grants } = opening
    if (this.#mediator.guests[slot] !== undefined)
      throw new MediatorError('DOMAIN_EXISTS', `relay slot ${slot} is taken`)
    if (this.#audit.producers[slot] === undefined || slot >= maxGuests)
      throw new MediatorError('AGENTS_EXHAUSTED', `the relay serves ${maxGuests} guests, no more`)
    this.#refuseUnknown(channel)
    const { maxMessageBytes } = this.#firmware
    if (opening.maxMessageBytes < maxMessageBytes)
      throw new MediatorError(
        'NOT_SUPPORTED',
        `the firmware answers with up to ${maxMessageBytes} bytes, more than the ${opening.maxMessageBytes} that ${name} can take`,
      )
    const known = this.#absent.has(slot)
    if (opening.returning !== true || !known) {
      if (known) this.#drop(slot)
      this.#serve(opening)
      return done(undefined)
    }
    this.#mediator.admission.withdrawAll(slot, grants.owned)
    this.#mediator.restoration.recall({ slot, channel, grants }, (error, report) => {
      try {
        // Told again with the rest, when it answers.
        if (error !== undefined) this.reconnected(channel)
        this.#serve(opening)
        done(undefined, report)
      } catch (fault) {
        done(fault)
      }
    })
  }

  /** Makes the guest's link; what it asks from then on is served. */
  #serve(opening: GuestOpening): void {
    const { slot, generation, name, agentId, channel, grants } = opening
    const { maxMessageBytes } = this.#firmware
    const audit = this.#audit.producers[slot] as AuditProducer
    const older = opening.versions && compileOlder(this.#setup.versions, opening.versions)
    const between = older && new OlderGuest(older, this)
    const made = this.#parts.makeLink(opening, between ?? this)
    if (between !== undefined) between.link = made
    const link = between ?? made
    const counters = countersOf(this.#parts.counters, slot)
    counters.fill(0)
    this.#links.set(slot, link)
    const guest: GuestState = {
      slot,
      generation,
      name,
      agentId,
      channel,
      grants,
      identity: this.#identity(name, grants, older?.rules),
      rules: older?.rules,
      link,
      counters,
      audit,
      inFlight: new InFlight(),
      mailbox: new Mailbox(Math.max(opening.maxMessageBytes, maxMessageBytes)),
      session: this.#mediator.routing.session(),
      begun: false,
      kept: this.#keeping.open(opening, this.#mediator.routing.subscriptions),
      standing: this.#mediator.restoration.standing(channel),
      closing: false,
    }
    guest.identity.kept = guest.kept
    if (between !== undefined) between.guest = guest
    this.#mediator.guests[slot] = guest
    this.#absent.delete(slot)
    this.#keeping.votes?.assign(slot, opening.since ?? 0)
    this.#countHolders()
  }

  /** `rules`: of a guest that is shown older versions. */
  #identity(name: string, { protocols }: Grants, rules: Rules | undefined): VirtualIdentity {
    const { versions } = rules ?? this.#setup
    const held = Array.from(protocols.keys()).filter(
      id => protocols[id] === 1 && id !== base.id && versions.has(id),
    )
    return new VirtualIdentity(rules ?? this.#mediator.rules, this.#setup.identity, name, held)
  }

  #rename(slot: number, name: string, done: Done): void {
    const guest = this.#guest(slot)
    guest.name = name
    this.#keeping.rename(slot, name)
    this.#regrant(slot, guest.grants, done)
  }

  #regrant(slot: number, grants: Grants, done: Done): void {
    const guest = this.#guest(slot)
    const { version, notifyErrors, kept } = guest.identity
    const former = guest.grants
    guest.grants = grants
    guest.identity = this.#identity(guest.name, grants, guest.rules)
    guest.identity.kept = kept
    guest.identity.resume(version, notifyErrors)
    this.#countHolders()
    guest.inFlight.whenQuiet(() => this.#withdraw(guest, former, () => done(undefined)))
  }

  #close(slot: number, done: Done): void {
    const guest = this.#guest(slot)
    guest.closing = true
    guest.link.close()
    this.#links.delete(slot)
    const former = guest.grants
    guest.grants = noGrants()
    this.#mediator.forget(guest)
    guest.inFlight.whenQuiet(() =>
      this.#withdraw(guest, former, () => {
        this.#keeping.forget(slot, guest.name, this.#mediator.routing.subscriptions)
        this.#mediator.guests[slot] = undefined
        guest.counters[CONNECTED] = 0
        this.#countHolders()
        done(undefined)
      }),
    )
  }

  #guest(slot: number): GuestState {
    const guest = this.#mediator.guests[slot]
    if (guest === undefined || guest.closing)
      throw new MediatorError('DOMAIN_UNKNOWN', `the relay has no guest in slot ${slot}`)
    return guest
  }

  /** Withdraws what the guest asked for of resources that it holds no longer. */
  #withdraw(guest: GuestState, former: Grants, done: () => void): void {
    const { routing, admission, own, guests, rules } = this.#mediator
    routing.unsubscribe(guest, guest.grants)
    admission.withdrawAll(guest.slot, guest.grants.owned)
    giveBack(rules, own, guests, guest, former, () => own.whenReleased(done))
  }

  #countHolders(): void {
    const guests = this.#mediator.guests.flatMap(guest => (guest === undefined ? [] : [guest.grants]))
    this.#arbiter.setHolders(guests, this.#setup.host, this.#absent)
  }

  /** Lets the firmware's deadlines pass, and tells who is connected, every few milliseconds. */
  #everyTick(): void {
    const { reactor, expireMs } = this.#parts
    const timer = reactor.timer({
      expired: now => {
        timer.set(expireMs)
        this.#firmware.expire(now)
        this.#mediator.own.expire(now)
        this.#mediator.routing.pump()
        this.#mediator.restoration.pump()
        this.#mediator.takingUp.pump()
        for (const [slot, link] of this.#links)
          countersOf(this.#parts.counters, slot)[CONNECTED] = link.occupied ? 1 : 0
      },
    })
    timer.set(expireMs)
  }
}
