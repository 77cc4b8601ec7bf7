// A character device joined to a daemon's socket: what stands in for /dev/xen/xenbus on a machine without Xen.
import { spawn } from 'node:child_process'
import { compiled } from './bench.ts'

export interface Device {
  readonly path: string
  close(): Promise<void>
}

export async function deviceFor(socket: string): Promise<Device> {
  const child = spawn(await compiled('device.c', 'device'), [socket], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const path = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', chunk => resolve(String(chunk).trim()))
    child.once('exit', code => reject(new Error(`the device ended with ${code}`)))
  })
  return {
    path,
    close() {
      child.stdin.end()
      return ended
    },
  }
}
