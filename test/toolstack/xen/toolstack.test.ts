// Domains that come, run, change and go, from the hypervisor's first sight of them to their last: held, granted, published,
// let go, taken back. Xen's libraries are the stand-in, the lifecycle and the platform the real ones.
import { createHash } from 'node:crypto'
import { chmodSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { fixture } from '../../lifecycle/site.ts'
import { hasCompiler } from '../../xen-standin/xen-standin.ts'
import { XenMachine } from './machine.ts'

const a = { name: 'guest-a', tree: 'guest-a.dtb' }
const b = { name: 'guest-b', tree: 'guest-b.dtb' }

describe.skipIf(!hasCompiler)('the gate', () => {
  test('holds a domain from the first sight of it until it has its rights', async () => {
    const machine = await XenMachine.started()
    machine.make(7, 'guest-a')
    await machine.reaches(7, 'arriving')
    expect(machine.pauses(7)).toBe(2) // the toolstack's own, and ours
    machine.introduce()
    machine.letRun(7) // xl is done sooner than we are
    expect(machine.pauses(7)).toBe(1)
    expect(machine.site.lifecycle.domains).toEqual([])
    const path = machine.configure(7, a)
    const view = await machine.reaches(7, 'served')
    await machine.unheld(7)
    expect(machine.pauses(7)).toBe(0)
    expect(view).toMatchObject({
      name: 'guest-a',
      agentId: 2,
      dtbPath: path,
      dtbHash: createHash('sha256').update(readFileSync(path)).digest('hex'),
    })
    expect(machine.site.faults()).toEqual([])
  })

  test('a domain that xl created paused stays so', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a)
    await machine.reaches(7, 'served')
    await machine.unheld(7)
    expect(machine.pauses(7)).toBe(1)
  })

  test('is not in the way of domains that ask for no SCMI', async () => {
    const machine = await XenMachine.started()
    machine.create(3, { name: 'plain' })
    machine.create(4, { name: 'other', tree: fixture('../dt/small.dtb') })
    await machine.reaches(3, 'unmanaged')
    await machine.reaches(4, 'unmanaged')
    expect([machine.pauses(3), machine.pauses(4)]).toEqual([1, 1])
    expect(machine.node('/local/domain/3/scmi/state')).toBeUndefined()
  })

  test('finds the tree of a domain without device_tree= in its memory', async () => {
    const machine = await XenMachine.started()
    machine.make(7, 'guest-a', { tree: readFileSync(fixture('guest-a.dtb')) })
    machine.configure(7, { name: 'guest-a' })
    const view = await machine.reaches(7, 'served')
    expect(view.dtbPath).toBeUndefined()
    expect(machine.site.faults()).toEqual([])
  })

  test('waits as long as a domain is being built', async () => {
    const machine = await XenMachine.started({ configurationMs: 20 })
    machine.make(7, 'guest-a', { tree: readFileSync(fixture('guest-a.dtb')) })
    machine.standin.building(7)
    machine.introduce()
    await machine.reaches(7, 'arriving')
    machine.make(8, 'plain') // seen later, and done long before
    machine.introduce()
    await machine.reaches(8, 'unmanaged')
    expect(machine.view(7)?.state).toBe('arriving')
    machine.configure(7, { name: 'guest-a' })
    machine.standin.setUp(7, 0)
    await machine.reaches(7, 'served')
    expect(machine.site.faults()).toEqual([])
  })

  test.each(['late', 'refused'])(
    'a guest that is denied (%s) finds its shared page, and it is free',
    async why => {
      const machine = await XenMachine.started({ late: 'deny', refused: 'deny' })
      machine.make(7, 'guest-a')
      if (why === 'late') machine.letRun(7)
      machine.configure(7, why === 'late' ? a : { ...a, armSci: 'scmi_smc' })
      machine.introduce()
      await machine.reaches(7, 'denied')
      await machine.unheld(7)
      expect([...machine.standin.words(7, 4)]).toEqual([0, 1, 0, 0]) // channel_status: free
      expect(machine.log.filter(line => line.includes('shared page'))).toEqual([])
    },
  )

  test.each(['deny', 'destroy'] as const)('%s: a domain that had run before it could be held', async late => {
    const machine = await XenMachine.started({ late })
    machine.make(7, 'guest-a')
    machine.letRun(7) // before this thread hears of it
    machine.configure(7, a)
    machine.introduce()
    if (late === 'deny') {
      expect(await machine.reaches(7, 'denied')).toMatchObject({
        reason: 'it had run before it could be held',
        held: false,
      })
      expect(machine.pauses(7)).toBe(0)
      await vi.waitFor(() => expect(machine.node('/local/domain/7/scmi/state')).toBe('denied n0,r7'))
    } else await vi.waitFor(() => expect(machine.standin.look(7).there).toBe(false))
    expect(machine.site.lifecycle.domains).toEqual([])
  })

  test('a domain that ran when the daemon came is not destroyed for it', async () => {
    const machine = await XenMachine.with({ late: 'destroy' })
    machine.create(7, a)
    machine.letRun(7)
    await machine.toolstack.start()
    expect((await machine.reaches(7, 'denied')).reason).toBe('it ran when the daemon was started')
    expect(machine.standin.look(7).there).toBe(true)
  })

  test.each(['deny', 'destroy'] as const)('%s: a domain that contradicts the plan', async refused => {
    const machine = await XenMachine.started({ refused })
    machine.create(7, a)
    await machine.reaches(7, 'served')
    machine.create(8, { name: 'twin', tree: 'guest-a.dtb' }, { uuid: 800 })
    if (refused === 'deny') {
      const { reason } = await machine.reaches(8, 'denied')
      expect(reason).toMatch(/guest-a/)
      await machine.unheld(8)
      expect(machine.pauses(8)).toBe(1)
      await vi.waitFor(() => expect(machine.node('/libxl/8/scmi/error')).toContain('guest-a'))
    } else await vi.waitFor(() => expect(machine.standin.look(8).there).toBe(false))
    expect(machine.site.lifecycle.domains).toHaveLength(1)
  })

  test('a domain that Xen itself forwards for is not served twice', async () => {
    const machine = await XenMachine.started()
    machine.create(7, { ...a, armSci: 'scmi_smc' })
    expect((await machine.reaches(7, 'denied')).reason).toContain(
      'arm_sci="scmi_smc": Xen itself would serve it',
    )
  })

  test('a second domain with the UUID of one that runs is a copy, and refused', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a, { uuid: 42 })
    await machine.reaches(7, 'served')
    machine.create(8, b, { uuid: 42 })
    expect((await machine.reaches(8, 'denied')).reason).toMatch(/copies are not served/)
  })
})

