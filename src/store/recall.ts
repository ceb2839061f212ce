import type { SqliteCatalog } from './catalog.ts'

/** The catalog, which asks the database only once for what every hit wants to know. */
export function recalling(catalog: SqliteCatalog): SqliteCatalog {
  const { hot } = catalog
  const getMember: SqliteCatalog['getMember'] = (place, digest, kind) =>
    hot.member(place, digest, kind, () => catalog.getMember(place, digest, kind))
  const getBlob: SqliteCatalog['getBlob'] = (digest) =>
    hot.blob(digest, () => catalog.getBlob(digest))
  return new Proxy(catalog, {
    get(target, name) {
      if (name === 'getMember') return getMember
      if (name === 'getBlob') return getBlob
      return Reflect.get(target, name, target)
    },
  })
}
