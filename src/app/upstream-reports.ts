import { AdminError } from '../admin/errors.ts'
import type {
  UpstreamReport,
  Upstreams as UpstreamsPort,
  UpstreamWalk,
} from '../admin/ports/upstreams.ts'
import { sum } from '../metrics/history.ts'
import { createWalk } from '../upstream/factory.ts'
import { NO_OBSERVER } from '../upstream/observers.ts'
import { OfflineRegistry } from '../upstream/offline.ts'
import type { Upstream } from '../upstream/routing.ts'
import type { Step } from '../upstream/walk-step.ts'
import { parseWalkTarget } from '../upstream/walk-target.ts'
import { figuresOf } from './overview.ts'
import { reasonOf } from './reason.ts'
import type { Site } from './site.ts'

/** How each registry is, and what an operator does about it. */
export function createUpstreamReports(site: Site): UpstreamsPort {
  const { blocks, store } = site
  return {
    list: () => listUpstreams(site),
    async test(name, image) {
      const { config } = found(site, name)
      const target = image === undefined ? undefined : parseWalkTarget(config, image)
      if (image !== undefined && target === undefined) {
        const message = `${image} is not an image such as acme/app:v1`
        throw new AdminError('INVALID', { message })
      }
      return await walk(site, name, target)
    },
    async block(name, reason) {
      found(site, name)
      const at = store.clock.now()
      await durable(blocks.block(name, { at, reason }), 'it is blocked until Larder is restarted')
      return await reportOf(site, name)
    },
    async unblock(name) {
      found(site, name)
      const what = 'it is asked again, but will be blocked after a restart'
      await durable(blocks.unblock(name), what)
      return await reportOf(site, name)
    },
  }
}

/** @throws {AdminError} which says what is in effect all the same */
async function durable(writing: Promise<void>, otherwise: string): Promise<void> {
  try {
    await writing
  } catch (error) {
    const message = `${otherwise}: the disk refused to keep it (${reasonOf(error)})`
    throw new AdminError('NO_ROOM', { message, cause: error })
  }
}

async function listUpstreams(site: Site): Promise<readonly UpstreamReport[]> {
  const totals = await site.metrics.pulls.totals()
  return site.upstreams().all.map((upstream): UpstreamReport => {
    const { name, match, access, url, mirrors, credentials } = upstream.config
    const { circuit, ...status } = upstream.registry.status()
    return {
      name,
      match,
      access,
      url,
      mirrors,
      offline: upstream.registry instanceof OfflineRegistry,
      blocked: site.blocks.get(name),
      up: circuit === 'closed',
      circuit,
      ...status,
      credentials: credentials.length,
      ...site.upstreamRecords.read(name),
      traffic: figuresOf(sum(totals.filter((one) => one.upstream === name))),
    }
  })
}

async function reportOf(site: Site, name: string): Promise<UpstreamReport> {
  const all = await listUpstreams(site)
  const report = all.find((one) => one.name === name)
  // It was there a moment ago: a reload has come in between.
  if (report === undefined) throw new AdminError('CONFLICT')
  return report
}

function found(site: Site, name: string): Upstream {
  const upstream = site.upstreams().all.find(({ config }) => config.name === name)
  if (upstream !== undefined) return upstream
  const known = site.upstreams().names.join(', ')
  throw new AdminError('NOT_FOUND', {
    message: `no upstream is called ${name}; there are: ${known}`,
  })
}

/** With connections and tokens of its own: it shows what a start of Larder would find now. */
async function walk(
  site: Site,
  name: string,
  target: ReturnType<typeof parseWalkTarget>,
): Promise<UpstreamWalk> {
  const { config } = found(site, name)
  const way = openWalk(site, config)
  const steps: Step[] = []
  try {
    for await (const step of way.take(target)) steps.push(step)
  } finally {
    await way.close()
  }
  const ok = steps.every((step) => step.ok)
  return { upstream: name, ok, clockSkewMs: way.clockSkewMs, steps }
}

function openWalk(site: Site, config: Upstream['config']) {
  try {
    return createWalk(config, { ...site.walking, observe: NO_OBSERVER })
  } catch (error) {
    // A file that the upstream names.
    throw new AdminError('INVALID', { message: reasonOf(error), cause: error })
  }
}
