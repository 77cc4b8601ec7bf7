// What the operator wrote of SCMI into a guest's tree, against what its grants and its link need: where the node stands,
// function id, shared memory, protocols, ids. It tells, before the guest starts; it changes nothing.
import { denseTree } from '../dt/dense-tree.ts'
import type { DeviceNode, DeviceTree } from '../dt/fdt.ts'
import { consumerCells } from '../dt/holdings.ts'
import { nodeAt, regions, stringList, tuplesOf, u32, u32Array, walk } from '../dt/node.ts'
import type { Severity } from '../dt/problem.ts'
import { scmiCompatible } from '../dt/scmi-node.ts'
import { guestRam } from '../dt/xen-assignment.ts'
import { errorText } from '../errors.ts'
import { addMismatch, type PlanProblemCode, type Problems } from './plan-problems.ts'
import type { PlanDomain, PlanResource } from './plan-shape.ts'

export interface GuestExpectations {
  /** The function id that the daemon answers for this guest, and whether that is told or usual; else the tree's. */
  readonly smcId: { readonly id: number; readonly isSure: boolean } | undefined
  /** How the guest reaches the daemon, where that is known. */
  readonly conduit?: 'smc' | 'virtio' | undefined
  /** What the host's node behind a device names, by the host's path. */
  readonly hostResources: (path: string) => readonly PlanResource[]
}

const hex = (value: number | bigint): string => `0x${value.toString(16)}`
const leastBytes = 0x80n
const pageBytes = 0x1000n
const VOLTAGE = 0x17

/** Checks one domain's tree; problems go to `problems`. Never throws. */
export function checkGuestNode(
  tree: DeviceTree,
  domain: PlanDomain,
  expectations: GuestExpectations,
  problems: Problems,
): void {
  const check = new GuestNodeCheck(tree, domain, problems)
  const node = check.only()
  if (node === undefined) return
  check.reached(node)
  check.conduit(node, expectations.conduit)
  if (scmiCompatible(node) === 'arm,scmi-smc') {
    check.functionId(node, expectations.smcId)
    check.sharedMemory(node)
  }
  check.protocols(node)
  if (check.readable(node, () => denseTree(tree)) === undefined) check.ids(expectations.hostResources)
}

class GuestNodeCheck {
  readonly #tree: DeviceTree
  readonly #domain: PlanDomain
  readonly #problems: Problems

  constructor(tree: DeviceTree, domain: PlanDomain, problems: Problems) {
    this.#tree = tree
    this.#domain = domain
    this.#problems = problems
  }

  /** The SCMI node that the guest will have: the first below /passthrough. */
  only(): DeviceNode | undefined {
    const nodes = [...walk(this.#tree.root)].filter(node => scmiCompatible(node) !== undefined)
    const inside = nodes.filter(({ path }) => path.startsWith('/passthrough/'))
    for (const node of nodes)
      if (!inside.includes(node))
        this.#tell('scmi-node-unseen', node, `${node.path} is not below /passthrough: libxl does not copy it`)
    const [first, ...others] = inside
    for (const node of others)
      this.#tell('scmi-node-several', node, `${node.path} is a second SCMI node, beside ${first?.path}`)
    const holds = this.#domain.devices.some(({ resources }) => resources.length > 0)
    if (first === undefined && holds)
      this.#tell(
        'scmi-node-missing',
        this.#tree.root,
        `${this.#tree.file}: no SCMI node below /passthrough, but ${this.#domain.name} holds SCMI resources: make one with scmictl generate`,
      )
    return first
  }

  /** Linux makes devices of what lies in buses alone. */
  reached(node: DeviceNode): void {
    for (let bus = node.parent; bus?.parent !== undefined; bus = bus.parent) {
      const list = this.readable(bus, () => stringList(bus ?? node, 'compatible')) ?? []
      if (list.some(value => /^(simple-bus|simple-mfd|isa|arm,amba-bus)$/.test(value))) continue
      this.#differs(
        'scmi-node-unseen',
        bus,
        'compatible',
        '"simple-bus", or Linux does not look into it',
        shown(list),
      )
    }
  }

