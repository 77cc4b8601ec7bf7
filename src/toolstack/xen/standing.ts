// How a domain stands once it is decided: served, denied or destroyed, let go, and told of in the store. Whether it is to
// stand so is the gate's matter.
import { errorText } from '../../errors.ts'
import type { GatedDomain } from './gated-domain.ts'
import type { Sanction, XenToolstackParts } from './options.ts'
import { publishDomain } from './publication.ts'

/** What it asks of the toolstack it stands in. */
export interface StandingOwner {
  readonly isOpen: () => boolean
  /** The hypervisor has other domains now. */
  readonly scan: () => void
}

export class Standing {
  readonly #parts: XenToolstackParts
  readonly #owner: StandingOwner

  constructor(parts: XenToolstackParts, owner: StandingOwner) {
    this.#parts = parts
    this.#owner = owner
  }

  grant(domain: GatedDomain, { agentId }: { readonly agentId: number }): void {
    domain.state = 'served'
    domain.agentId = agentId
    domain.reason = undefined
    void this.publish(domain)
  }

  deny(domain: GatedDomain, reason: string): void {
    domain.state = 'denied'
    domain.reason = reason
    domain.agentId = undefined
    void this.publish(domain)
  }

  /** Denies it, and destroys it where that is the sanction; else it runs without rights. */
  sanction(domain: GatedDomain, sanction: Sanction, reason: string): void {
    const { hypervisor, lifecycle, holds, log } = this.#parts
    const { domid, uuid, name = '?' } = domain
    const told = `domain ${domid} (${name}) has no SCMI: ${reason}`
    this.deny(domain, reason)
    if (sanction === 'destroy') {
      try {
        const info = hypervisor.get(domid)
        if (info?.uuid === uuid) hypervisor.destroy(domid)
        holds.forget(domid, uuid)
        log('error', `${told}; destroyed`)
        this.#owner.scan()
        return
      } catch (error) {
        lifecycle.tell(`domain ${domid} was not destroyed: ${errorText(error)}`)
      }
    }
    log('error', told)
    this.#spare(domain)
    this.letGo(domain)
  }

  /** The gate's hold, unless an operator wants it longer. */
  letGo(domain: GatedDomain): void {
    const { holds, lifecycle } = this.#parts
    if (domain.held) return
    try {
      holds.release(domain.domid, domain.uuid)
    } catch (error) {
      lifecycle.tell(`domain ${domain.domid} is held and cannot be let go: ${errorText(error)}`)
    }
  }

  /** One after the other, each as the domain stands by then: a late attempt must not bring back a former state. */
  publish(domain: GatedDomain): Promise<void> {
    domain.publishing = domain.publishing.then(() => this.#publishNow(domain))
    return domain.publishing
  }

  /** Without rights, a guest is told so; it shall not die of memory that is not there. */
  #spare({ domid, uuid, name = '?', shmem, registers }: GatedDomain): void {
    const { hypervisor, log } = this.#parts
    try {
      if (hypervisor.get(domid)?.uuid !== uuid) return
      for (const area of shmem) hypervisor.provideSharedPage({ domid, uuid }, area, registers)
    } catch (error) {
      log('warn', `domain ${domid} (${name}) has no shared page: ${errorText(error)}`)
    }
  }

  async #publishNow({ domid, uuid, state, agentId, reason, devices }: GatedDomain): Promise<void> {
    if (state === 'unmanaged' || state === 'leaving') return
    const { store, log } = this.#parts
    try {
      await publishDomain(store, {
        domid,
        uuid,
        state: state === 'served' ? 'ready' : state === 'denied' ? 'denied' : 'waiting',
        devices,
        ...(agentId === undefined ? {} : { agentId }),
        ...(reason === undefined ? {} : { error: reason }),
      })
    } catch (error) {
      if (this.#owner.isOpen() && store.isConnected)
        log('warn', `domain ${domid}: not published: ${errorText(error)}`)
    }
  }
}
