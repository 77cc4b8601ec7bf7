// What speaks against a tree with ids of its own: its phandles name those, and should mean what its devices have. They
// grant nothing; this tells, it decides nothing.
import { resourceWord, spaceOf } from '../scmi/space.ts'
import { denseNumbering, HOLE, labelOf } from './numbering.ts'
import type { KnownResources } from './pin-states.ts'
import type { Problems } from './plan-problems.ts'
import type { Holder } from './plan-shape.ts'

const numbered = /^#\d+$/

/** The references of a domain's devices, and the names in its tree's lists. */
export function checkReferences(
  { input, marker, devices }: Holder,
  known: KnownResources | undefined,
  problems: Problems,
): void {
  const held = devices.flatMap(({ holdings }) =>
    holdings.resources.flatMap(({ protocol, id, namespace = 0 }) =>
      id === null ? [] : [{ protocol, id, namespace }],
    ),
  )
  const numbering = denseNumbering(held, known?.names ?? new Map(), marker?.names)
  for (const [space, names] of marker?.names ?? [])
    for (const [guest, name] of names.entries())
      if ((known !== undefined || numbered.test(name)) && numbering.get(space)?.toFirmware[guest] === HOLE)
        problems.add(
          'dense-name-unknown',
          `${resourceWord(space)} ${guest}, "${name}", is nothing that ${input.name} has: it finds nothing there`,
          { domain: input.name, ...(marker === undefined ? {} : { node: marker.scmi.path }) },
        )
  for (const { passed, holdings, references } of devices) {
    const where = { domain: input.name, node: passed.node.path }
    if (references.length > 0 && holdings.resources.length === 0)
      problems.add(
        'dense-device-unknown',
        `${passed.node.path} names SCMI resources, and no node of the host's tree stands behind it: it is granted none`,
        where,
      )
    for (const { protocol, id, property } of references) {
      const space = spaceOf(protocol)
      const numbers = numbering.get(space)
      const listed = marker?.names.get(space)
      // Without the firmware's names only what the list itself says is known.
      const count =
        listed !== undefined && known === undefined ? listed.length : (numbers?.labels.length ?? 0)
      if (id === null) continue
      if (id >= count) {
        problems.add(
          'dense-id-unknown',
          `${property} names ${resourceWord(space)} ${id} of the guest's own, and there are ${count}`,
          where,
        )
        continue
      }
      const firmwareId = numbers?.toFirmware[id] ?? HOLE
      const label = numbers?.labels[id] ?? ''
      if (firmwareId === HOLE || (known === undefined && !numbered.test(label))) continue
      if (!holdings.resources.some(each => each.protocol === protocol && each.id === firmwareId))
        problems.add(
          'dense-reference-differs',
          `${property} names ${resourceWord(space)} ${id}, which is "${labelOf(known?.names ?? new Map(), space, firmwareId)}": the device has no such resource`,
          where,
        )
    }
  }
}