  /** The transport that Linux takes by the node's compatible. */
  conduit(node: DeviceNode, conduit: GuestExpectations['conduit']): void {
    const found = scmiCompatible(node) ?? ''
    const known = ['arm,scmi-smc', 'arm,scmi-virtio']
    const expected = conduit === undefined ? known : [conduit === 'smc' ? 'arm,scmi-smc' : 'arm,scmi-virtio']
    if (expected.includes(found)) return
    this.#differs(
      'conduit-differs',
      node,
      'compatible',
      expected.map(each => `"${each}"`).join(' or '),
      `"${found}"`,
    )
  }

  /** The daemon's, or any that means a fast call (bit 31 of the SMC calling convention). */
  functionId(node: DeviceNode, expected: GuestExpectations['smcId']): void {
    const found = this.readable(node, () => u32(node, 'arm,smc-id'))
    const shownId = found === undefined ? 'none' : hex(found)
    if (expected === undefined) {
      if (found === undefined || found < 0x8000_0000)
        this.#differs('smc-id-differs', node, 'arm,smc-id', 'the function id of a fast call', shownId)
    } else if (found === undefined || (found !== expected.id && expected.isSure))
      this.#differs('smc-id-differs', node, 'arm,smc-id', hex(expected.id), shownId)
    else if (found !== expected.id)
      this.#differs(
        'smc-id-differs',
        node,
        'arm,smc-id',
        `${hex(expected.id)}, unless the daemon is told another`,
        shownId,
        'warning',
      )
  }

  /** One area, a page or more of its own, where the guest has neither RAM nor a device. */
  sharedMemory(node: DeviceNode): void {
    const phandles = this.readable(node, () => u32Array(node, 'shmem')) ?? []
    const [phandle] = phandles
    const area = phandle === undefined ? undefined : this.#tree.phandles.get(phandle)
    if (area === undefined) {
      const found = phandle === undefined ? 'none' : `${hex(phandle)}, which is no node's`
      this.#differs('shmem-differs', node, 'shmem', 'the phandle of an arm,scmi-shmem node', found)
      return
    }
    if (phandles.length > 1)
      this.#differs(
        'shmem-differs',
        node,
        'shmem',
        'one area: the daemon serves A2P alone',
        `${phandles.length}`,
      )
    const list = this.readable(area, () => stringList(area, 'compatible')) ?? []
    if (!list.includes('arm,scmi-shmem'))
      this.#differs('shmem-differs', area, 'compatible', '"arm,scmi-shmem"', shown(list))
    if (!area.path.startsWith('/passthrough/'))
      this.#tell('shmem-differs', area, `${area.path} is not below /passthrough: libxl does not copy it`)
    const [region] = this.readable(area, () => regions(area)) ?? []
    if (region === undefined) {
      this.#differs('shmem-differs', area, 'reg', 'an address and a size', 'none')
      return
    }
    const { address, size } = region
    const say = (expected: string, found: string) =>
      this.#differs('shmem-differs', area, 'reg', expected, found)
    if (size < leastBytes) say(`at least ${hex(leastBytes)} bytes`, hex(size))
    if (address % pageBytes !== 0n) say('the address of a page', hex(address))
    if (address < guestRam.end && address + size > guestRam.start)
      say(
        `an address outside of the guest's RAM (${hex(guestRam.start)} to ${hex(guestRam.end - 1n)})`,
        hex(address),
      )
    for (const device of walk(this.#tree.root)) {
      const windows = this.readable(device, () => guestWindows(device)) ?? []
      for (const [start, length] of windows)
        if (device !== area && start < address + size && address < start + length)
          say(`an address that no device has, but ${device.path} has ${hex(start)}`, hex(address))
    }
  }

  /** A node for each protocol that the guest holds, with what its devices' properties count by; and no other. */
  protocols(scmi: DeviceNode): void {
    const held = new Map<number, PlanResource>()
    for (const { resources } of this.#domain.devices)
      for (const each of resources) held.set(each.protocol, held.get(each.protocol) ?? each)
    const there = new Map<number, DeviceNode>()
    for (const child of scmi.children.values()) {
      const protocol = this.readable(child, () => u32(child, 'reg'))
      if (protocol === undefined) continue
      if (there.has(protocol))
        this.#tell(
          'scmi-node-malformed',
          child,
          `${child.path}: protocol ${hex(protocol)} is also ${there.get(protocol)?.path}'s`,
        )
      there.set(protocol, child)
      if (!held.has(protocol))
        this.#differs(
          'protocol-not-held',
          child,
          'reg',
          `a protocol that ${this.#domain.name} holds`,
          hex(protocol),
        )
    }
    for (const [protocol, { property }] of held)
      if (!there.has(protocol))
        this.#tell(
          'protocol-missing',
          scmi,
          `${this.#tree.file}: ${scmi.path}: expected protocol@${protocol.toString(16)}, which ${property} leads to, found none`,
        )
  }

  /** Ids that a device names and the host's node behind it does not. */
  ids(hostResources: GuestExpectations['hostResources']): void {
    for (const { node: path, hostNode, resources } of this.#domain.devices) {
      const node = nodeAt(this.#tree, path)
      const known = hostNode === undefined ? [] : hostResources(hostNode)
      if (node === undefined || known.length === 0) continue
      for (const { protocol, id, property, from, node: named } of resources) {
        if (from === 'host' || named !== undefined || id === null) continue
        const name = property.replace(/\[\d+\]$/, '')
        const same = known.filter(
          each => each.protocol === protocol && each.property.replace(/\[\d+\]$/, '') === name,
        )
        if (same.length === 0 || known.some(each => each.protocol === protocol && each.id === id)) continue
        const ids = [...new Set(same.map(each => each.id))].join(', ')
        const what =
          protocol === VOLTAGE ? 'voltage domain' : `id on ${consumerCells(name)?.slice(1, -6) ?? 'protocol'}`
        this.#differs(
          'resource-differs',
          node,
          property,
          `${what} ${ids}, as the host's ${hostNode} has`,
          String(id),
        )
      }
    }
  }

  /** What `read` gives; undefined, told as malformed, where the bytes are not such. */
  readable<T>(node: DeviceNode, read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      this.#tell('scmi-node-malformed', node, errorText(error))
      return undefined
    }
  }

  #tell(code: PlanProblemCode, node: DeviceNode, text: string): void {
    this.#problems.add(code, text, { domain: this.#domain.name, node: node.path })
  }

  #differs(
    code: PlanProblemCode,
    node: DeviceNode,
    property: string,
    expected: string,
    found: string,
    severity?: Severity,
  ): void {
    const where = {
      domain: this.#domain.name,
      node: node.path,
      ...(severity === undefined ? {} : { severity }),
    }
    addMismatch(this.#problems, code, where, { file: this.#tree.file, property, expected, found })
  }
}

/** Where a passed-through device appears to the guest, as xen,reg has it: start and length. */
function guestWindows(device: DeviceNode): readonly (readonly [bigint, bigint])[] {
  const bus = device.parent
  if (bus === undefined || !device.properties.has('xen,reg')) return []
  const address = u32(bus, '#address-cells') ?? 2
  const size = u32(bus, '#size-cells') ?? 1
  const tuples = tuplesOf(device, 'xen,reg', [address, size, address]) ?? []
  return tuples.map(([, length = 0n, guest = 0n]) => [guest, length])
}

const shown = (list: readonly string[]): string =>
  list.length === 0 ? 'none' : list.map(each => `"${each}"`).join(', ')
