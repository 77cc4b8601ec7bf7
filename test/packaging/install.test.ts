// The two ways to install: the Debian package, and npm's. Both are made from this tree and run from where they land.
import { spawnSync } from 'node:child_process'
import { lstatSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { version } from '../../src/config/version.ts'

const root = new URL('../..', import.meta.url).pathname.replace(/\/$/, '')
const patienceMs = 240_000

function run(program: string, args: readonly string[], cwd = root) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: patienceMs })
  return { status, stdout, stderr }
}
const has = (program: string): boolean => run(program, ['--version']).status === 0

/** What npm says where there is no way to its registry, and its cache is empty. */
const unreachable = /ENOTCACHED|EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ETIMEDOUT/
const noRegistry = "npm's registry cannot be reached, and its cache does not have what is needed"

/** Every path below a folder, relative to it. */
function files(folder: string, prefix = ''): string[] {
  return readdirSync(join(folder, prefix), { withFileTypes: true }).flatMap(entry => {
    const path = join(prefix, entry.name)
    return entry.isDirectory() ? files(folder, path) : [path]
  })
}

describe.skipIf(!has('dpkg-deb'))('the Debian package', () => {
  let folder = ''
  let tree = ''
  let control = ''
  let made = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'scmi-deb-'))
    const built = run(join(root, 'packaging/deb/build'), [folder])
    if (built.status !== 0) {
      if (!unreachable.test(built.stderr)) throw new Error(`packaging/deb/build: ${built.stderr}`)
      made = ''
      return
    }
    made = built.stdout.trim()
    tree = join(folder, 'tree')
    control = join(folder, 'control')
    run('dpkg-deb', ['-x', made, tree])
    run('dpkg-deb', ['-e', made, control])
  }, patienceMs)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  beforeEach(context => {
    if (made === '') context.skip(noRegistry)
  })

  test('is for all architectures, and wants a node that is new enough', () => {
    const field = (name: string) => run('dpkg-deb', ['-f', made, name]).stdout.trim()
    expect(made).toBe(join(folder, `scmi-mediator_${version}_all.deb`))
    expect([field('Package'), field('Version'), field('Architecture')]).toEqual([
      'scmi-mediator',
      version,
      'all',
    ])
    const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    expect(field('Depends')).toBe(`nodejs (${engines.node.replace('>=', '>= ')})`)
    expect(Number(field('Installed-Size'))).toBeGreaterThan(1000)
  })

  test('belongs to root, and nobody else may write in it', () => {
    const entries = run('dpkg-deb', ['-c', made]).stdout.trimEnd().split('\n')
    expect(entries.filter(line => !/^\S+\s+root\/root\s/.test(line))).toEqual([])
    expect(
      entries.filter(line => !line.startsWith('l') && /^.....w|^........w|^...s|^......s/.test(line)),
    ).toEqual([])
  })

  test('has what systemd, man and bash look for', () => {
    const list = files(tree)
    for (const path of [
      'usr/lib/systemd/system/scmid.service',
      'etc/xen/scripts/vif-scmi',
      'usr/share/man/man8/scmid.8.gz',
      'usr/share/man/man1/scmictl.1.gz',
      'usr/share/man/man5/scmid.conf.5.gz',
      'usr/share/bash-completion/completions/scmictl',
      'usr/share/doc/scmi-mediator/copyright',
      'usr/share/doc/scmi-mediator/changelog.gz',
    ])
      expect(list).toContain(path)
  })

  test('every file has its sum, and every configuration file is one', () => {
    expect(run('md5sum', ['--quiet', '-c', join(control, 'md5sums')], tree)).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    })
    const summed = readFileSync(join(control, 'md5sums'), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => line.slice(34))
    const regular = files(tree).filter(path => lstatSync(join(tree, path)).isFile())
    const conffiles = readFileSync(join(control, 'conffiles'), 'utf8').trimEnd().split('\n')
    expect([...summed, ...conffiles.map(path => path.slice(1))].sort()).toEqual(regular.sort())
  })

  test("its scripts are shell that the system's shell takes", () => {
    for (const script of ['postinst', 'prerm', 'postrm'])
      expect(run('sh', ['-n', join(control, script)])).toEqual({ status: 0, stdout: '', stderr: '' })
  })

  test('has the native library of both architectures, and nothing else that is native', () => {
    const native = files(tree).filter(path => /\.(node|so|o|a)$/.test(path))
    expect(native.map(path => path.replace(/.*@koromix\//, '')).sort()).toEqual([
      'koffi-linux-arm64/linux_arm64/koffi.node',
      'koffi-linux-x64/linux_x64/koffi.node',
    ])
    const machine = (path: string) => readFileSync(join(tree, path)).readUInt16LE(18)
    // e_machine of the ELF header: 183 is AArch64, 62 x86-64
    expect(native.map(machine).sort()).toEqual([183, 62])
  })

  test('names the licence of everything in it', () => {
    const text = readFileSync(join(tree, 'usr/share/doc/scmi-mediator/copyright'), 'utf8')
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    for (const [name, its] of Object.entries(dependencies))
      expect(text).toContain(`Comment: ${name} ${its}\n`)
    expect(text).not.toContain('License: unknown')
  })

  test('each program is one piece but for koffi, so that it starts soon', () => {
    const lib = join(tree, 'usr/lib/scmi-mediator')
    expect(readdirSync(lib).sort()).toEqual(['dist', 'node_modules', 'package.json'])
    expect(readdirSync(join(lib, 'node_modules')).sort()).toEqual(['@koromix', 'koffi'])
    expect(files(join(lib, 'dist')).length).toBeLessThan(40)
  })

  test('its programs run from where they are, with nothing of this tree', () => {
    for (const program of [
      'usr/sbin/scmid',
      'usr/bin/scmictl',
      'usr/bin/scmi-platform',
      'usr/bin/scmi-guest',
    ]) {
      const path = join(tree, program)
      expect(readFileSync(realpathSync(path), 'utf8').split('\n')[0]).toBe('#!/usr/bin/node')
      expect(run(process.execPath, [realpathSync(path), '--version'], '/')).toEqual({
        status: 0,
        stdout: expect.stringMatching(new RegExp(`^(scmictl )?${version}\n$`)),
        stderr: '',
      })
    }
    const example = join(tree, 'usr/share/doc/scmi-mediator/example/scmid.yaml')
    const main = realpathSync(join(tree, 'usr/sbin/scmid'))
    expect(run(process.execPath, [main, '--check', '-c', example], '/')).toMatchObject({
      status: 0,
      stdout: `${example}: ok\n`,
    })
  })
})

