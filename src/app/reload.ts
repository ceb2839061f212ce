import type { Config } from '../config/config.ts'
import type { LoadedConfig } from '../config/load.ts'
import { formatProblem } from '../config/problems.ts'
import { Reloader, type ReloadResult } from '../config/reload.ts'
import { ConfigWatch } from '../config/watch.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { ConfigSource } from './options.ts'

export interface ReloadParts {
  readonly source: ConfigSource
  readonly current: () => Config
  readonly apply: (loaded: LoadedConfig) => Promise<void>
  readonly logger: Logger
  readonly metrics: Metrics
}

export interface Reloading {
  reload(): Promise<ReloadResult>
  /** The file is followed no longer, and nothing more is read: the server stops. */
  close(): void
}

/** Takes over a changed configuration: when asked to, and when its file changes. */
export function followConfig({ source, current, apply, logger, metrics }: ReloadParts): Reloading {
  let isClosed = false
  const onResult = (result: ReloadResult) => {
    // Nothing is wrong with a configuration that comes too late.
    if (isClosed) return
    metrics.instance.reloaded(result.ok)
    if (!result.ok) {
      const { message } = result
      logger.error({ problems: message.split('\n') }, 'the configuration from before stays in use')
      return
    }
    for (const warning of result.warnings) logger.warn(formatProblem(warning))
    logger.info({ config: source.file }, 'the configuration was read again and is in use')
  }
  const load = async () => {
    await watch?.reading()
    return source.load()
  }
  const reloader = new Reloader({ load, apply, current, onResult })
  const { file, stamp, lookMs: everyMs } = source
  const watch =
    file === undefined
      ? undefined
      : new ConfigWatch({
          file,
          stamp,
          onChange: () => void reloader.reload(),
          ...(everyMs === undefined ? {} : { everyMs }),
        })
  return {
    async reload() {
      if (!isClosed) return reloader.reload()
      logger.info('the configuration is not read again: the server is stopping')
      return refused('the server is stopping')
    },
    close() {
      isClosed = true
      watch?.close()
    },
  }
}

/** For a reload that was not even tried. */
export function refused(message: string): ReloadResult {
  return { ok: false, message, problems: [], error: new Error(message) }
}
