import type { Pull } from '../pull/pull.ts'
import type { Refetch } from '../store/repair.ts'
import type { Upstreams } from '../upstream/routing.ts'
import type { PullRoom } from './pull.ts'

/** Pulls what was lost from where it came from, as Larder itself, when no node needs the line. */
export function createRefetch(upstreams: () => Upstreams, { manifests, blobs }: PullRoom): Refetch {
  return async ({ upstream: name, repository, kind }, digest, signal) => {
    const upstream = upstreams().all.find(({ config }) => config.name === name)
    if (upstream === undefined) return false
    const place = { upstream: name, repository }
    const as = { kind: 'larder' } as const
    const pull: Pull = { upstream, place, as, reason: 'repair', urgency: 'background', signal }
    if (kind === 'manifest') await manifests.restore(pull, digest)
    else await blobs.obtain(pull, digest)
    return true
  }
}
