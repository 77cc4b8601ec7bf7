// Two stock Linux guests at once: one with a generated tree, one whose tree has the ids of the firmware.
import { expect } from './expect.ts'
import { auditRecords, grants, linuxGuest, type Scenario } from './scenario.ts'

export async function linuxGuests(scenario: Scenario): Promise<void> {
  const { steps } = scenario
  const own = await linuxGuest(scenario, 'own')
  const foreign = await linuxGuest(scenario, 'foreign')

  await steps.phase('xl create of two Linux guests, until their consoles answer', async () => {
    await own.create()
    await foreign.create()
    for (const guest of [own, foreign]) await guest.wait(/guest: ready/, { timeoutMs: 600_000 })
  })
  await steps.check('Linux, generated tree: both vCPUs run, base is probed', async () => {
    expect((await own.ask('nproc')).trim(), '2')
    const log = await own.ask('dmesg | grep -i scmi')
    if (!/SCMI Protocol v2\.\d '.*' Firmware version/.test(log)) throw new Error(`no SCMI in: ${log}`)
  })
  await steps.check('Linux: clock, power, performance and reset have their drivers', async () => {
    const bound = await own.ask('cd /sys/bus/scmi_protocol/drivers; ls -d */scmi_dev* | sort')
    for (const driver of ['scmi-clocks', 'scmi-power-domain', 'scmi-perf-domain', 'scmi-reset'])
      if (!bound.includes(`${driver}/scmi_dev`)) throw new Error(`${driver} is not bound: ${bound}`)
  })
  await steps.check('Linux: clk_summary shows the clocks of its devices and no others', async () => {
    expect(Object.keys(clocks(await own.ask('cat /sys/kernel/debug/clk/clk_summary'))), [
      'avb',
      'gpu',
      'sd0',
      'sd0h',
    ])
    expect(Object.keys(clocks(await foreign.ask('cat /sys/kernel/debug/clk/clk_summary'))), [
      'usb0',
      'usb0-phy',
    ])
  })
  await steps.check('Linux: a driver enables and disables its clock, and no other', async () => {
    for (const [brightness, count] of [
      ['1', 1],
      ['0', 0],
    ] as const) {
      await own.ask(`echo ${brightness} >/sys/class/leds/avb/brightness`)
      const summary = clocks(await own.ask('cat /sys/kernel/debug/clk/clk_summary'))
      expect(summary, { avb: count, gpu: 0, sd0: 0, sd0h: 0 })
    }
  })
  await steps.check('Linux: vCPU 1 goes off and comes back', async () => {
    for (const online of [0, 1]) await own.ask(`echo ${online} >/sys/devices/system/cpu/cpu1/online`)
    expect((await own.ask('nproc')).trim(), '2')
  })
  await steps.check('Linux, ids of the firmware: its own device works', async () => {
    await foreign.ask('echo 1 >/sys/class/leds/usb0/brightness')
    expect(clocks(await foreign.ask('cat /sys/kernel/debug/clk/clk_summary')), { usb0: 1, 'usb0-phy': 0 })
  })
  await steps.check('audit shows what was allowed and what was denied', async () => {
    const records = await auditRecords(scenario)
    const told = (domain: string, message: string, resourceName: string) =>
      records.filter(
        record =>
          record.domain === domain && record.message === message && record.resourceName === resourceName,
      )
    if (!told('own', 'CLOCK_CONFIG_SET', 'avb').some(({ decision }) => decision === 'allowed'))
      throw new Error('no record of the clock that was enabled')
    if (!told('foreign', 'CLOCK_ATTRIBUTES', 'avb').some(({ decision }) => decision === 'placeholder'))
      throw new Error("no record of the other's clock, which was not shown")
  })
  await steps.check('Linux: a reboot gives a new domain with the same rights', async () => {
    const [before, domid, from] = [await grants(scenario), await own.domid(), own.console.length]
    await own.type('reboot -f')
    await own.wait(/guest: ready/, { from, timeoutMs: 600_000 })
    if ((await own.domid()) === domid) throw new Error('the domain is the same one')
    const without = (all: unknown): unknown =>
      (all as object[]).map(each => ({ ...each, domid: 0, agentId: 0 }))
    expect(without(await grants(scenario)), without(before))
    expect(Object.keys(clocks(await own.ask('cat /sys/kernel/debug/clk/clk_summary'))).length, 4)
  })
  await steps.check('destroyed guests leave no domain, no rights and no zombie', async () => {
    for (const guest of [own, foreign]) await guest.destroy()
    await nobodyLeft(scenario)
  })
}

/** Waits until Xen and the daemon know of no guest. */
export async function nobodyLeft({ dom0, daemon }: Scenario): Promise<void> {
  for (let tries = 0; ; tries++) {
    const list = (await dom0.ask('xl list')).trim().split('\n')
    const domains = await daemon.get<unknown[]>('domains')
    if (list.length === 2 && domains.length === 0) return
    if (tries === 30) throw new Error(`left: ${list.join('; ')}; ${JSON.stringify(domains)}`)
    await new Promise(resolve => setTimeout(resolve, 1000))
  }
}

/** Names and enable counts of clk_summary, in the order of names. */
function clocks(summary: string): Record<string, number> {
  const lines = summary.split('\n').slice(summary.split('\n').findIndex(line => line.startsWith('---')) + 1)
  const rows = lines.map(line => line.trim().split(/\s+/)).filter(row => /^\d+$/.test(row[1] ?? ''))
  return Object.fromEntries(rows.map(row => [row[0] ?? '', Number(row[1])] as const).sort())
}
