/** What one system call did, as `strace -f -v -xx` wrote it down. */
export interface SystemCall {
  readonly process: number
  readonly name: string
  readonly args: readonly string[]
  /** Negative when it failed. */
  readonly result: number
  /** Places in the log: two calls whose spans overlap went on at the same time. */
  readonly startedAt: number
  readonly endedAt: number
}

const UNFINISHED = ' <unfinished ...>'
const LINE = /^(\d+) +(.*)$/
const RESUMED = /^<\.\.\. (\w+) resumed>(.*)$/
const CALL = /^(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)/

/** Every call that came to its end, in that order. */
export function parseSystemCalls(lines: Iterable<string>): SystemCall[] {
  const calls: SystemCall[] = []
  const begun = new Map<number, { readonly text: string; readonly at: number }>()
  let at = 0
  for (const line of lines) {
    at++
    const [, pid, text] = LINE.exec(line) ?? []
    if (text === undefined) continue
    const process = Number(pid)
    if (text.endsWith(UNFINISHED)) {
      begun.set(process, { text: text.slice(0, -UNFINISHED.length), at })
      continue
    }
    const [, , rest] = RESUMED.exec(text) ?? []
    const start = rest === undefined ? { text: '', at } : begun.get(process)
    if (start === undefined) throw new Error(`the log resumes what was not begun: ${line}`)
    begun.delete(process)
    const call = parseCall(process, start.text + (rest ?? text))
    if (call !== undefined) calls.push({ ...call, startedAt: start.at, endedAt: at })
  }
  return calls
}

function parseCall(process: number, text: string) {
  const [, name, args, result] = CALL.exec(text) ?? []
  // Signals and exits have lines too; a call that a kill cut off has no result.
  if (name === undefined || args === undefined || result === undefined) return undefined
  return { process, name, args: splitArguments(args), result: Number(result) }
}

/** At the commas that are not within brackets. A string has none of either: it is all `\xNN`. */
function splitArguments(text: string): string[] {
  const args: string[] = []
  let depth = 0
  let from = 0
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '"') at = text.indexOf('"', at + 1)
    else if (character === '[' || character === '{') depth++
    else if (character === ']' || character === '}') depth--
    else if (character === ',' && depth === 0) {
      args.push(text.slice(from, at))
      from = at + 1
    }
  }
  args.push(text.slice(from))
  return args.map((arg) => arg.trim())
}

/** A path. */
export function textOf(arg: string | undefined): string {
  return bytesOf(arg).toString()
}

/** @throws when strace left out a part of it */
export function bytesOf(arg = ''): Buffer {
  if (!arg.startsWith('"') || !arg.endsWith('"')) throw new Error(`no whole string: ${arg}`)
  return Buffer.from(arg.slice(1, -1).replaceAll('\\x', ''), 'hex')
}

/** Of an array of `iovec`, one after the other. */
export function vectorOf(arg = ''): Buffer {
  const parts = [...arg.matchAll(/iov_base=("[^"]*"(?:\.\.\.)?)/g)]
  return Buffer.concat(parts.map(([, base]) => bytesOf(base)))
}
