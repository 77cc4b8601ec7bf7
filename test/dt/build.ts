// Builds flattened device trees for tests, straight from the devicetree specification and without the reader's code.

export type Value = string | readonly string[] | number | readonly number[] | true | Uint8Array

/** A node: properties first, then child nodes, as the format wants them. */
export interface Node {
  readonly [name: string]: Value | Node
}

const isNode = (value: Value | Node): value is Node =>
  typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array)

const bytesOf = (value: Value): Uint8Array => {
  if (value === true) return new Uint8Array()
  if (value instanceof Uint8Array) return value
  const list: readonly (string | number)[] = typeof value === 'object' ? value : [value]
  return Buffer.concat(
    list.map(item => {
      if (typeof item === 'string') return Buffer.from(`${item}\0`)
      const cell = Buffer.alloc(4)
      cell.writeUInt32BE(item)
      return cell
    }),
  )
}

/** The blob of the tree under `root`. */
export function blob(root: Node, reservations: readonly (readonly [bigint, bigint])[] = []): Uint8Array {
  const strings: string[] = []
  const structure: Uint8Array[] = []
  const words = (...values: number[]) => structure.push(bytesOf(values))
  const padded = (bytes: Uint8Array) => structure.push(bytes, new Uint8Array(-bytes.length & 3))
  const offsetOf = (name: string) => {
    if (!strings.includes(name)) strings.push(name)
    return strings.slice(0, strings.indexOf(name)).reduce((sum, each) => sum + each.length + 1, 0)
  }
  const node = (name: string, content: Node) => {
    words(1)
    padded(Buffer.from(`${name}\0`))
    for (const [property, value] of Object.entries(content)) {
      if (isNode(value)) continue
      const bytes = bytesOf(value)
      words(3, bytes.length, offsetOf(property))
      padded(bytes)
    }
    for (const [child, value] of Object.entries(content)) if (isNode(value)) node(child, value)
    words(2)
  }
  node('', root)
  words(9)

  const reserved = Buffer.alloc((reservations.length + 1) * 16)
  for (const [index, [address, size]] of reservations.entries()) {
    reserved.writeBigUInt64BE(address, index * 16)
    reserved.writeBigUInt64BE(size, index * 16 + 8)
  }
  const body = Buffer.concat(structure)
  const names = Buffer.from(strings.map(name => `${name}\0`).join(''))
  const atBody = 40 + reserved.length
  const atNames = atBody + body.length
  const total = atNames + names.length
  const header = bytesOf([0xd00dfeed, total, atBody, atNames, 40, 17, 16, 0, names.length, body.length])
  return Buffer.concat([header, reserved, body, names])
}
