import type { Clients } from '../../api/clients.ts'
import type { RecentRequests } from '../../api/recent-requests.ts'

/** Who has asked for what: for operators only, as images are named that may be private. */
export interface Activity {
  readonly recent: Pick<RecentRequests, 'list'>
  readonly clients: Pick<Clients, 'list'>
}
