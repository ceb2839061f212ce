/** Each configured registry, as `larder upstreams test` walks to it, and what time it is there. */
import type { UpstreamConfig } from '../../config/config.ts'
import type { Surroundings } from '../../config/surroundings.ts'
import { ExitError } from '../exit.ts'
import { openWalk } from '../upstreams.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Tokens live for a minute at least, and the header has whole seconds. */
const SKEW_MS = 30_000
const LARGE_SKEW_MS = 5 * 60_000

interface Examined {
  readonly finding: Finding
  /** How far its clock is ahead of ours; absent: it was not told. */
  readonly skewMs: number | undefined
}

/** @param onFinding told of each as it is known: a registry that is down takes its time */
export async function examineRegistries(
  upstreams: readonly UpstreamConfig[],
  version: string,
  io: Surroundings,
  onFinding: (finding: Finding) => void,
): Promise<void> {
  const examined = await Promise.all(
    upstreams.map(async (upstream) => {
      const one = await examine(upstream, version, io)
      onFinding(one.finding)
      return one
    }),
  )
  const skews = examined.map(({ skewMs }) => skewMs).filter((skew) => skew !== undefined)
  if (skews.length > 0) onFinding(judgeClock(skews))
}

async function examine(
  upstream: UpstreamConfig,
  version: string,
  io: Surroundings,
): Promise<Examined> {
  const check = upstream.name
  try {
    const walk = openWalk(upstream, version, io)
    try {
      const details: string[] = []
      for await (const { step, ok: isGood, detail, advice } of walk.take(undefined)) {
        if (!isGood) {
          const finding = fail(check, `${step}: ${detail}`, advice ?? 'see larder upstreams test')
          return { finding, skewMs: walk.clockSkewMs }
        }
        if (step === 'tls' || step === '/v2/' || step === 'credential') details.push(detail)
      }
      return { finding: ok(check, details.join('; ')), skewMs: walk.clockSkewMs }
    } finally {
      await walk.close()
    }
  } catch (error) {
    if (!(error instanceof ExitError)) throw error
    const finding = fail(check, error.message, 'check the file names of this upstream')
    return { finding, skewMs: undefined }
  }
}

/** The one that agrees best: that a single registry's clock is wrong is not our concern. */
function judgeClock(skews: readonly number[]): Finding {
  const skewMs = skews.reduce((best, skew) => (Math.abs(skew) < Math.abs(best) ? skew : best))
  const seconds = Math.round(Math.abs(skewMs) / 1000)
  const detail = `this machine is ${seconds} s ${skewMs > 0 ? 'behind' : 'ahead of'} the registries`
  const advice = 'set the clock (chrony, systemd-timesyncd): certificates and tokens depend on it'
  if (Math.abs(skewMs) >= LARGE_SKEW_MS) return fail('clock', detail, advice)
  return Math.abs(skewMs) >= SKEW_MS ? warn('clock', detail, advice) : ok('clock', detail)
}
