// What the firmware calls its clocks, domains and sensors: for people who read plans and audit records. Best effort.
import { protocolOf } from '../scmi/protocols.ts'
import { SUCCESS } from '../scmi/status.ts'
import { ask, type DiscoveredProtocol, type FirmwareRequest } from './discovery.ts'

/** Beyond this many resources of one protocol nobody reads names. */
const most = 1024

/** Names by protocol id, then by resource id; an empty text where the firmware gives none. */
export async function resourceNames(
  request: FirmwareRequest,
  channel: number,
  protocols: readonly DiscoveredProtocol[],
): Promise<ReadonlyMap<number, readonly string[]>> {
  const names = new Map<number, string[]>()
  for (const { id, version, resources } of protocols) {
    const messages = protocolOf(id)?.messages ?? {}
    const about = Object.entries(messages).find(
      ([name]) => /_ATTRIBUTES$/.test(name) && !name.startsWith('PROTOCOL_'),
    )
    const found: string[] = []
    names.set(id, found)
    if (about !== undefined && about[1].resource !== undefined) {
      for (let resource = 0; resource < Math.min(resources, most); resource++) {
        const { status, value } = await ask(request, channel, id, about[0], version, {
          [about[1].resource]: resource,
        })
        found.push(status === SUCCESS ? String(value?.['name'] ?? '') : '')
      }
    } else if ('SENSOR_DESCRIPTION_GET' in messages) {
      while (found.length < Math.min(resources, most)) {
        const { status, entries } = await ask(request, channel, id, 'SENSOR_DESCRIPTION_GET', version, {
          desc_index: found.length,
        })
        if (status !== SUCCESS || entries === undefined || entries.length === 0) break
        for (const entry of entries) found.push(String(entry['name'] ?? ''))
      }
    }
  }
  return names
}
