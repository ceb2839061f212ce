import type { Images as ImagesPort } from '../admin/ports/images.ts'
import type { Digest } from '../oci/digest.ts'
import { detailOf } from '../store/image-detail.ts'
import { Images } from '../store/images.ts'
import type { Store } from './store.ts'

/** What is in the cache, for the admin API. */
export function createImages({
  catalog,
  files: blobs,
  pins,
  clock,
  usage,
  pullCounts,
}: Store): ImagesPort {
  const isPinned = (digest: Digest) => pins.isProtected(digest)
  const images = new Images({ catalog, blobs, isPinned })
  const flush = async () => {
    await usage.flush()
    await pullCounts.flush()
  }
  return {
    async list({ sort, unusedForMs, ...query }) {
      // What was pulled a moment ago is to be seen.
      await flush()
      const usedBefore = unusedForMs === undefined ? undefined : clock.now() - unusedForMs
      return images.list({ ...query, order: sort, usedBefore })
    },
    async find({ upstream, repository, reference }) {
      await flush()
      return detailOf({ catalog, blobs, images }, { upstream, repository }, reference)
    },
  }
}
