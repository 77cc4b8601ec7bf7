// The control API's routes over the Daemon interface: what they take, checked, and nothing of what they mean.

import type { FastifyInstance } from 'fastify'
import { type Static, type TSchema, Type } from 'typebox'
import { discoveries } from '../config/names.ts'
import { findFaults, propertyPath } from '../config/schema-text.ts'
import {
  AgentId,
  DomainName,
  Domid,
  ShownRelease,
  ShownVersions,
  SmcId,
  Uuid,
} from '../config/scmid-schema.ts'
import { maxBlobBytes } from '../dt/fdt-header.ts'
import { MediatorError } from '../errors.ts'
import type { AskedDomain, AskedLink, Daemon } from '../lifecycle/views.ts'

const closed = { additionalProperties: false } as const
const GuestAddress = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const AccountId = Type.Integer({ minimum: 0, maximum: 0xfffffffe })
const Path = Type.String({ minLength: 1, maxLength: 4095, description: 'a path' })

/** Largest body in bytes: a device tree blob in base64, and room for the rest. */
export const maxBodyBytes = Math.ceil(maxBlobBytes / 3) * 4 + (64 << 10)

const DryRun = Type.Object({ dryRun: Type.Optional(Type.Enum(['true', 'false'])) }, closed)
const NoQuery = Type.Object({}, closed)
const DomainQuery = Type.Object(
  { domain: Type.Optional(Type.String({ minLength: 1, description: 'a domain' })) },
  closed,
)

const AddDomain = Type.Object(
  {
    name: DomainName,
    domid: Type.Optional(Domid),
    dtb: Type.String({ minLength: 4, description: 'a device tree blob in base64' }),
    dtbPath: Type.Optional(Path),
    agentId: Type.Optional(AgentId),
    discovery: Type.Optional(Type.Enum([...discoveries])),
    link: Type.Object(
      {
        kind: Type.Enum(['trap-socket', 'message-socket', 'vhost-user', 'xen-smc']),
        path: Type.Optional(Path),
        smcId: Type.Optional(SmcId),
        role: Type.Optional(Type.Enum(['server', 'client'])),
        mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o777 })),
        uid: Type.Optional(AccountId),
        gid: Type.Optional(AccountId),
        uuid: Type.Optional(Uuid),
        conduit: Type.Optional(Type.Enum(['smc', 'psci', 'off'])),
        leaveArmed: Type.Optional(Type.Boolean()),
        devices: Type.Optional(
          Type.Array(Type.Object({ start: GuestAddress, size: GuestAddress }, closed), { maxItems: 256 }),
        ),
      },
      closed,
    ),
    release: Type.Optional(ShownRelease),
    versions: Type.Optional(ShownVersions),
  },
  closed,
)

const AttachDevice = Type.Object(
  {
    device: Type.String({
      minLength: 1,
      maxLength: 4095,
      description: 'a node path, a node name or an SCMI device id',
    }),
  },
  closed,
)

const Preflight = Type.Object(
  { configuration: Type.String({ minLength: 2, maxLength: 4 << 20, description: "libxl's JSON" }) },
  closed,
)

const ReleaseAgent = Type.Object(
  {
    dryRun: Type.Optional(Type.Enum(['true', 'false'])),
    unproven: Type.Optional(Type.Enum(['true', 'false'])),
  },
  closed,
)

interface AgentRoute {
  Params: { agentId: string }
}
interface DomainRoute {
  Params: { name: string }
}
interface DeviceRoute {
  Params: { name: string; device: string }
}

