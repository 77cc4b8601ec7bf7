// Writes an initramfs: a cpio archive in the "newc" format of the kernel's Documentation/driver-api/early-userspace.

/** What stands at a path of the archive: a file's bytes, a link's target, or a folder. */
export type Entry =
  | { readonly file: Uint8Array | string; readonly executable?: boolean }
  | { readonly link: string }
  | 'folder'

const kinds = { file: 0o100644, program: 0o100755, link: 0o120777, folder: 0o040755 }

/** The archive, uncompressed. Folders of files are made as needed; entries keep their order. */
export function initramfs(entries: ReadonlyMap<string, Entry>): Buffer {
  const all = new Map<string, Entry>()
  for (const [path, entry] of entries) {
    const names = path.split('/')
    for (let depth = 1; depth < names.length; depth++) {
      const folder = names.slice(0, depth).join('/')
      if (!all.has(folder)) all.set(folder, 'folder')
    }
    all.set(path, entry)
  }
  const parts: Buffer[] = []
  let inode = 1
  for (const [path, entry] of all) parts.push(record(inode++, path, entry))
  parts.push(record(0, 'TRAILER!!!', { file: '' }))
  return Buffer.concat(parts)
}

function record(inode: number, path: string, entry: Entry): Buffer {
  const [mode, content] =
    entry === 'folder'
      ? [kinds.folder, '']
      : 'link' in entry
        ? [kinds.link, entry.link]
        : [entry.executable === true ? kinds.program : kinds.file, entry.file]
  const bytes = Buffer.from(content)
  const name = Buffer.from(`${path}\0`)
  // inode, mode, uid, gid, links, mtime, size, device major and minor, rdev major and minor, name's size, check
  const fields = [inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length, 0]
  const header = `070701${fields.map(field => field.toString(16).padStart(8, '0')).join('')}`
  return Buffer.concat([padded(Buffer.concat([Buffer.from(header), name])), padded(bytes)])
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
