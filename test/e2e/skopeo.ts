import { makeTempDir } from '../support/temp-dir.ts'
import type { Network } from './network.ts'
import { run } from './programs.ts'

export interface Inspection {
  readonly Digest: string
  readonly RepoTags: readonly string[]
  readonly Layers: readonly string[]
}

/** Copies to nowhere that stays: skopeo verifies every digest on the way. */
export async function skopeoCopy(reference: string, ...flags: readonly string[]): Promise<void> {
  await copy({ run }, reference, flags)
}

/** As {@link skopeoCopy}, from within a network. */
export async function skopeoCopyIn(network: Network, reference: string): Promise<void> {
  await copy(network, reference, [])
}

async function copy(
  place: Pick<Network, 'run'>,
  reference: string,
  flags: readonly string[],
): Promise<void> {
  await using dir = await makeTempDir('larder-e2e-skopeo-')
  const options = ['--insecure-policy', 'copy', '--src-tls-verify=false', ...flags]
  await place.run('skopeo', [...options, `docker://${reference}`, `oci:${dir.path}/copy:copied`])
}

/** Pushes one image, or every platform of an index, from a `dir:` or `oci:` source. */
export async function skopeoPush(
  source: string,
  reference: string,
  credential?: string,
): Promise<void> {
  const credentials = credential === undefined ? [] : ['--dest-creds', credential]
  const flags = ['--all', '--preserve-digests', '--dest-tls-verify=false', ...credentials]
  await run('skopeo', ['--insecure-policy', 'copy', ...flags, source, `docker://${reference}`])
}

export async function skopeoInspect(reference: string, credential?: string): Promise<Inspection> {
  const output = await run('skopeo', ['inspect', ...flagsOf(credential), `docker://${reference}`])
  return JSON.parse(output) as Inspection
}

/** The manifest's bytes. */
export function skopeoRaw(reference: string, credential?: string): Promise<string> {
  return run('skopeo', ['inspect', '--raw', ...flagsOf(credential), `docker://${reference}`])
}

export async function skopeoTags(repository: string): Promise<readonly string[]> {
  const output = await run('skopeo', ['list-tags', ...flagsOf(), `docker://${repository}`])
  return (JSON.parse(output) as { Tags: string[] }).Tags
}

/** @param credential `user:password` */
function flagsOf(credential?: string): string[] {
  return ['--tls-verify=false', ...(credential === undefined ? [] : ['--creds', credential])]
}
