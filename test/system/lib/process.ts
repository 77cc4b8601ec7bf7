// Runs a program to its end, and tells what it said when it failed.
import { execFile } from 'node:child_process'

export interface RunOptions {
  readonly cwd?: string
  /** Replaces the whole environment but PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>
  /** Milliseconds until it is killed; 15 minutes if not said. */
  readonly timeoutMs?: number
}

/** Its standard output. Throws with the end of both outputs when it fails, or cannot be run at all. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { PATH = '/usr/sbin:/usr/bin:/sbin:/bin', HOME = '/' } = process.env
  return new Promise((resolve, reject) => {
    execFile(
      command,
      args,
      {
        cwd: options.cwd,
        env: { PATH, HOME, LC_ALL: 'C', ...options.env },
        timeout: options.timeoutMs ?? 900_000,
        killSignal: 'SIGKILL',
        maxBuffer: 256 << 20,
      },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout)
        const said = `${stdout}${stderr}`.trim().split('\n').slice(-25).join('\n')
        reject(
          new Error(`${command} ${args.join(' ').slice(0, 200)}: ${error.code ?? error.signal}\n${said}`),
        )
      },
    )
  })
}

/** Whether the program can be run with these arguments. */
export const works = (command: string, args: readonly string[]): Promise<boolean> =>
  run(command, args).then(
    () => true,
    () => false,
  )
