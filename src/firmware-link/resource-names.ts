// What the firmware calls its clocks, domains and sensors: for people who read plans and audit records. Best effort.
import { MediatorError } from '../errors.ts'
import type { Decoded } from '../scmi/codec.ts'
import { protocolOf } from '../scmi/protocols.ts'
import { naming } from '../scmi/space.ts'
import { COMMS_ERROR } from '../scmi/status.ts'
import { ask, type DiscoveredProtocol, type FirmwareRequest, spaceCounts } from './discovery.ts'

/** Beyond this many resources of one protocol nobody reads names. */
const most = 1024

/**
 * Names by space (protocol id where it has one numbering), then by resource id; an empty text where the firmware gives none. An answer that makes no
 * sense is no name; silence (FIRMWARE_SILENT) is thrown, since it would come again for each of them.
 */
export async function resourceNames(
  request: FirmwareRequest,
  channel: number,
  protocols: readonly DiscoveredProtocol[],
): Promise<ReadonlyMap<number, readonly string[]>> {
  const names = new Map<number, string[]>()
  for (const discovered of protocols) {
    const { id, version } = discovered
    const messages = protocolOf(id)?.messages ?? {}
    const query = async (message: string, value: Readonly<Record<string, number>>): Promise<Decoded> => {
      try {
        return await ask(request, channel, id, message, version, value)
      } catch (error) {
        if (error instanceof MediatorError && error.code === 'FIRMWARE_MALFORMED')
          return { status: COMMS_ERROR }
        throw error
      }
    }
    const about = Object.entries(messages).find(
      ([name]) => /_ATTRIBUTES$/.test(name) && !name.startsWith('PROTOCOL_'),
    )
    for (const [space, count] of spaceCounts(discovered)) {
      const found = new Array<string>(Math.min(count, most)).fill('')
      names.set(space, found)
      if (about === undefined) {
        if ('SENSOR_DESCRIPTION_GET' in messages) await sensorNames(found, query)
        continue
      }
      const [name, message] = about
      for (let resource = 0; resource < found.length; resource++) {
        const { value } = await query(name, naming(message, space, resource))
        found[resource] = String(value?.['name'] ?? '')
      }
    }
  }
  return names
}

/** Sensors are listed, several to an answer; each says which it is. */
async function sensorNames(
  found: string[],
  query: (message: string, value: Readonly<Record<string, number>>) => Promise<Decoded>,
): Promise<void> {
  for (let index = 0; index < found.length; ) {
    const { entries = [] } = await query('SENSOR_DESCRIPTION_GET', { desc_index: index })
    if (entries.length === 0) return
    for (const entry of entries) {
      const id = Number(entry['sensor_id'])
      if (id < found.length) found[id] = String(entry['name'] ?? '')
    }
    index += entries.length
  }
}
