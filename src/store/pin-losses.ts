import { setImmediate } from 'node:timers/promises'

import type { Digest } from '../oci/digest.ts'
import type { Child } from '../oci/manifest.ts'
import type { SqliteCatalog } from './catalog.ts'
import type { ReferencePin } from './pin.ts'
import { isProven } from './pin-content.ts'

/** Rows looked at before other work gets its turn. */
const SLICE = 256

/**
 * Each content that pins keep and that was here: its file has gone, and its row with it. Whatever of
 * an index was never pulled is none of these.
 */
export async function* lostOf(
  catalog: SqliteCatalog,
  pins: readonly ReferencePin[],
): AsyncGenerator<Digest, void, undefined> {
  const told = new Set<Digest>()
  let steps = 0
  for (const pin of pins) {
    const seen = new Set<string>()
    const next: Pick<Child, 'digest' | 'kind'>[] = [pin.digest, ...pin.referrers].map(manifestOf)
    for (let child = next.pop(); child !== undefined; child = next.pop()) {
      const { digest, kind } = child
      if (seen.has(kind + digest)) continue
      seen.add(kind + digest)
      if (++steps % SLICE === 0) await setImmediate()
      if (!catalog.isOpen) return
      const isLost = !told.has(digest) && (await wasHere(catalog, pin, child))
      if (kind === 'manifest') next.push(...catalog.pins.childrenOf(digest))
      if (!isLost) continue
      told.add(digest)
      yield digest
    }
  }
}

/** Where a registry has given or confirmed a content there was one, and nothing evicts what is pinned. */
async function wasHere(
  catalog: SqliteCatalog,
  pin: ReferencePin,
  child: Pick<Child, 'digest' | 'kind'>,
): Promise<boolean> {
  if ((await catalog.getBlob(child.digest)) !== undefined) return false
  return child.digest === pin.digest || isProven(catalog, pin, child)
}

function manifestOf(digest: Digest) {
  return { digest, kind: 'manifest' } as const
}
