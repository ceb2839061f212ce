import { digestOf } from '../../src/oci/digest.ts'
import { send } from '../support/http-client.ts'
import { type LogLine, type RunningLarder, startLarder } from '../support/larder.ts'
import type { Promises } from './promises.ts'
import { UPSTREAM } from './site.ts'

export interface ServedOffline {
  /** Answers. */
  readonly served: number
  /** One line for each promise that is broken. */
  readonly violations: readonly string[]
}

/**
 * Starts the program itself on what a loss of power has left, without a network: whatever is
 * acknowledged of a tag has to be served all the same, by its right bytes.
 */
export async function serveOffline(dataDir: string, promises: Promises): Promise<ServedOffline> {
  const violations: string[] = []
  const upstream = { name: UPSTREAM, url: 'http://127.0.0.1:9', access: 'public', default: true }
  const options = { dataDir, upstreams: [upstream], storage: { minFree: '0%' }, offline: true }
  let served = 0
  try {
    await using larder = await startLarder(options)
    const { status, body } = await send(larder.adminUrl, '/readyz')
    if (status !== 200) violations.push(`it is not ready: ${body}`)
    violations.push(
      ...larder
        .logs()
        .filter(isComplaint)
        .map((line) => JSON.stringify(line)),
    )
    for (const [name, digest] of acknowledgedTags(promises)) {
      const broken = await pullTag(larder, name, digest)
      if (broken === undefined) served++
      else violations.push(broken)
    }
  } catch (error) {
    violations.push(`the program does not start: ${error}`)
  }
  return { served, violations }
}

/** @returns what is wrong */
async function pullTag(
  larder: RunningLarder,
  name: string,
  digest: string,
): Promise<string | undefined> {
  const [, repository = '', tag = ''] = /^[^/]+\/(.+):(.+)$/.exec(name) ?? []
  const { status, body } = await send(larder.url, `/v2/${repository}/manifests/${tag}`)
  if (status !== 200) return `${name} is answered with ${status}: ${body}`
  return digestOf(body) === digest ? undefined : `${name} is answered with other bytes`
}

function* acknowledgedTags({ tags, blobs }: Promises): Generator<[name: string, digest: string]> {
  for (const [name, { may }] of tags) {
    const [digest] = may
    const isKnown = may.size === 1 && digest !== undefined && digest !== null
    if (isKnown && digest !== 'pattern' && blobs.has(digest)) yield [name, digest]
  }
}

/** pino's numbers: 40 is a warning. */
function isComplaint({ level }: LogLine): boolean {
  return typeof level === 'number' ? level >= 40 : /warn|error|fatal/.test(String(level))
}
