import { codeOf, NoRoomError, StoreRestingError } from '../store/errors.ts'

/** Whether the disk, or what is left of it, has refused a write: no bug, and nothing that is asked is at fault. */
export function isDiskRefusal(error: unknown): boolean {
  if (error instanceof NoRoomError || error instanceof StoreRestingError) return true
  // What registries answer has a code, too.
  return /^(?:E[A-Z0-9]+|SQLITE_\w+)$/.test(codeOf(error) ?? '')
}
