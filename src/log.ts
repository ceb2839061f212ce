import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino'

import type { LogLevel } from './config/config.ts'

/** One JSON line an event. Only named, safe fields are ever logged: never headers, never a query. */
export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error'> & {
  child(fields: Record<string, unknown>): Logger
}

/** The root, whose level a reload may change: for its children too. */
export type RootLogger = Logger & { setLevel(level: LogLevel): void }

export interface LogOptions {
  readonly level: LogLevel | 'silent'
  readonly format: 'json' | 'text'
  /** Where lines go; standard error by default: standard output is for data. */
  readonly destination?: DestinationStream
}

export function createLogger({ level, format, destination }: LogOptions): RootLogger {
  const sink = destination ?? pino.destination({ fd: 2, sync: false })
  // pino gives a child the level of its parent once, at its birth.
  const children = new Set<WeakRef<PinoLogger>>()
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    onChild: (child: PinoLogger) => void children.add(new WeakRef(child)),
  }
  const root = pino(options, format === 'json' ? sink : textStream(sink))
  const setLevel = (wanted: LogLevel) => {
    root.level = wanted
    for (const reference of children) {
      const child = reference.deref()
      if (child === undefined) children.delete(reference)
      else child.level = wanted
    }
  }
  return Object.assign(root, { setLevel })
}

/** `time LEVEL message key=value …`, for a person at a terminal. */
function textStream(sink: DestinationStream): DestinationStream {
  return {
    write(line: string) {
      const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
      const pairs = Object.entries(fields).map(([key, value]) => `${key}=${formatValue(value)}`)
      sink.write(`${[time, String(level).toUpperCase(), msg, ...pairs].join(' ')}\n`)
    },
  }
}

function formatValue(value: unknown): string {
  if (typeof value === 'string') return /[\s"=]/.test(value) ? JSON.stringify(value) : value
  return JSON.stringify(value)
}
