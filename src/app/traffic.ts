import { Clients } from '../api/clients.ts'
import { RecentRequests } from '../api/recent-requests.ts'
import type { OnEnded } from '../api/request-record.ts'

/** Who has asked for what, as far as it is remembered. */
export interface Traffic {
  readonly recent: RecentRequests
  readonly clients: Clients
  readonly onEnded: OnEnded
}

/** @param now epoch milliseconds */
export function createTraffic(now: () => number): Traffic {
  const recent = new RecentRequests(now)
  const clients = new Clients(now)
  return {
    recent,
    clients,
    onEnded(record) {
      recent.add(record)
      clients.add(record)
    },
  }
}
