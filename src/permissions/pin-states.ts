// Pin control states to ids: device trees carry names of pins, groups and functions, the firmware knows the numbers.
import type { Holdings, Resource } from '../dt/holdings.ts'
import { header, tableIndex } from '../scmi/header.ts'
import { GROUP, pinControl } from '../scmi/pin-control.ts'
import { newestVersion } from '../scmi/protocols.ts'
import { idIn, listMessages, type ResourceLists } from '../scmi/resource-lists.ts'
import { namespaceOf, spaceOf } from '../scmi/space.ts'
import type { ResourceNames } from './numbering.ts'

/** What the firmware was found to have, as far as a plan needs it. */
export interface KnownResources {
  readonly names: ResourceNames
  readonly lists: ResourceLists
}

const { PINCTRL_LIST_ASSOCIATIONS } = pinControl.messages
const listAt = tableIndex(header(pinControl.id, PINCTRL_LIST_ASSOCIATIONS.id))
const [membersList] = listMessages(pinControl, newestVersion(pinControl))

/**
 * Holdings with the ids of what pin states name: pins, groups with their pins, functions. What the firmware has not
 * under that name is told by `unknown` and left without an id.
 */
export function withPinIds<T extends Holdings>(
  holdings: T,
  known: KnownResources,
  unknown: (state: Resource, name: string) => void,
): T {
  const resources = holdings.resources.flatMap(state => {
    if (state.pins === undefined) return [state]
    return state.pins.flatMap(({ namespace, name }) => {
      const id = idOf(known, namespace, name)
      if (id === undefined) {
        unknown(state, name)
        return []
      }
      const { names: _names, pins: _pins, ...rest } = state
      const named = (each: number, of: number): Resource => ({
        ...rest,
        id: each,
        names: undefined,
        ...(of === 0 ? {} : { namespace: of }),
      })
      return [
        named(id, namespace),
        ...(namespace === GROUP ? membersOf(known, id).map(pin => named(...pin)) : []),
      ]
    })
  })
  return { ...holdings, resources }
}

/** The id behind a name; undefined where none has it, or more than one. */
function idOf({ names }: KnownResources, namespace: number, name: string): number | undefined {
  const list = names.get(spaceOf(pinControl.id, namespace)) ?? []
  const id = list.indexOf(name)
  return id < 0 || list.indexOf(name, id + 1) >= 0 ? undefined : id
}

/** A group's members, each with its namespace. */
function membersOf({ lists }: KnownResources, group: number): readonly [id: number, namespace: number][] {
  const list = lists.get(listAt)?.get(spaceOf(pinControl.id, GROUP))?.[group]
  if (list === undefined || membersList === undefined) return []
  return list.entries.map(entry => [idIn(membersList, entry), namespaceOf(list.space)])
}
