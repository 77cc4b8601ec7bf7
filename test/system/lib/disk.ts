// An ext4 file system in a file, made of a directory without mounting anything.
import { run } from './process.ts'

/** Writes `file` with the contents of `directory`, owned by root; `size` as mke2fs takes it: 600M. */
export async function makeDisk(directory: string, file: string, size: string): Promise<void> {
  const options = ['-q', '-t', 'ext4', '-O', '^has_journal', '-E', 'root_owner=0:0']
  await run('mke2fs', [...options, '-d', directory, file, size])
}
