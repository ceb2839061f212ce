/** What nodes have to know to pull through a Larder, and what comes of it. */
export interface NodeSetup {
  /** The origin at which nodes reach Larder: `https://larder.example:5000`. */
  readonly url: string
  readonly registries: readonly NodeRegistry[]
  /**
   * One entry for every registry there is, in place of one for each of `registries`: what Larder
   * learns later needs no change on nodes. What it does not know, it answers with 404.
   */
  readonly everything: boolean
  /** PEM, for a certificate that the nodes' systems do not trust; only with https. */
  readonly ca: string | undefined
  /** Whether a node asks the registry itself where Larder fails. */
  readonly fallback: boolean
  readonly auth: NodeAuth
}

/** A registry as images name it. */
export interface NodeRegistry {
  /** `host[:port]`; Docker Hub is `docker.io`. */
  readonly name: string
  /**
   * As Larder knows it in front of a repository: a name of the same registry without a port, for a
   * colon is no part of a path. Absent where it has none.
   */
  readonly segment: string | undefined
  /** Where it is reached without Larder: an origin, perhaps with a path before `/v2/`. */
  readonly url: string
  /** Whether it is the one that is meant where a client names none. */
  readonly isDefault: boolean
  /** Whether Larder asks callers for their own login at this registry. */
  readonly asksCaller: boolean
  /** Whether its certificate is of an authority that systems do not know. */
  readonly hasOwnCa: boolean
}

/** What Larder asks its callers for. */
export interface NodeAuth {
  readonly password: boolean
  readonly certificate: boolean
  /** Files on the node; absent: whoever sets it up has to see to it. */
  readonly clientCertificate: ClientCertificate | undefined
}

export interface ClientCertificate {
  readonly certFile: string
  readonly keyFile: string
}

export interface NodeFile {
  /** Absolute on a node; relative where a tool reads it on the machine that it is started on. */
  readonly path: string
  readonly content: string
  readonly mode: number
}

export interface NodeConfig {
  readonly files: readonly NodeFile[]
  /** What else is to be done or to be known, a sentence or two each. */
  readonly notes: readonly string[]
}

/** What was asked for cannot be had from this runtime. Its message says what to do. */
export class NodeConfigError extends Error {
  override readonly name = 'NodeConfigError'
}

/** Readable by every user of the node: there is no secret in any of them. */
export function nodeFile(path: string, content: string): NodeFile {
  return { path, content, mode: 0o644 }
}

/** `host[:port]` of Larder, as it is written before a repository. */
export function hostOf({ url }: Pick<NodeSetup, 'url'>): string {
  return new URL(url).host
}

/** Whether nodes reach Larder without TLS. */
export function isPlain({ url }: Pick<NodeSetup, 'url'>): boolean {
  return new URL(url).protocol === 'http:'
}

/** Whether a client finds the registry by its name alone. */
export function isFoundByName({ name, url }: NodeRegistry): boolean {
  return url === `https://${name === 'docker.io' ? 'registry-1.docker.io' : name}`
}
