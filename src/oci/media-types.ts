/** The media types that Larder must tell apart. Others pass through it unseen. */
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
export const OCI_ARTIFACT = 'application/vnd.oci.artifact.manifest.v1+json'
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'
export const DOCKER_SCHEMA1 = 'application/vnd.docker.distribution.manifest.v1+json'
export const DOCKER_SCHEMA1_SIGNED = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
export const OCTET_STREAM = 'application/octet-stream'

/**
 * What Larder asks a registry for, whatever its client asked for: a cached answer must not depend
 * on who asked first, and a registry that is asked for less may convert.
 */
export const ACCEPT_MANIFESTS = [
  OCI_INDEX,
  DOCKER_LIST,
  OCI_MANIFEST,
  DOCKER_MANIFEST,
  OCI_ARTIFACT,
  '*/*;q=0.1',
].join(', ')

const INDEXES: ReadonlySet<string> = new Set([OCI_INDEX, DOCKER_LIST])
const IMAGES: ReadonlySet<string> = new Set([OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT])

export function isIndexType(mediaType: string): boolean {
  return INDEXES.has(mediaType)
}

/** True for every type that is fetched from `/manifests/`, not from `/blobs/`. */
export function isManifestType(mediaType: string): boolean {
  return isIndexType(mediaType) || IMAGES.has(mediaType) || isSchema1Type(mediaType)
}

export function isSchema1Type(mediaType: string): boolean {
  return mediaType === DOCKER_SCHEMA1 || mediaType === DOCKER_SCHEMA1_SIGNED
}

/** `Content-Type` without its parameters, lower case; `undefined` when there is none. */
export function essence(contentType: string | undefined): string | undefined {
  const type = contentType?.split(';', 1)[0]?.trim().toLowerCase()
  return type === '' ? undefined : type
}
