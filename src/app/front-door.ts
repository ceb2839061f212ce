import { FrontDoor } from '../access/front-door.ts'
import { Htpasswd } from '../access/htpasswd.ts'
import type { Config } from '../config/config.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { unusable } from './named-files.ts'
import { reasonOf } from './reason.ts'

/** @throws {ConfigError} when the password file cannot be used */
export async function openFrontDoor(
  { auth }: Config,
  logger: Logger,
  metrics: Metrics,
  monotonic: () => number,
): Promise<FrontDoor> {
  const file = auth?.htpasswdFile
  const onError = (error: unknown) => {
    logger.error({ reason: reasonOf(error) }, 'the changed password file cannot be used')
  }
  const htpasswd =
    file === undefined
      ? undefined
      : await Htpasswd.open({ file, monotonic, onError }).catch((error: unknown) => {
          throw unusable('auth.htpasswdFile', error)
        })
  return new FrontDoor({
    config: auth,
    htpasswd,
    monotonic,
    onFailure: (kind) => metrics.http.authFailure(kind),
  })
}