describe.skipIf(!hasCompiler)('files', () => {
  const refusals: [string, (machine: XenMachine) => string, RegExp][] = [
    ['relative', () => './guest-a.dtb', /is relative/],
    [
      'a symbolic link',
      machine => {
        const path = join(machine.directory, 'link.dtb')
        symlinkSync(fixture('guest-a.dtb'), path)
        return path
      },
      /symbolic link/,
    ],
    [
      'writable by others',
      machine => {
        const path = join(machine.directory, 'open.dtb')
        writeFileSync(path, readFileSync(fixture('guest-a.dtb')))
        chmodSync(path, 0o666)
        return path
      },
      /others may write/,
    ],
    ['missing', machine => join(machine.directory, 'none.dtb'), /ENOENT/],
    [
      'no device tree',
      machine => {
        const path = join(machine.directory, 'rubbish.dtb')
        writeFileSync(path, 'rubbish')
        return path
      },
      /rubbish\.dtb/,
    ],
  ]
  test.each(refusals)('a partial tree that is %s is refused with its name', async (_, make, reason) => {
    const machine = await XenMachine.started()
    machine.create(7, { name: 'guest-a', tree: make(machine) })
    expect((await machine.reaches(7, 'denied')).reason).toMatch(reason)
    await machine.unheld(7)
  })

  test('a directory that others may write to is refused: they could exchange the file', async () => {
    const machine = await XenMachine.started()
    chmodSync(machine.directory, 0o777)
    machine.create(7, a)
    expect((await machine.reaches(7, 'denied')).reason).toMatch(/others may write/)
  })
})

