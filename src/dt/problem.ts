// What can be wrong in well-formed device trees that are to be honoured together: a closed list, told and not thrown,
// so that one bad node does not hide the rest.
import type { DeviceNode } from './fdt.ts'

export type Severity = 'error' | 'warning'

/** Every code with its severity. */
export const treeProblems = {
  /** A partial tree without /passthrough: there is nothing in it that Xen would copy. */
  'passthrough-missing': 'error',
  /** `__fixups__`: an overlay whose phandles nobody has resolved. */
  'overlay-unresolved': 'error',
  /** xen,path or scmi_devid on a node that is not below /passthrough: nobody reads it there. */
  'outside-passthrough': 'warning',
  /** xen,path names no node of the host tree. */
  'path-unknown': 'error',
  /** xen,path leaves out unit addresses; it names one node all the same, but Xen will not find it. */
  'path-abbreviated': 'warning',
  /** A property's bytes are not what it must hold: a length that is no multiple of its cells, an open string. */
  'property-malformed': 'error',
  /** A phandle that is no node's. */
  'phandle-unknown': 'error',
  /** A phandle that is no node's in its own tree and was taken from the host's. */
  'phandle-in-host': 'warning',
  /** A provider without its #…-cells, or an SCMI one without the number that identifies the resource. */
  'provider-malformed': 'error',
  /** Pin control states: they carry names, the ids are the firmware's to tell. */
  'pin-states': 'warning',
} as const satisfies Record<string, Severity>

export type TreeProblemCode = keyof typeof treeProblems

/** Takes one problem; `node` is the one it lies in. */
export type Report = (code: TreeProblemCode, node: DeviceNode, text: string) => void
