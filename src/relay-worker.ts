// The relay thread's program: builds the concrete parts, serves until told to stop. Never returns to its event loop.
import { cpus } from 'node:os'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { inflightFile, sessionFile, votesFile } from './config/paths.ts'
import type { ScmidConfig } from './config/scmid.ts'
import { errorText, MediatorError } from './errors.ts'
import { EmbeddedLink } from './firmware-link/embedded/embedded-link.ts'
import type { FirmwareHandler, FirmwareLink } from './firmware-link/firmware-link.ts'
import { StreamSocketLink } from './firmware-link/stream-socket/stream-socket.ts'
import type { FrameHandler, GuestLink, GuestLinkSpec, XenSmcSpec } from './guest-link/guest-link.ts'
import type { LinkParts } from './guest-link/link-parts.ts'
import { MessageSocketLink } from './guest-link/message-socket/message-socket.ts'
import { TrapSocketLink } from './guest-link/trap-socket/trap-socket.ts'
import { VhostUserLink } from './guest-link/vhost-user/vhost-user.ts'
import { XenSmcLink } from './guest-link/xen-smc/xen-smc.ts'
import { Relay } from './mediator/relay.ts'
import type { GuestOpening } from './mediator/relay-port.ts'
import { carried, type FromRelay, type ToRelay } from './mediator/relay-thread.ts'
import { Xen } from './native/libxen.ts'
import { Reactor } from './native/reactor.ts'
import { loadPlatform } from './platform/load.ts'
import { Platform } from './platform/platform.ts'

/** What the main thread starts this program with. */
export interface RelayData {
  readonly firmware: ScmidConfig['firmware']
  readonly guests: ScmidConfig['guests']
  /** Directory for what guests find again that outlive the daemon. */
  readonly run: string
  readonly xen: ScmidConfig['xen']
  /** Directory of the journal of Xen domains' monitors. */
  readonly monitors: string
  readonly audit: SharedArrayBuffer
  readonly counters: SharedArrayBuffer
}

const port = parentPort
if (port === null) throw new Error('relay-worker runs as a worker thread of scmid')
const { firmware, guests, run, xen, monitors, audit, counters } = workerData as RelayData
const { maxMessageBytes } = guests

const say = (message: FromRelay): void => port.postMessage(message)
const log = (level: 'info' | 'warn' | 'error', text: string): void => say({ log: { level, text } })

/** Ours, not a guest's: the link answers GENERIC_ERROR if it can, and the others go on. */
const reactor = new Reactor(
  (_source, error) =>
    log('error', `internal error: ${error instanceof Error ? error.stack : errorText(error)}`),
  cpus().length > 1 ? guests.spinMicros : 0, // on one CPU nobody else can do what is looked for
)

function makeLink(guest: GuestOpening, handler: FrameHandler): GuestLink {
  const { link, slot } = guest
  const parts = {
    reactor,
    handler,
    log: (level: 'info' | 'warn' | 'error', text: string) => log(level, `${guest.name}: ${text}`),
  }
  if (link.kind === 'xen-smc') return makeXenLink(link, guest, parts)
  const options = { path: link.path, maxMessageBytes: guest.maxMessageBytes, guest: slot }
  switch (link.kind) {
    case 'trap-socket':
      return new TrapSocketLink({ ...options, smcId: link.smcId ?? guest.smcId }, parts)
    case 'message-socket':
      return new MessageSocketLink(options, parts)
    case 'vhost-user':
      return new VhostUserLink(
        {
          ...options,
          role: link.role,
          access: link,
          unsealed: guests.unsealedMemory,
          inflightFile: inflightFile({ run }, guest.name),
        },
        parts,
      )
  }
}

/** Xen's libraries, opened for the first domain that needs them. */
let hypervisor: Xen | undefined

function makeXenLink(
  link: XenSmcSpec,
  { trapped, maxMessageBytes, slot }: GuestOpening,
  parts: LinkParts,
): GuestLink {
  if (trapped === undefined) throw new Error('a Xen domain without its area')
  hypervisor ??= Xen.open(xen.libraries)
  const { libraries: _, ...limits } = xen
  const { uuid, devices, leaveArmed, conduit = 'smc' } = link
  return new XenSmcLink(
    {
      xen: hypervisor,
      ...trapped,
      ...limits,
      conduit,
      journal: monitors,
      maxMessageBytes,
      guest: slot,
      ...(uuid === undefined ? {} : { uuid }),
      ...(devices === undefined ? {} : { devices }),
      ...(leaveArmed === undefined ? {} : { leaveArmed }),
    },
    parts,
  )
}

/** Guests on sockets of ours connect anew, and begin anew. */
const sessionFileOf = (name: string, { kind }: GuestLinkSpec): string | undefined =>
  kind === 'vhost-user' || kind === 'xen-smc' ? sessionFile({ run }, name) : undefined

function makeFirmware(handler: FirmwareHandler): FirmwareLink {
  switch (firmware.link) {
    case 'embedded':
      return embedded(firmware.platform, handler)
    case 'stream-socket':
      return new StreamSocketLink(
        {
          paths: firmware.sockets,
          maxMessageBytes,
          timeoutMs: firmware.deadlineMs,
          connectMs: firmware.connectMs,
        },
        { reactor, handler, log },
      )
  }
}

/** The virtual SCP, with every channel as wide as a guest's, so that lists fit. */
function embedded(platform: string, handler: FirmwareHandler): FirmwareLink {
  const config = loadPlatform(platform)
  const channels =
    config.channels ?? config.agents.map(({ id }) => ({ agent: id, maxMessageBytes, p2a: true }))
  const wide = channels.map(each => ({
    ...each,
    maxMessageBytes: Math.max(each.maxMessageBytes, maxMessageBytes),
  }))
  const link = new EmbeddedLink(new Platform({ ...config, channels: wide }))
  link.open(handler)
  return link
}

/** What the operator or the machine is to mend is told as such; anything else ends the thread as it is. */
function makeRelay(): Relay | undefined {
  try {
    const expireMs = Math.max(1, Math.min(10, firmware.deadlineMs / 2))
    const onReconnected = (channel: number): void => say({ reconnected: channel })
    return new Relay({
      reactor,
      makeFirmware,
      makeLink,
      audit,
      counters,
      expireMs,
      onReconnected,
      sessionFile: sessionFileOf,
      votesFile: votesFile({ run }),
      log,
    })
  } catch (error) {
    if (!(error instanceof MediatorError)) throw error
    say({ failed: carried(error) })
    return undefined
  }
}

/** Serves until told to stop. */
function serve(relay: Relay, port: MessagePort): void {
  reactor.onWake = () => {
    for (
      let received = receiveMessageOnPort(port);
      received !== undefined;
      received = receiveMessageOnPort(port)
    ) {
      const message = received.message as ToRelay
      if ('stop' in message) return reactor.stop()
      const { id, command } = message
      relay.execute(command, (error, result) =>
        say(error === undefined ? { id, result } : { id, error: carried(error) }),
      )
    }
  }
  say({ ready: { wakeFd: reactor.wakeFd } })
  reactor.run()
  relay.close()
}

const relay = makeRelay()
if (relay !== undefined) serve(relay, port)
hypervisor?.close()
reactor.close()
port.close()