/** Registers every route on `app`. Paths of nodes go into the URL percent-encoded. */
export function addRoutes(app: FastifyInstance, daemon: Daemon): void {
  app.setValidatorCompiler<TSchema>(({ schema, method, url, httpPart }) => value => {
    const [fault] = findFaults(schema, value)
    if (fault === undefined) return { value }
    const property = propertyPath(fault.path) || httpPart || 'request'
    const text = `${method} ${url}: ${property}: ${fault.text}`
    return { error: new MediatorError('REQUEST_INVALID', text, { path: property }) }
  })
  const plain = { schema: { querystring: NoQuery } }

  app.get('/v1/info', plain, () => daemon.info())
  app.get('/v1/status', plain, () => daemon.status())
  app.get('/v1/domains', plain, () => daemon.domains())
  app.get<DomainRoute>('/v1/domains/:name', plain, ({ params }) => daemon.domain(params.name))
  app.get('/v1/agents', plain, () => daemon.agents())
  app.get<{ Querystring: Static<typeof DomainQuery> }>(
    '/v1/devices',
    { schema: { querystring: DomainQuery } },
    ({ query }) => daemon.devices(query.domain),
  )
  app.get('/v1/permission-commands', plain, () => daemon.permissionCommands())

  const modifies = { schema: { querystring: DryRun } }
  type Modifies = { Querystring: Static<typeof DryRun> }
  const options = (query: Static<typeof DryRun>) => ({ dryRun: query.dryRun === 'true' })
  app.post<Modifies & { Body: Static<typeof AddDomain> }>(
    '/v1/domains',
    { schema: { querystring: DryRun, body: AddDomain } },
    ({ body, query }) => daemon.addDomain(domainSpec(body), options(query)),
  )
  app.delete<Modifies & DomainRoute>('/v1/domains/:name', modifies, ({ params, query }) =>
    daemon.removeDomain(params.name, options(query)),
  )
  app.post<Modifies & DomainRoute & { Body: Static<typeof AttachDevice> }>(
    '/v1/domains/:name/devices',
    { schema: { querystring: DryRun, body: AttachDevice } },
    ({ params, body, query }) => daemon.attachDevice(params.name, body.device, options(query)),
  )
  app.delete<Modifies & DeviceRoute>('/v1/domains/:name/devices/:device', modifies, ({ params, query }) =>
    daemon.detachDevice(params.name, params.device, options(query)),
  )
  app.post<{ Querystring: Static<typeof ReleaseAgent> } & AgentRoute>(
    '/v1/agents/:agentId/release',
    { schema: { querystring: ReleaseAgent } },
    ({ params, query }) => {
      const agentId = /^\d{1,10}$/.test(params.agentId) ? Number(params.agentId) : Number.NaN
      if (!(agentId <= 0xffff_ffff))
        throw new MediatorError('REQUEST_INVALID', `POST /v1/agents: ${params.agentId} is no agent id`)
      return daemon.releaseAgent(agentId, {
        dryRun: query.dryRun === 'true',
        unproven: query.unproven === 'true',
      })
    },
  )
  app.get('/v1/toolstack/domains', plain, () => daemon.gatedDomains())
  app.post<DomainRoute>('/v1/toolstack/domains/:name/hold', plain, ({ params }) =>
    daemon.holdDomain(params.name),
  )
  app.post<DomainRoute>('/v1/toolstack/domains/:name/release', plain, ({ params }) =>
    daemon.releaseDomain(params.name),
  )
  app.post<{ Body: Static<typeof Preflight> }>(
    '/v1/toolstack/preflight',
    { schema: { querystring: NoQuery, body: Preflight } },
    ({ body }) => daemon.preflight(body.configuration),
  )
  app.post('/v1/audit/flush', plain, () => daemon.flushAudit())

  app.setNotFoundHandler(({ method, url }) => {
    throw new MediatorError('NOT_SUPPORTED', `${method} ${url}: this daemon has no such route`)
  })
}

function domainSpec({ dtb, link, ...rest }: Static<typeof AddDomain>): AskedDomain {
  return { ...rest, dtb: blob(dtb), link: linkSpec(link) }
}

/** Which properties go with some kinds of link alone. */
const linksOf: Readonly<Record<string, readonly string[]>> = {
  path: ['trap-socket', 'message-socket', 'vhost-user'],
  smcId: ['trap-socket', 'xen-smc'],
  role: ['vhost-user'],
  mode: ['vhost-user'],
  uid: ['vhost-user'],
  gid: ['vhost-user'],
  uuid: ['xen-smc'],
  conduit: ['xen-smc'],
  leaveArmed: ['xen-smc'],
  devices: ['xen-smc'],
}

function linkSpec(link: Static<typeof AddDomain>['link']): AskedLink {
  const { kind, path, role = 'server', ...rest } = link
  for (const [key, kinds] of Object.entries(linksOf)) {
    if (key in link && !kinds.includes(kind))
      throw new MediatorError(
        'REQUEST_INVALID',
        `link.${key}: goes with ${kinds.join(' or ')}; no other link has one`,
        { path: `link.${key}` },
      )
  }
  if (kind === 'xen-smc') return { kind, ...rest } as AskedLink
  if (kind === 'vhost-user' && role === 'server' && path === undefined)
    return { kind, role, ...rest } as AskedLink
  if (path === undefined)
    throw new MediatorError('REQUEST_INVALID', 'link.path: expected a path', { path: 'link.path' })
  switch (kind) {
    case 'message-socket':
      return { kind, path }
    case 'trap-socket':
      return { kind, path, ...rest } as AskedLink
    case 'vhost-user':
      return { kind, path, role, ...rest } as AskedLink
  }
}

/** Node decodes whatever it gets; what does not encode back to the same was no base64. */
function blob(base64: string): Uint8Array {
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.toString('base64') !== base64)
    throw new MediatorError('REQUEST_INVALID', 'dtb: expected a device tree blob in base64', { path: 'dtb' })
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}
