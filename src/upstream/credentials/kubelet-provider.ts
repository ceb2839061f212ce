import { join } from 'node:path'

import type { Repository } from '../../oci/reference.ts'
import type { Clock } from '../clock.ts'
import type { Credential, CredentialFactory, CredentialSource } from './credential.ts'
import { matchesHost, matchesImage } from './image-match.ts'
import type { KubeletProviderConfig } from './kubelet-config.ts'
import { type CacheScope, type KubeletEntry, parseKubeletResponse } from './kubelet-response.ts'
import { type Answer, Memory } from './memory.ts'
import type { Programs } from './programs.ts'

/** The kubelet's. */
const TIMEOUT_MS = 60_000

export interface KubeletProviderOptions {
  readonly config: KubeletProviderConfig
  /** Where the plugins are. */
  readonly binDir: string
  readonly credentials: CredentialFactory
  readonly programs: Programs
  readonly clock: Clock
  /** Milliseconds for one run. */
  readonly timeoutMs?: number | undefined
}

type Entries = readonly KubeletEntry[]

/** One credential provider plugin of the kubelet, asked and remembered as the kubelet does. */
export class KubeletProvider implements CredentialSource {
  readonly name: string
  readonly #options: KubeletProviderOptions
  readonly #memory: Memory<Entries>
  /** Of its last answer: who waits for whom while it runs. Most say Registry. */
  #scope: CacheScope = 'Registry'

  constructor(options: KubeletProviderOptions) {
    this.name = `plugin ${options.config.name}`
    this.#options = options
    this.#memory = new Memory(options.clock)
  }

  async find(host: string, repository: Repository): Promise<readonly Credential[]> {
    const { name, matchImages, needsServiceAccount } = this.#options.config
    if (!matchImages.some((pattern) => matchesImage(pattern, host, repository))) return []
    if (needsServiceAccount) {
      throw new Error(
        `${name} wants a pod's service account token (tokenAttributes), and Larder pulls for no pod: ` +
          'use a provider without tokenAttributes, or with requireServiceAccount: false',
      )
    }
    const entries = await this.#ask(host, repository)
    if (entries.length > 0 && !entries.some(({ pattern }) => matchesHost(pattern, host))) {
      throw new Error(`${name} answered for other registries than ${host}`)
    }
    return entries
      .filter(({ pattern }) => matchesImage(pattern, host, repository))
      .map(({ credential }) => credential)
  }

  invalidate({ fingerprint }: Credential): void {
    this.#memory.forget((entries) =>
      entries.some(({ credential }) => credential.fingerprint === fingerprint),
    )
  }

  async #ask(host: string, repository: Repository): Promise<Entries> {
    // As the kubelet says it: neither tag nor digest.
    const image = repository === '' ? host : `${host}/${repository}`
    const keys: Readonly<Record<CacheScope, string>> = {
      Image: `image ${image}`,
      Registry: `registry ${host}`,
      Global: 'global',
    }
    return await this.#memory.get({
      keys: Object.values(keys),
      flightKey: () => keys[this.#scope],
      ask: async () => await this.#run(image, keys),
    })
  }

  async #run(image: string, keys: Readonly<Record<CacheScope, string>>): Promise<Answer<Entries>> {
    const { config, binDir, credentials, programs, clock, timeoutMs = TIMEOUT_MS } = this.#options
    const { name, apiVersion, args, env } = config
    const kind = 'CredentialProviderRequest'
    const { exitCode, stdout } = await programs.run({
      name,
      file: join(binDir, name),
      args,
      env,
      input: JSON.stringify({ apiVersion, kind, image }),
      timeoutMs,
    })
    if (exitCode !== 0) {
      throw new Error(`${name} failed (exit code ${exitCode}): run it by hand to see why`)
    }
    const now = clock.now()
    const response = parseKubeletResponse(stdout, config, { credentials, now })
    this.#scope = response.scope
    return { value: response.entries, key: keys[response.scope], lifeMs: response.keepMs }
  }
}
