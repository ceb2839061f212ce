import type { SqliteCatalog } from './catalog.ts'

/** @param seconds for which everything else waited */
export type OnQuery = (kind: 'read' | 'write', seconds: number) => void

type Method = (...args: unknown[]) => unknown

const READS = /^(?:get|find|list|page|has|totals|withoutRow)/

/**
 * The catalog, which tells how long each of its methods took. The database is asked before a method
 * gives its promise, so the time of the call is the time in which nothing else was done here.
 */
export function timed(catalog: SqliteCatalog, onQuery: OnQuery): SqliteCatalog {
  const methods = new Map<string | symbol, Method>()
  return new Proxy(catalog, {
    get(target, name) {
      const known = methods.get(name)
      if (known !== undefined) return known
      // Of the catalog itself: what is private there is not the proxy's.
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      const method = value as Method
      const kind = typeof name === 'string' && READS.test(name) ? 'read' : 'write'
      const measured: Method = (...args) => {
        const startedAt = performance.now()
        try {
          return method.apply(target, args)
        } finally {
          onQuery(kind, (performance.now() - startedAt) / 1000)
        }
      }
      methods.set(name, measured)
      return measured
    },
  })
}
