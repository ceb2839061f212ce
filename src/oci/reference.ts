import { type Digest, parseDigest } from './digest.ts'
import { RegistryError } from './errors.ts'

/** A repository's name within its registry, such as `library/alpine`. */
export type Repository = string & { readonly __brand: 'Repository' }

export type Tag = string & { readonly __brand: 'Tag' }

/** The moving or the fixed way to name a manifest. */
export type Reference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest }

/** Many clients cap `host/name` at 255 characters; longer names are nobody's. */
const MAX_NAME_LENGTH = 255

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
/** A host's name or address as Docker takes it: dots and hyphens inside, IPv6 in brackets, a port. */
const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?'
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`)
/** Docker takes a bare one for the ID of an image that is on the machine already. */
const IMAGE_ID = /^[a-f0-9]{64}$/

/**
 * distribution-spec v1.1.1 "Pulling manifests", `<name>`.
 *
 * @throws {RegistryError} `NAME_INVALID`
 */
export function parseRepository(text: string): Repository {
  if (!isRepository(text)) throw new RegistryError('NAME_INVALID')
  return text
}

export function isRepository(text: string): text is Repository {
  return text.length <= MAX_NAME_LENGTH && NAME.test(text)
}

export function isTag(text: string): text is Tag {
  return TAG.test(text)
}

/**
 * `<reference>`: a colon cannot occur in a tag, so what has one is a digest.
 *
 * @throws {RegistryError} `DIGEST_INVALID` or `MANIFEST_INVALID`
 */
export function parseReference(text: string): Reference {
  if (text.includes(':')) return { kind: 'digest', digest: parseDigest(text) }
  if (!isTag(text)) throw new RegistryError('MANIFEST_INVALID', { message: 'invalid tag' })
  return { kind: 'tag', tag: text }
}

export function formatReference(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest
}

/**
 * The tag under which a registry without the referrers API lists what points at a digest.
 * distribution-spec v1.1.1 "Referrers Tag Schema": `<alg[:32]>-<encoded[:64]>`.
 */
export function referrersTag(subject: Digest): Tag {
  const [algorithm = '', encoded = ''] = subject.split(':')
  return `${algorithm.slice(0, 32)}-${encoded.slice(0, 64)}`.replace(/[^\w.-]/g, '-') as Tag
}

/** An image as a person writes it: `nginx`, `ghcr.io/acme/app:v1@sha256:…`. */
export interface ImageReference {
  readonly registry: string
  readonly repository: Repository
  readonly tag: Tag | undefined
  readonly digest: Digest | undefined
}

/**
 * Normalises as Docker does: no registry means docker.io, one segment there means `library/`,
 * neither tag nor digest means `latest`.
 *
 * @throws {RegistryError} `NAME_INVALID`, `DIGEST_INVALID` or `MANIFEST_INVALID`
 */
export function parseImageReference(text: string): ImageReference {
  const [named = '', digestText, ...rest] = text.split('@')
  if (rest.length > 0) throw new RegistryError('DIGEST_INVALID')
  const digest = digestText === undefined ? undefined : parseDigest(digestText)
  const slash = named.indexOf('/')
  const first = named.slice(0, slash)
  if (IMAGE_ID.test(named)) throw new RegistryError('NAME_INVALID')
  const hasRegistry = slash > 0 && (/[.:]/.test(first) || first === 'localhost')
  if (hasRegistry && !isHost(first)) throw new RegistryError('NAME_INVALID')
  const registry = normalizeRegistry(hasRegistry ? first : 'docker.io')
  const path = hasRegistry ? named.slice(slash + 1) : named
  const colon = path.indexOf(':')
  const name = colon < 0 ? path : path.slice(0, colon)
  const tagText = colon < 0 ? undefined : path.slice(colon + 1)
  if (tagText !== undefined && !isTag(tagText)) {
    throw new RegistryError('MANIFEST_INVALID', { message: `invalid tag in ${text}` })
  }
  const official = registry === 'docker.io' && !name.includes('/')
  const repository = parseRepository(official ? `library/${name}` : name)
  const tag = tagText ?? (digest === undefined ? ('latest' as Tag) : undefined)
  return { registry, repository, tag, digest }
}

/** The whole name, which {@link parseImageReference} reads as the same image again. */
export function formatImageReference({
  registry,
  repository,
  tag,
  digest,
}: ImageReference): string {
  const tagged = tag === undefined ? '' : `:${tag}`
  return `${registry}/${repository}${tagged}${digest === undefined ? '' : `@${digest}`}`
}

function isHost(text: string): boolean {
  return text.length <= MAX_NAME_LENGTH && HOST.test(text)
}

/** The names under which clients know Docker Hub are one registry. */
export function normalizeRegistry(host: string): string {
  const lower = host.toLowerCase()
  return lower === 'index.docker.io' || lower === 'registry-1.docker.io' ? 'docker.io' : lower
}
