// A small kernel with SCMI's raw mode, which Debian's has not: its programs write whole frames, as they like.
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { once } from '../lib/cache.ts'
import { inTree } from '../lib/chroot.ts'
import { run } from '../lib/process.ts'
import { buildTree } from '../lib/trees.ts'
import { kernelPackages, kernelSource } from '../qemu/kernel.ts'

const config = fileURLToPath(new URL('linux.config', import.meta.url))

const script = (folder: string): string => `
cd ${folder}
export ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=test KBUILD_BUILD_HOST=test
make -s tinyconfig
./scripts/kconfig/merge_config.sh -m .config ../linux.config
make -s olddefconfig
for want in $(grep '^CONFIG_' ../linux.config); do
  grep -qx "$want" .config || { echo "the kernel's configuration did not take $want"; exit 1; }
done
nice make -s -j"$(nproc)" Image
cp arch/arm64/boot/Image ..
`

/** Path of the kernel image, built where it is not in the cache: three to five minutes on two CPUs. */
export async function rawKernel(): Promise<string> {
  const packages = await kernelPackages()
  const wanted = [packages.release, readFileSync(config, 'utf8'), script('')]
  const built = await once('linux-raw', wanted, async directory => {
    const { archive, folder } = kernelSource(packages)
    await run('tar', ['-xJf', archive, '-C', directory])
    copyFileSync(config, join(directory, 'linux.config'))
    await inTree(await buildTree(), directory, script(folder))
    await run('rm', ['-rf', join(directory, folder)])
  })
  return join(built, 'Image')
}

const program = fileURLToPath(new URL('raw-frames.c', import.meta.url))

/** Path of raw-frames for the guest, a static program. */
export async function rawFrames(): Promise<string> {
  const built = await once('raw-frames', readFileSync(program, 'utf8'), async directory => {
    copyFileSync(program, join(directory, 'raw-frames.c'))
    const compile = 'aarch64-linux-gnu-gcc -static -O2 -Wall -Werror -o raw-frames raw-frames.c'
    await inTree(await buildTree(), directory, compile)
  })
  return join(built, 'raw-frames')
}
