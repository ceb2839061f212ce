import { Clients } from '../api/clients.ts'
import { RecentRequests } from '../api/recent-requests.ts'
import { isPull, type OnEnded } from '../api/request-record.ts'
import type { Store } from './store.ts'

/** Who has asked for what, as far as it is remembered. */
export interface Traffic {
  readonly recent: RecentRequests
  readonly clients: Clients
  readonly onEnded: OnEnded
}

export function createTraffic(store: Pick<Store, 'clock' | 'pullCounts'>): Traffic {
  const now = () => store.clock.now()
  const recent = new RecentRequests(now)
  const clients = new Clients(now)
  return {
    recent,
    clients,
    onEnded(record) {
      recent.add(record)
      clients.add(record)
      const { upstream, repository, digest } = record
      if (upstream === undefined || repository === undefined || digest === undefined) return
      if (isPull(record)) store.pullCounts.pulled({ upstream, repository }, digest)
    },
  }
}
