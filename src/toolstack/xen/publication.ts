// What the rest of the machine may know, as xenstore nodes: the guest its state, Dom0 the rest. It decides nothing.
//
//   /local/domain/N/scmi/state                 n0,rN   waiting, ready, denied
//   /libxl/N/scmi/{agent-id,error,devices/I/path}   n0
//   /tool/scmi-mediator/{state,version}        n0
import type { XenstoreClient } from '../../xenstore/client.ts'
import type { Permission } from '../../xenstore/permission.ts'
import type { NodeRequests } from '../../xenstore/requests.ts'

export interface Published {
  readonly domid: number
  readonly uuid: string
  readonly state: 'waiting' | 'ready' | 'denied'
  readonly agentId?: number
  readonly error?: string
  /** Paths of the host tree. */
  readonly devices?: readonly string[]
}

const nobody: Permission = { domid: 0, access: 'none' }
const toolNode = '/tool/scmi-mediator'
/** What a node's value may have, with room for its path in a message. */
const maxTextBytes = 1024

/**
 * Publishes a domain's state, all of it at once. False when the store has no such domain: nothing is written then, so that
 * no nodes come to be under the home of a domain that is gone.
 */
export function publishDomain(store: XenstoreClient, published: Published): Promise<boolean> {
  const { domid, uuid, state, agentId, error, devices = [] } = published
  const home = `/local/domain/${domid}`
  const own = `/libxl/${domid}/scmi`
  return store.transaction(async nodes => {
    if ((await nodes.readTextIfThere(`${home}/vm`))?.endsWith(uuid) !== true) return false
    // Each time anew: on C xenstored a former domain's permissions would still be shown, and mean nothing.
    await put(nodes, `${home}/scmi`, '', [nobody, { domid, access: 'read' }])
    await put(nodes, `${home}/scmi/state`, state, [nobody, { domid, access: 'read' }])
    if ((await nodes.directoryIfThere(`/libxl/${domid}`)) === undefined) return true
    await nodes.removeIfThere(own)
    await put(nodes, own, '', [nobody])
    if (agentId !== undefined) await put(nodes, `${own}/agent-id`, String(agentId), [nobody])
    if (error !== undefined) await put(nodes, `${own}/error`, cut(error), [nobody])
    for (const [i, path] of devices.entries())
      await put(nodes, `${own}/devices/${i}/path`, cut(path), [nobody])
    return true
  })
}

/** Publishes whether the daemon serves. */
export function publishDaemon(
  store: XenstoreClient,
  state: 'running' | 'stopped',
  version: string,
): Promise<void> {
  return store.transaction(async nodes => {
    await put(nodes, toolNode, '', [nobody])
    await put(nodes, `${toolNode}/state`, state, [nobody])
    await put(nodes, `${toolNode}/version`, version, [nobody])
  })
}

async function put(
  nodes: NodeRequests,
  path: string,
  value: string,
  permissions: readonly [Permission, ...Permission[]],
): Promise<void> {
  await nodes.write(path, value)
  await nodes.setPermissions(path, permissions)
}

const cut = (text: string): string => (text.length > maxTextBytes ? `${text.slice(0, maxTextBytes)} …` : text)
