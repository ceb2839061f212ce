import type { RequestOptions } from './ports.ts'

/** Whether nobody waits for it, as far as is known now. */
export function isBackground({ urgency, raised }: RequestOptions): boolean {
  return urgency === 'background' && raised?.aborted !== true
}
