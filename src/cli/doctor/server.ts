/** The running server, as its probes and its clients see it. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import type { TlsFiles } from '../../config/config.ts'
import type { ImageReference } from '../../oci/reference.ts'
import { ask } from '../ask.ts'
import { type Finding, fail, ok, reasonOf, warn } from './finding.ts'
import { OwnPullError, pullThrough } from './own-pull.ts'

const TIMEOUT_MS = 10_000
const DAY_MS = 86_400_000
/** Renewals are due well before. */
const SOON_MS = 14 * DAY_MS
/** A node pulls over a few connections; each download has a file and a connection besides. */
const ENOUGH_DESCRIPTORS = 8192
const BUSY_SHARE = 0.8

/** @param now epoch milliseconds */
export async function examineCertificate(
  { certFile, keyFile }: Pick<TlsFiles, 'certFile' | 'keyFile'>,
  now: number,
): Promise<Finding> {
  const check = 'certificate'
  try {
    const certificate = new X509Certificate(await readFile(certFile))
    const key = createPrivateKey(await readFile(keyFile))
    const { subjectAltName = 'no name', validToDate } = certificate
    const until = validToDate.toISOString().slice(0, 10)
    const detail = `${certFile} is for ${subjectAltName}, until ${until}`
    if (!certificate.checkPrivateKey(key)) {
      const mismatch = `${keyFile} is not the key of ${certFile}`
      return fail(check, mismatch, 'set server.tls.keyFile to the one it was issued for')
    }
    const leftMs = validToDate.getTime() - now
    if (leftMs < 0) return fail(check, detail, 'renew it: it has expired')
    return leftMs < SOON_MS ? warn(check, detail, 'renew it soon') : ok(check, detail)
  } catch (error) {
    const detail = `${certFile} and ${keyFile} cannot be used: ${reasonOf(error)}`
    return fail(check, detail, 'check server.tls, and that both are PEM and can be read')
  }
}

interface Examined {
  readonly isUp: boolean
  readonly findings: readonly Finding[]
}

/** @param url of the admin listener */
export async function examineServer(url: string): Promise<Examined> {
  const answer = await ask(url, '/readyz?verbose', TIMEOUT_MS).catch((error: unknown) =>
    reasonOf(error),
  )
  if (typeof answer === 'string') {
    const advice = 'start it with larder serve, or say --server where it is'
    const absent = warn('server', `no answer from ${url}: ${answer}`, advice)
    return { isUp: false, findings: [absent, await ownDescriptors()] }
  }
  const isReady = answer.status === 200
  const { status, checks = [] } = readinessOf(answer.body)
  const ailing = checks.filter((one) => one.status !== 'ok')
  const detail = ailing.map((one) => `${one.name}: ${one.status}`).join('; ')
  const advice = 'see its log, and larder_* at /metrics'
  const state = !isReady
    ? fail('server', `${url} is ${status}${detail === '' ? '' : `: ${detail}`}`, advice)
    : ailing.length > 0
      ? warn('server', `${url} is ready, but ${detail}`, advice)
      : ok('server', `${url} is ready`)
  return { isUp: true, findings: [state, ...(await serverDescriptors(url))] }
}

interface Readiness {
  readonly status: string
  readonly checks?: readonly { readonly name: string; readonly status: string }[]
}

/** Whatever answers there may be something else. */
function readinessOf(body: Buffer): Readiness {
  try {
    return JSON.parse(body.toString()) as Readiness
  } catch {
    return { status: 'not a Larder: /readyz?verbose is no JSON' }
  }
}

/**
 * @param url origin of the registry API
 * @param image to pull; without one it is only asked whether it is there
 */
export async function examinePull(
  url: string,
  image: ImageReference | undefined,
): Promise<Finding> {
  try {
    const { status } = await ask(url, '/v2/')
    if (status !== 200 && status !== 401) {
      const advice = 'check server.listen, and what is in front of it'
      return fail('pull', `${url}/v2/ answers ${status}`, advice)
    }
    if (image === undefined) {
      return ok('pull', `${url}/v2/ answers ${status}; with --image REF one is pulled through it`)
    }
    const digest = await pullThrough(url, image)
    return ok('pull', `${image.registry}/${image.repository} came as ${digest}`)
  } catch (error) {
    if (!(error instanceof OwnPullError)) {
      const advice = 'start it with larder serve, or say --url where nodes reach it'
      return fail('pull', `no answer from ${url}: ${reasonOf(error)}`, advice)
    }
    const advice =
      error.status === 401 || error.status === 403
        ? 'this is asked without a login: name an image that needs none, or see auth and access'
        : 'see what is said of its registry here, and the log of the server'
    return fail('pull', error.message, advice)
  }
}

/** Of the server, where it tells them: a shell’s own limit says nothing of a service. */
async function serverDescriptors(url: string): Promise<Finding[]> {
  const text = await ask(url, '/metrics', TIMEOUT_MS).then(
    ({ body }) => body.toString(),
    () => '',
  )
  const read = (name: string) => {
    const [, value] = new RegExp(`^${name} (\\S+)$`, 'm').exec(text) ?? []
    return value === undefined ? undefined : Number(value)
  }
  const [max, open] = [read('process_max_fds'), read('process_open_fds')]
  return max === undefined ? [] : [judgeDescriptors(max, open)]
}

async function ownDescriptors(): Promise<Finding> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  const [, soft] = /^Max open files +(\S+)/m.exec(limits) ?? []
  if (soft === undefined) return ok('descriptors', 'the limit is not known here')
  return judgeDescriptors(soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft), undefined)
}

function judgeDescriptors(max: number, open: number | undefined): Finding {
  const detail = open === undefined ? `${max} may be open` : `${open} of ${max} are open`
  const isFull = open !== undefined && open > max * BUSY_SHARE
  if (max >= ENOUGH_DESCRIPTORS && !isFull) return ok('descriptors', detail)
  const advice = 'raise the limit: LimitNOFILE of the unit, ulimits of the container, ulimit -n'
  return warn('descriptors', detail, advice)
}
