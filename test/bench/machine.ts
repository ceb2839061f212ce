import { execFileSync } from 'node:child_process'
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

/** The first line of what a program says of itself, on whichever stream. */
function versionOf(program: string, args: readonly string[]): string {
  const text = execFileSync('sh', ['-c', '"$0" "$@" 2>&1', program, ...args], { encoding: 'utf8' })
  return text.trim().split('\n')[0] ?? program
}
