// What the daemon's configuration file may say: its schema with the defaults. No reading, no checks across properties.
import { type Static, Type } from 'typebox'
import { modePattern } from './accounts.ts'
import { discoveries, domainName } from './names.ts'

const closed = { additionalProperties: false } as const
const path = (description: string) => Type.String({ minLength: 1, maxLength: 4095, description })

/** A domain's name; the control API uses it too. */
export const DomainName = Type.String(domainName)

/** An SCMI agent id that a guest may have: 0 is the platform. */
export const AgentId = Type.Integer({ minimum: 1, maximum: 0xfffffffe })
/** A hypervisor's domain id. Xen's own reserved ids begin at 0x7ff0. */
export const Domid = Type.Integer({ minimum: 0, maximum: 0x7fef })
/** The function id of an SMC. */
export const SmcId = Type.Integer({ minimum: 1, maximum: 0xffffffff })
/** A domain's UUID as libxl writes it. */
export const Uuid = Type.String({
  pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
  description: 'a UUID in lower case',
})
/** An SCMI release that a domain is shown; versions of single protocols by key, as `clock: '2.0'`. */
export const ShownRelease = Type.Enum(['1.0', '2.0', '3.0', '3.1', '3.2'])
export const ShownVersions = Type.Record(
  Type.String({ pattern: '^[a-z-]{1,32}$' }),
  Type.String({ pattern: '^[0-9]{1,3}\\.[0-9]{1,3}$', description: "a version in quotes, as '2.0'" }),
)
const Library = path('the name or path of a library')
const SocketModeText = Type.String({ pattern: modePattern, description: 'three octal digits in quotes' })
const SocketOwnerText = Type.String({
  minLength: 1,
  maxLength: 255,
  description: 'USER, USER:GROUP or :GROUP',
})

const Channel = Type.Integer({ minimum: 0, maximum: 0xffff })
const areas = {
  smcId: Type.Optional(SmcId),
  shmem: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
}
/** Descriptions of what one kind of firmware-link wants, for the checks across properties too. */
export const platformFile = 'the path of a platform file'
export const socketPath = 'the path of a socket'

/** What becomes of a Xen domain that cannot be served as it asks: it runs without rights, or it is destroyed. */
const Sanction = Type.Enum(['deny', 'destroy'], { default: 'deny' })

/** The file, as it is written. */
export const ScmidSchema = Type.Object(
  {
    host: path("the path of the host's device tree blob"),
    firmware: Type.Object(
      {
        link: Type.Enum(['embedded', 'stream-socket']),
        platform: Type.Optional(path(platformFile)),
        channels: Type.Optional(
          Type.Array(
            Type.Object({ path: path(socketPath), agentId: Type.Optional(AgentId), ...areas }, closed),
            { maxItems: 255 },
          ),
        ),
        connectMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 600_000 })),
        deadlineMs: Type.Integer({ minimum: 1, maximum: 60_000, default: 20 }),
        management: Type.Optional(
          Type.Object(
            {
              channel: Type.Optional(Channel),
              path: Type.Optional(path(socketPath)),
              agentId: Type.Optional(AgentId),
            },
            closed,
          ),
        ),
        agents: Type.Optional(
          Type.Array(Type.Object({ channel: Channel, agentId: Type.Optional(AgentId), ...areas }, closed), {
            maxItems: 4096,
          }),
        ),
      },
      closed,
    ),
    guests: Type.Object(
      {
        maxMessageBytes: Type.Integer({ minimum: 32, maximum: 4096, default: 128 }),
        smcId: Type.Integer({ minimum: 1, maximum: 0xffffffff, default: 0x82000002 }),
        unsealedMemory: Type.Enum(['copy', 'refuse'], { default: 'copy' }),
        spinMicros: Type.Integer({ minimum: 0, maximum: 1000, default: 50 }),
      },
      { ...closed, default: {} },
    ),
    xen: Type.Object(
      {
        libraries: Type.Optional(
          Type.Object({ xenctrl: Library, xenevtchn: Library, xenforeignmemory: Library }, closed),
        ),
        callsAtOnce: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 64 }),
        callsPerSecond: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 2000 }),
      },
      { ...closed, default: {} },
    ),
    audit: Type.Object(
      {
        queries: Type.Boolean({ default: false }),
        recordsPerGuest: Type.Integer({ minimum: 16, maximum: 1 << 20, default: 1024 }),
        maxFileBytes: Type.Integer({ minimum: 65_536, maximum: 2 ** 40, default: 16 << 20 }),
        files: Type.Integer({ minimum: 1, maximum: 100_000, default: 64 }),
      },
      { ...closed, default: {} },
    ),
    log: Type.Object(
      {
        level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], { default: 'info' }),
      },
      { ...closed, default: {} },
    ),
    directories: Type.Object(
      {
        run: Type.Optional(path('the path of a directory')),
        state: Type.Optional(path('the path of a directory')),
        log: Type.Optional(path('the path of a directory')),
      },
      { ...closed, default: {} },
    ),
    domains: Type.Array(
      Type.Object(
        {
          name: DomainName,
          domid: Type.Optional(Domid),
          dtb: path('the path of a partial device tree blob'),
          agentId: Type.Optional(AgentId),
          trapSocket: Type.Optional(path('the path of a socket')),
          messageSocket: Type.Optional(path('the path of a socket')),
          vhostUser: Type.Optional(
            Type.Object(
              {
                path: Type.Optional(path(socketPath)),
                role: Type.Enum(['server', 'client'], { default: 'server' }),
                mode: Type.Optional(SocketModeText),
                owner: Type.Optional(SocketOwnerText),
              },
              closed,
            ),
          ),
          xen: Type.Optional(
            Type.Object(
              {
                uuid: Type.Optional(Uuid),
                conduit: Type.Optional(Type.Enum(['smc', 'psci', 'off'])),
                leaveArmed: Type.Optional(Type.Boolean()),
              },
              closed,
            ),
          ),
          smcId: Type.Optional(SmcId),
          discovery: Type.Optional(Type.Enum([...discoveries])),
          release: Type.Optional(ShownRelease),
          versions: Type.Optional(ShownVersions),
        },
        closed,
      ),
      { maxItems: 4096, default: [] },
    ),
    toolstack: Type.Object(
      {
        kind: Type.Enum(['none', 'xen'], { default: 'none' }),
        xenstore: Type.Optional(path("the path of xenstored's socket, or of the kernel's device")),
        userdata: Type.String({ ...path('the path of a directory'), default: '/var/lib/xen' }),
        late: Sanction,
        refused: Sanction,
        configurationMs: Type.Integer({ minimum: 100, maximum: 3_600_000, default: 60_000 }),
        conduit: Type.Enum(['smc', 'psci', 'off'], { default: 'smc' }),
        leaveArmed: Type.Boolean({ default: false }),
        domains: Type.Array(
          Type.Object(
            {
              name: DomainName,
              agentId: Type.Optional(AgentId),
              conduit: Type.Optional(Type.Enum(['smc', 'psci', 'off'])),
              leaveArmed: Type.Optional(Type.Boolean()),
              smcId: Type.Optional(SmcId),
            },
            closed,
          ),
          { maxItems: 4096, default: [] },
        ),
      },
      { ...closed, default: {} },
    ),
  },
  closed,
)

/** The file, defaults filled in. */
export type WrittenConfig = Static<typeof ScmidSchema>
