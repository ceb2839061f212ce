import { makeTempDir } from '../support/temp-dir.ts'
import { run } from './programs.ts'

const PLAIN = '--tls-verify=false'

export interface Inspection {
  readonly Digest: string
  readonly RepoTags: readonly string[]
  readonly Layers: readonly string[]
}

/** Copies to nowhere that stays: skopeo verifies every digest on the way. */
export async function skopeoCopy(reference: string, ...flags: readonly string[]): Promise<void> {
  await using dir = await makeTempDir('larder-e2e-skopeo-')
  const options = ['--insecure-policy', 'copy', '--src-tls-verify=false', ...flags]
  await run('skopeo', [...options, `docker://${reference}`, `oci:${dir.path}/copy:copied`])
}

export async function skopeoInspect(reference: string): Promise<Inspection> {
  return JSON.parse(await run('skopeo', ['inspect', PLAIN, `docker://${reference}`])) as Inspection
}

/** The manifest's bytes. */
export function skopeoRaw(reference: string): Promise<string> {
  return run('skopeo', ['inspect', '--raw', PLAIN, `docker://${reference}`])
}

export async function skopeoTags(repository: string): Promise<readonly string[]> {
  const output = await run('skopeo', ['list-tags', PLAIN, `docker://${repository}`])
  return (JSON.parse(output) as { Tags: string[] }).Tags
}
