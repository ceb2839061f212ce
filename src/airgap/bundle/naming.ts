import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { isTag, parseImageReference, type Repository, type Tag } from '../../oci/reference.ts'

/** What an image is to be called. */
export interface ImageName {
  /** As nodes name it. */
  readonly registry: string
  readonly repository: Repository
  /** `undefined`: it has none, and is known by its digest alone. */
  readonly tag: Tag | undefined
}

/** The whole name: what containerd and its tools write. */
export const NAME_ANNOTATION = 'io.containerd.image.name'
/** The tag alone, or the whole name: image-spec v1.1 annotations.md leaves it to who writes. */
export const REF_ANNOTATION = 'org.opencontainers.image.ref.name'

/**
 * What the annotations of a descriptor say of an image's name.
 *
 * @param fallback where it belongs if they do not say it
 * @returns a text: why it has none
 */
export function nameByAnnotations(
  annotations: Readonly<Record<string, string>>,
  fallback: ImageName | undefined,
): ImageName | string {
  const ref = annotations[REF_ANNOTATION]
  const name = annotations[NAME_ANNOTATION] ?? (isBareTag(ref) ? undefined : ref)
  if (name !== undefined) return nameByText(name)
  if (fallback === undefined) return unnamed(ref)
  return isBareTag(ref) ? { ...fallback, tag: ref } : fallback
}

/** `docker.io/library/nginx:1.27`, as an archive says it. @returns a text: why it is no name */
export function nameByText(text: string): ImageName | string {
  try {
    const { registry, repository, tag } = parseImageReference(text)
    return { registry, repository, tag }
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    return `${JSON.stringify(text.slice(0, 200))} is no name of an image`
  }
}

/** For people. */
export function formatName({ registry, repository, tag }: ImageName, digest: Digest): string {
  return `${registry}/${repository}${tag === undefined ? `@${digest}` : `:${tag}`}`
}

function isBareTag(text: string | undefined): text is Tag {
  return text !== undefined && isTag(text)
}

function unnamed(tag: string | undefined): string {
  const only = tag === undefined ? 'no name' : `only the tag ${JSON.stringify(tag.slice(0, 128))}`
  return `has ${only} in the archive: say with --as REGISTRY/REPOSITORY where it belongs`
}