describe.skipIf(!hasCompiler)('what is published', () => {
  test('state for the guest, the rest for Dom0 alone', async () => {
    const machine = await XenMachine.started()
    machine.create(7, { ...a, dtdevs: ['/soc/ethernet@e6800000'] })
    await machine.reaches(7, 'served')
    await machine.unheld(7)
    expect(machine.node('/local/domain/7/scmi/state')).toBe('ready n0,r7')
    expect(machine.node('/local/domain/7/scmi')).toBe(' n0,r7')
    expect(machine.node('/libxl/7/scmi/agent-id')).toBe('2 n0')
    expect(machine.node('/libxl/7/scmi/devices/0/path')).toMatch(/^\/soc\/\S+ n0$/)
    expect(machine.node('/tool/scmi-mediator/state')).toBe('running n0')
    expect(machine.node('/tool/scmi-mediator/version')).toBe('1.2.3 n0')
    await machine.toolstack.stop()
    expect(machine.node('/tool/scmi-mediator/state')).toBe('stopped n0')
  })

  test('again when xenstored comes back without memory; the domains are served on', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a)
    await machine.reaches(7, 'served')
    await machine.store.away()
    machine.store.clear()
    machine.store.write('/local/domain/7/vm', `/vm/${machine.domains.get(7)?.uuid}`)
    machine.store.write('/libxl/7/type', 'pvh')
    await machine.store.back()
    await vi.waitFor(() => expect(machine.node('/local/domain/7/scmi/state')).toBe('ready n0,r7'))
    await vi.waitFor(() => expect(machine.node('/tool/scmi-mediator/state')).toBe('running n0'))
    await machine.serves('guest-a')
    machine.create(8, b)
    await machine.serves('guest-a', 'guest-b')
  })

  test('nothing under the home of a domain that is gone', async () => {
    const machine = await XenMachine.started()
    machine.make(7, 'guest-a')
    await machine.reaches(7, 'arriving')
    machine.store.remove('/local/domain/7')
    machine.configure(7, a)
    await machine.reaches(7, 'served')
    await machine.unheld(7)
    expect(machine.node('/local/domain/7/scmi/state')).toBeUndefined()
  })
})

