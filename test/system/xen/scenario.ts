// What the scenarios share: the machine, the daemon, the guests they may create, and the audit log.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Steps } from '../lib/report.ts'
import { bareGuest, type Orders } from './bare-guest.ts'
import type { Daemon } from './daemon.ts'
import type { Dom0 } from './dom0.ts'
import { Guest } from './guest.ts'
import { compileTree, generateTree } from './trees.ts'

export interface Scenario {
  readonly steps: Steps
  readonly dom0: Dom0
  readonly daemon: Daemon
}

/** What the example machine's firmware calls what guests are given here. */
export const devices = {
  adc: '/soc/adc@e6f30000',
  canfd: '/soc/can@e66c0000',
  sdhi2: '/soc/mmc@ee140000',
} as const

/** The function id and the page that generated trees name. */
const channel = { smcId: 0x8200_0002, shmem: 0x2200_1000 }

/** A Linux guest of two vCPUs with a tree from guests/linux. The first filesystem is at /share/linux.cpio. */
export async function linuxGuest({ dom0 }: Scenario, name: 'own' | 'foreign'): Promise<Guest> {
  const tree = join(dom0.share, `${name}.dtb`)
  if (name === 'own') await generateTree(`linux/${name}.dts`, tree)
  else await compileTree(`linux/${name}.dts`, tree)
  const lines = [
    'kernel = "/root/vmlinuz"',
    'ramdisk = "/share/linux.cpio"',
    'extra = "console=hvc0 quiet"',
    'memory = 192',
    'vcpus = 2',
    `device_tree = "/share/${name}.dtb"`,
  ]
  return new Guest(dom0, { name, lines })
}

/** A guest without an operating system that has one device and follows `orders`. */
export async function bareGuestWith(
  { dom0 }: Scenario,
  name: string,
  device: keyof typeof devices,
  orders: Omit<Orders, 'smcId' | 'shmem'>,
  discovery?: 'identity',
): Promise<Guest> {
  await generateTree('bare/own.dts', join(dom0.share, `${name}.dtb`), devices[device], discovery)
  writeFileSync(join(dom0.share, `${name}.image`), await bareGuest({ ...orders, ...channel }))
  const lines = [
    `kernel = "/share/${name}.image"`,
    'memory = 64',
    'vcpus = 2',
    `device_tree = "/share/${name}.dtb"`,
  ]
  return new Guest(dom0, { name, lines, vuart: true })
}

/** One record of the audit log, as far as it is looked at here. */
export interface AuditRecord {
  readonly domain?: string
  readonly kind: string
  readonly message?: string
  readonly resource?: number
  readonly resourceName?: string
  readonly decision?: string
  readonly statusName?: string
}

/** The audit log as it is now. */
export async function auditRecords({ dom0, daemon }: Scenario): Promise<AuditRecord[]> {
  await daemon.post('audit/flush')
  const copy = join(dom0.share, 'audit')
  rmSync(copy, { recursive: true, force: true })
  await dom0.ask('cp -r /var/log/scmid /share/audit')
  return readdirSync(copy)
    .filter(name => name.startsWith('audit.jsonl'))
    .flatMap(name => readFileSync(join(copy, name), 'utf8').trim().split('\n'))
    .map(line => JSON.parse(line) as AuditRecord)
}

/** What the daemon has granted to whom, without what changes by itself. */
export async function grants({ daemon }: Scenario): Promise<unknown> {
  const domains = await daemon.get<Record<string, unknown>[]>('domains')
  return domains
    .map(({ name, domid, agentId, devices, protocols }) => ({ name, domid, agentId, devices, protocols }))
    .sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1))
}
