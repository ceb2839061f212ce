import type { UpstreamConfig } from '../config/config.ts'
import { RegistryError } from '../oci/errors.ts'
import { normalizeRegistry, parseImageReference } from '../oci/reference.ts'
import type { WalkTarget } from './walk-step.ts'

/**
 * An image of this upstream, which need not be named; on Docker Hub one segment is an official image.
 *
 * @returns `undefined`: it is no image such as `acme/app:v1`
 */
export function parseWalkTarget({ match }: UpstreamConfig, text: string): WalkTarget | undefined {
  const slash = text.indexOf('/')
  const isNamed = slash > 0 && match.includes(normalizeRegistry(text.slice(0, slash)))
  const path = isNamed ? text.slice(slash + 1) : text
  const host = match.includes('docker.io') ? 'docker.io' : 'registry.invalid'
  try {
    const { repository, tag, digest } = parseImageReference(`${host}/${path}`)
    if (digest !== undefined) return { repository, reference: { kind: 'digest', digest } }
    return tag === undefined ? undefined : { repository, reference: { kind: 'tag', tag } }
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}
