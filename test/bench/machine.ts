import { spawnSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'

/** What the figures were measured on and with, one line each. */
export function describeMachine(): readonly string[] {
  const [first] = cpus()
  const [load = 0] = loadavg()
  return [
    `${cpus().length} × ${first?.model ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `Linux ${release()}, Node ${process.versions.node}`,
    `load average of the minute before: ${load.toFixed(1)}`,
    versionOf('docker-registry', ['--version']),
    versionOf('nginx', ['-v']),
  ]
}

/**
 * The first line of what a program says of itself, on whichever stream.
 *
 * @throws {Error} when it is not installed
 */
function versionOf(program: string, args: readonly string[]): string {
  const { stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
  if (error !== undefined)
    throw new Error(`${program} is needed and cannot be run: ${error.message}`)
  return `${stdout}${stderr}`.trim().split('\n')[0] ?? program
}