describe('npm', () => {
  let folder = ''
  let failure: string | undefined
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'scmi-npm-'))
    const packed = run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder])
    const tarball = join(folder, packed.stdout.trim())
    const { status, stderr } = run(
      'npm',
      [
        'install',
        '-g',
        '--prefix',
        join(folder, 'prefix'),
        '--prefer-offline',
        '--no-audit',
        '--no-fund',
        tarball,
      ],
      folder,
    )
    if (status !== 0) failure = stderr
  }, patienceMs)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('install -g of the packed tarball into a fresh prefix gives the four programs', context => {
    if (failure !== undefined && unreachable.test(failure)) context.skip(noRegistry)
    expect(failure).toBeUndefined()
    for (const program of ['scmid', 'scmictl', 'scmi-guest', 'scmi-platform'])
      expect(run(join(folder, 'prefix/bin', program), ['--version'], '/')).toEqual({
        status: 0,
        stdout: expect.stringMatching(new RegExp(`^(scmictl )?${version}\n$`)),
        stderr: '',
      })
  })

  test('the tarball has the unit, the manual and the configuration to copy', () => {
    const [name = ''] = readdirSync(folder).filter(each => each.endsWith('.tgz'))
    const list = run('tar', ['-tzf', join(folder, name)]).stdout.split('\n')
    for (const path of ['scmid.service', 'scmid.yaml', 'man/scmid.8', 'bash-completion/scmictl'])
      expect(list).toContain(`package/packaging/${path}`)
    expect(list.filter(path => /^package\/(src|test|bench)\//.test(path))).toEqual([])
  })
})
