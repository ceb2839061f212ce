import type { Reference, Repository } from '../oci/reference.ts'
import type { UpstreamError } from './errors.ts'

export type StepName =
  | 'dns'
  | 'connect'
  | 'tls'
  | '/v2/'
  | 'challenge'
  | 'credential'
  | 'token'
  | 'manifest'

export interface Step {
  readonly step: StepName
  readonly ok: boolean
  /** What was found, or why it failed. Holds no secret. */
  readonly detail: string
  /** What to do about a failure. */
  readonly advice?: string
}

/** What to ask the registry for in the end. */
export interface WalkTarget {
  readonly repository: Repository
  readonly reference: Reference
}

/** A step of a walk that found something wrong by itself. */
export class StepFailure extends Error {
  override readonly name = 'StepFailure'
  readonly advice: string

  /** @param advice what to do about it */
  constructor(message: string, advice: string) {
    super(message)
    this.advice = advice
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  dns: "check the host in url, and this machine's resolver",
  connect: 'check the port in url and firewalls, and whether the way leads through a proxy',
  tls: 'name the authority that issued the certificate as caFile; check clientCertFile',
  reset: 'check that http or https in url is right, and what is between here and the registry',
  timeout: 'check firewalls and the load of the registry; limits says how long is waited',
  redirect: 'check url: the registry sends its clients to a place that they may not follow to',
  realm: 'if that is where this registry has its token server, add it to trustedRealms',
  auth: 'check what the credential may pull; some registries say so of what does not exist',
  not_found: 'check name and tag; some registries say so of what a credential may not read',
  throttled: 'wait, or pull with an account that has a higher limit',
  http_5xx: 'ask who runs the registry, or its status page',
}

export function adviceFor({ reason }: UpstreamError): string {
  return ADVICE[reason] ?? 'check that url leads to a registry'
}
