import { AdminError } from '../admin/errors.ts'
import type { Exporting } from '../admin/ports/bundles.ts'
import { Export } from '../airgap/bundle/export.ts'
import { ExportError } from '../airgap/bundle/export-error.ts'
import { Planner } from '../airgap/bundle/plan.ts'
import { Selection } from '../airgap/bundle/selection.ts'
import { Surveyor } from '../airgap/survey.ts'
import type { Tag } from '../oci/reference.ts'
import type { PlaceRow, SelectionRows, TagRow } from '../store/catalog/selection.ts'
import type { Place } from '../store/ports.ts'
import { matcherOf } from '../store/selection.ts'
import type { Site } from './site.ts'

const PAGE = 256

/** Bundles of what is in the store. */
export function createExport(site: Site): Exporting {
  const { store, version } = site
  const { catalog, files, kept, integrity, pins } = store
  const selection = new Selection({
    catalog,
    resolve: (registry, repository) => site.upstreams().resolve(registry, repository),
    upstreams: () => site.upstreams().all,
    tagsMatching: (glob) => tagsMatching(catalog.selection, glob),
    pins: () => pins.list(),
  })
  const surveyor = new Surveyor({ catalog, blobs: files })
  const planner = new Planner({ selection, surveyor, catalog, createdBy: `larder ${version}` })
  const exporting = new Export({
    planner,
    blobs: files,
    leases: kept.leases,
    // It is read again: what the disk could not give once may be right after all.
    examine: async (digest) => {
      await integrity.isRight(digest, new AbortController().signal)
    },
  })
  return {
    async preview(request, signal) {
      // Before its pins are restored the catalog may not know what is here.
      await store.ready.catch(() => undefined)
      return await exporting.preview(request, signal).catch(refuse)
    },
    async *stream(request, signal) {
      await store.ready.catch(() => undefined)
      try {
        yield* exporting.stream(request, signal)
      } catch (error) {
        refuse(error)
      }
    },
  }
}

async function* tagsMatching(
  rows: SelectionRows,
  glob: string,
): AsyncGenerator<Place & { readonly tag: Tag }, void, undefined> {
  const matcher = matcherOf({ kind: 'pattern', glob })
  for (const place of pages<PlaceRow>((after) => rows.pagePlaces(after?.id ?? 0, PAGE))) {
    if (!matcher.isPlace(place)) continue
    const { id, upstream, repository } = place
    for (const { tag, digest } of pages<TagRow>((after) =>
      rows.pageTags(id, after?.tag ?? '', PAGE),
    )) {
      if (matcher.isTag(tag, digest)) yield { upstream, repository, tag }
    }
  }
}

function* pages<Row>(pageAfter: (last: Row | undefined) => readonly Row[]): Generator<Row> {
  for (let page = pageAfter(undefined); page.length > 0; page = pageAfter(page.at(-1))) yield* page
}

function refuse(error: unknown): never {
  if (!(error instanceof ExportError)) throw error
  throw new AdminError(error.code, { message: error.message, cause: error })
}