describe.skipIf(!hasCompiler)('domains that go', () => {
  test.each(['poweroff', 'crash'] as const)('%s takes everything back', async reason => {
    const machine = await XenMachine.started()
    machine.create(7, a)
    await machine.reaches(7, 'served')
    machine.letRun(7)
    machine.shutDown(7, reason)
    await machine.serves()
    machine.destroy(7)
    await machine.toolstack.settled()
    expect(machine.view(7)).toBeUndefined()
    expect(machine.site.faults()).toEqual([])
  })

  test('a reboot is another domain with the same name, UUID and devices', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a, { uuid: 42 })
    await machine.reaches(7, 'served')
    machine.letRun(7)
    machine.shutDown(7, 'reboot')
    machine.destroy(7)
    machine.create(8, a, { uuid: 42 })
    const view = await machine.reaches(8, 'served')
    expect(view.agentId).toBe(2)
    await machine.serves('guest-a')
    expect(machine.site.lifecycle.domain('guest-a').spec.domid).toBe(8)
    expect(machine.site.faults()).toEqual([])
  })

  test('a domain id that is used again is another domain', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a, { uuid: 11 })
    await machine.reaches(7, 'served')
    machine.standin.destroy(7)
    machine.create(7, b, { uuid: 12 }) // before anybody told of the end of the first
    await machine.serves('guest-b')
    expect(machine.site.lifecycle.domain('guest-b').spec).toMatchObject({
      domid: 7,
      uuid: machine.domains.get(7)?.uuid,
    })
    expect(machine.site.faults()).toEqual([])
  })

  test('one that goes while its configuration is awaited leaves nothing', async () => {
    const machine = await XenMachine.started()
    machine.make(7, 'guest-a')
    await machine.reaches(7, 'arriving')
    machine.destroy(7)
    await vi.waitFor(() => expect(machine.view(7)).toBeUndefined())
    expect(machine.file('holds.json')).toContain('"held":[]')
    expect(machine.site.lifecycle.domains).toEqual([])
  })

  test('one that goes while it is granted gives everything back', async () => {
    const machine = await XenMachine.started()
    machine.site.onPermission = () => {
      if (machine.standin.look(7).there) machine.destroy(7)
    }
    machine.create(7, a)
    await vi.waitFor(() => expect(machine.standin.look(7).there).toBe(false))
    await vi.waitFor(() => expect(machine.view(7)).toBeUndefined())
    await machine.serves()
    expect(machine.site.faults()).toEqual([])
  })

  test('a suspended one keeps its rights: nothing of it runs, and it may go on', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a)
    await machine.reaches(7, 'served')
    machine.letRun(7)
    machine.shutDown(7, 'suspend')
    await machine.toolstack.settled()
    await machine.serves('guest-a')
  })

  test('a new name is taken over', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a)
    await machine.reaches(7, 'served')
    machine.store.write('/local/domain/7/name', 'called-anew')
    await machine.serves('called-anew')
    expect(machine.view(7)?.name).toBe('called-anew')
    expect(machine.site.faults()).toEqual([])
    machine.destroy(7)
    await machine.serves()
    expect(machine.site.faults()).toEqual([])
  })
})

describe.skipIf(!hasCompiler)('the daemon’s successor', () => {
  test('serves on what was served', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a)
    await machine.reaches(7, 'served')
    machine.letRun(7)
    await machine.toolstack.stop()
    await machine.successor()
    await machine.toolstack.start()
    expect(await machine.reaches(7, 'served')).toMatchObject({ agentId: 2, held: false, name: 'guest-a' })
    expect(machine.pauses(7)).toBe(0)
    expect(machine.site.faults()).toEqual([])
  })

  test('does not give a domain’s rights to another one with its id', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a, { uuid: 11 })
    await machine.reaches(7, 'served')
    await machine.toolstack.stop()
    machine.standin.destroy(7)
    machine.create(7, { name: 'guest-a', tree: 'guest-b.dtb' }, { uuid: 12 })
    await machine.successor()
    expect(machine.site.lifecycle.domains).toEqual([])
    await machine.toolstack.start()
    await machine.serves('guest-a')
    expect(machine.site.lifecycle.domain('guest-a').spec.uuid).toBe(machine.domains.get(7)?.uuid)
    expect(machine.site.faults()).toEqual([])
  })

  test('lets go of what its predecessor held, once', async () => {
    const machine = await XenMachine.started()
    machine.make(7, 'guest-a')
    await machine.reaches(7, 'arriving')
    await machine.toolstack.stop()
    expect(machine.pauses(7)).toBe(2) // held for whoever comes next
    await machine.successor()
    await machine.toolstack.start()
    expect(machine.pauses(7)).toBe(2)
    machine.configure(7, a)
    await machine.reaches(7, 'served')
    await machine.unheld(7)
    expect(machine.pauses(7)).toBe(1)
  })

  test('a domain that could not come back is denied, and forgotten when it goes', async () => {
    const machine = await XenMachine.started({ late: 'destroy' })
    machine.create(7, a)
    await machine.reaches(7, 'served')
    machine.letRun(7)
    await machine.toolstack.stop()
    await machine.successor(site => {
      site.broken.open = true
    })
    await machine.toolstack.start()
    expect((await machine.reaches(7, 'denied')).reason).toContain('could not be taken up again')
    machine.site.broken.open = false
    machine.shutDown(7, 'reboot')
    machine.destroy(7)
    machine.create(8, a)
    await machine.reaches(8, 'served')
    expect(machine.site.lifecycle.lost).toEqual([])
    expect(machine.site.faults()).toEqual([])
  })

  test('takes back what went meanwhile', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a)
    await machine.reaches(7, 'served')
    await machine.toolstack.stop()
    machine.destroy(7)
    await machine.successor()
    await machine.toolstack.start()
    await machine.serves()
    expect(machine.site.faults()).toEqual([])
    machine.create(8, a)
    expect((await machine.reaches(8, 'served')).agentId).toBe(2)
  })
})

