import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Resident memory of another process, in bytes, as the kernel counts it. */
export function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (kibibytes === undefined) throw new Error(`process ${pid} has no memory: it has ended`)
  return Number(kibibytes) * 1024
}

/** USER_HZ: what `/proc/PID/stat` counts in, the same on every Linux port that Node runs on. */
const TICKS_A_SECOND = 100

/** User and system time of another process so far, in seconds. */
export function cpuSecondsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // proc(5): the name, in brackets, may hold anything; what follows its last bracket is regular.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND
}

export interface Descriptors {
  readonly all: number
  readonly sockets: number
}

/** What another process has open at this moment. */
export function descriptorsOf(pid: number): Descriptors {
  const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`)
    } catch {
      return 'closed meanwhile'
    }
  })
  const open = targets.filter((target) => target !== 'closed meanwhile')
  return { all: open.length, sockets: open.filter((one) => one.startsWith('socket:')).length }
}
