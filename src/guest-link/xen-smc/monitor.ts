// A domain's monitor from being enabled to being taken down, and what of it a dead predecessor left behind.
import { randomBytes } from 'node:crypto'
import { MediatorError } from '../../errors.ts'
import { EventChannel } from '../../native/event-channel.ts'
import type { Xen } from '../../native/libxen.ts'
import { EBUSY, EOPNOTSUPP } from '../../native/linux.ts'
import { MonitorRing } from '../../native/monitor-ring.ts'
import { checkedXen } from '../../native/xen-domains.ts'
import type { MonitorJournal, Stage } from './journal.ts'

/** XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL: the bit of the capabilities that says SMCs can be monitored. */
const PRIVILEGED_CALL = 1 << 7

/** What else the journal keeps of the domain. */
export interface Kept {
  readonly page: number
  readonly conduitSet: boolean
}

export class DomainMonitor {
  readonly ring: MonitorRing
  readonly channel: EventChannel
  /** vCPUs that a predecessor may have left waiting were let go: what they called for, they call for again. */
  readonly recovered: boolean
  readonly #xen: Xen
  readonly #domid: number
  readonly #journal: MonitorJournal
  readonly #nonce: string
  readonly #port: number
  readonly #kept: Kept
  #open = true

  private constructor(
    xen: Xen,
    domid: number,
    journal: MonitorJournal,
    armed: { nonce: string; port: number; kept: Kept; recovered: boolean },
    ring: MonitorRing,
    channel: EventChannel,
  ) {
    this.#xen = xen
    this.#domid = domid
    this.#journal = journal
    this.#nonce = armed.nonce
    this.#port = armed.port
    this.#kept = armed.kept
    this.recovered = armed.recovered
    this.ring = ring
    this.channel = channel
  }

  /**
   * Enables the monitor of a paused domain of `vcpus` vCPUs and has its SMCs go there. One that a dead process of ours
   * left is taken down first, if the journal and the event channel prove it ours; XEN_REFUSED otherwise.
   */
  static open(xen: Xen, domid: number, vcpus: number, journal: MonitorJournal, kept: Kept): DomainMonitor {
    refuseWithout(xen, domid)
    const before = journal.load()
    const nonce = randomBytes(8).toString('hex')
    const nothingYet = { nonce, port: -1, ...kept }
    // vCPUs may wait since a run that was killed, in the midst of arming or later.
    const recovered = before !== undefined && before.stage !== 'disarmed'
    const ours = before?.stage === 'armed' ? takeDown(xen, domid, before.port) : undefined
    // An entry `armed` stays until what it tells of is known to be gone.
    if (ours !== false) journal.save({ ...nothingYet, stage: 'arming' })
    const address = xen.monitorEnable(domid)
    if (address === -EBUSY) throw stranger(domid, why(before?.stage))
    if (address < 0) {
      journal.save({ ...nothingYet, stage: recovered ? 'arming' : 'disarmed' })
      if (address === -EOPNOTSUPP)
        throw new MediatorError(
          'XEN_REFUSED',
          `domain ${domid} has no page for a monitor: libxl gives every guest one, dom0less gives none`,
        )
      checkedXen('xc_monitor_enable', domid, address)
    }
    const port = xen.scratch.words[0] as number
    const ring = new MonitorRing(xen, address)
    const channel = EventChannel.bind(xen.functions, domid, port)
    try {
      if (typeof channel === 'number') {
        checkedXen('xenevtchn_bind_interdomain', domid, channel)
        throw new MediatorError('XEN_REFUSED', `no event channel with domain ${domid}`)
      }
      // Before the first call can come: a daemon that dies from here on is known as the monitor's owner.
      journal.save({ nonce, port, ...kept, stage: 'armed' })
      xen.monitorPrivilegedCalls(domid, false) // Xen keeps the switch on over a monitor's end
      checkedXen('xc_monitor_privileged_call', domid, xen.monitorPrivilegedCalls(domid, true))
      if (recovered) {
        // Taking a monitor down lets no waiting vCPU go. One that does not wait is not touched by this.
        for (let vcpu = 0; vcpu < vcpus; vcpu++) ring.release(vcpu)
        channel.notify()
      }
      return new DomainMonitor(xen, domid, journal, { nonce, port, kept, recovered }, ring, channel)
    } catch (error) {
      if (typeof channel !== 'number') channel.close()
      ring.close()
      xen.monitorDisable(domid)
      journal.save({ ...nothingYet, stage: recovered ? 'arming' : 'disarmed' })
      throw error
    }
  }

  /** From here on the domain's SMCs go to Xen itself; what waits on the ring is still to be released. */
  disarm(): void {
    if (this.#open) this.#xen.monitorPrivilegedCalls(this.#domid, false)
  }

  /** Takes the monitor down, disarmed and with nothing on the ring. Gives -errno when Xen did not. */
  close(): number {
    if (!this.#open) return 0
    this.abandon()
    const result = this.#xen.monitorDisable(this.#domid)
    const stage = result < 0 ? 'armed' : 'disarmed'
    this.#journal.save({ nonce: this.#nonce, port: this.#port, ...this.#kept, stage })
    return result
  }

  /** Lets go of ring and channel and leaves the monitor to a successor: calls of the guest wait for it. */
  abandon(): void {
    if (!this.#open) return
    this.#open = false
    this.channel.close()
    this.ring.close()
  }

  /** The domain is gone: nothing of it remains to be known. */
  forget(): void {
    this.abandon()
    this.#journal.remove()
  }
}

function refuseWithout(xen: Xen, domid: number): void {
  const result = xen.monitorCapabilities(domid)
  if (result === -EOPNOTSUPP || (result >= 0 && ((xen.scratch.words[0] as number) & PRIVILEGED_CALL) === 0))
    throw new MediatorError(
      'XEN_REFUSED',
      'this hypervisor cannot monitor SMCs: Xen 4.21 and later want to be built with CONFIG_VM_EVENT=y',
    )
  checkedXen('xc_monitor_get_capabilities', domid, result)
}

const stranger = (domid: number, why: string): MediatorError =>
  new MediatorError(
    'XEN_REFUSED',
    `another monitor is on domain ${domid}, and ${why}; stop whoever it belongs to, or destroy the domain`,
  )

function why(stage: Stage | undefined): string {
  if (stage === 'armed') return 'somebody listens on its event channel'
  if (stage === 'arming')
    return 'what a scmid that was killed meanwhile did cannot be told from what somebody else does'
  return 'nothing proves it to be of a former scmid'
}

/**
 * Takes down the monitor that a dead process of ours left. It is ours if its port, which was written down, can be bound:
 * that is so only while nobody listens on it. False when it cannot: it is gone, or in use.
 */
function takeDown(xen: Xen, domid: number, port: number): boolean {
  const channel = EventChannel.bind(xen.functions, domid, port)
  if (typeof channel === 'number') return false
  channel.close()
  xen.monitorPrivilegedCalls(domid, false)
  const result = xen.monitorDisable(domid)
  if (result === -EBUSY) throw stranger(domid, 'it cannot be taken down: more vCPUs wait than it has places')
  checkedXen('xc_monitor_disable', domid, result)
  return true
}