describe.skipIf(!hasCompiler)('the operator', () => {
  test('holds a running domain and lets it go; twice is once', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a)
    await machine.reaches(7, 'served')
    await machine.unheld(7)
    machine.letRun(7)
    expect(await machine.toolstack.hold('guest-a')).toMatchObject({ domid: 7, held: true, state: 'served' })
    await machine.toolstack.hold('7')
    expect(machine.pauses(7)).toBe(1)
    expect(await machine.toolstack.release('7')).toMatchObject({ held: false })
    await machine.toolstack.release('7')
    expect(machine.pauses(7)).toBe(0)
  })

  test('a hold finds a domain that nobody has told of yet, in the gate', async () => {
    const machine = await XenMachine.started()
    machine.standin.create(7)
    expect(await machine.toolstack.hold('7')).toMatchObject({ state: 'arriving', held: true })
    expect(machine.pauses(7)).toBe(2)
    await expect(machine.toolstack.hold('9')).rejects.toMatchObject({ code: 'DOMAIN_UNKNOWN' })
  })

  test('lets one in the gate go without rights', async () => {
    const machine = await XenMachine.started()
    machine.make(7, 'guest-a')
    await machine.reaches(7, 'arriving')
    expect(await machine.toolstack.release('7')).toMatchObject({ state: 'denied', held: false })
    expect(machine.pauses(7)).toBe(1)
  })

  test('is told what a configuration would be granted, before there is a domain', async () => {
    const machine = await XenMachine.started()
    const outcome = await machine.toolstack.preflight(
      JSON.stringify({ c_info: { name: 'guest-a' }, b_info: { device_tree: fixture('guest-a.dtb') } }),
    )
    expect(outcome).toMatchObject({ dryRun: true, domain: 'guest-a', agentId: 2 })
    expect(machine.site.lifecycle.domains).toEqual([])
    await expect(machine.toolstack.preflight('{"c_info":{"name":"x"}}')).rejects.toThrow('no device_tree=')
    await expect(machine.toolstack.preflight('not JSON')).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
  })

  test('what an operator removes is denied, and published so', async () => {
    const machine = await XenMachine.started()
    machine.create(7, a)
    await machine.reaches(7, 'served')
    await machine.site.lifecycle.removeDomain('guest-a', { dryRun: false })
    await machine.toolstack.settled()
    expect(machine.view(7)).toMatchObject({ state: 'denied', reason: 'removed by the operator' })
    await vi.waitFor(() => expect(machine.node('/local/domain/7/scmi/state')).toBe('denied n0,r7'))
  })
})

test.skipIf(!hasCompiler)('a hold that cannot be written down is not taken', async () => {
  const machine = await XenMachine.started()
  rmSync(join(machine.directory, 'holds.json'), { force: true })
  symlinkSync('/nonexistent/file', join(machine.directory, 'holds.json.new'))
  machine.create(7, a)
  await vi.waitFor(() => expect(machine.log.join('\n')).toMatch(/domain 7 cannot be held: .*holds\.json/))
})
