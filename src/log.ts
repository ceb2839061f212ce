import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino'

import type { LogLevel } from './config/config.ts'

/** One JSON line an event. Only named, safe fields are ever logged: never headers, never a query. */
export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error'> & {
  child(fields: Record<string, unknown>): Logger
}

export interface LogOptions {
  readonly level: LogLevel | 'silent'
  readonly format: 'json' | 'text'
  /** Where lines go; standard error by default: standard output is for data. */
  readonly destination?: DestinationStream
}

export function createLogger({ level, format, destination }: LogOptions): Logger {
  const sink = destination ?? pino.destination({ fd: 2, sync: false })
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  return pino(options, format === 'json' ? sink : textStream(sink))
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
