import { UpstreamError } from './errors.ts'
import type { Registry, RegistryStatus } from './ports.ts'

/** Stands in for a registry that may not be asked: no packet leaves. */
export class OfflineRegistry implements Registry {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  isScarce(): boolean {
    return true
  }

  status(): RegistryStatus {
    return { circuit: 'closed', rateLimit: undefined, restsMs: 0, waiting: 0 }
  }

  headManifest(): Promise<never> {
    return this.#refuse()
  }

  getManifest(): Promise<never> {
    return this.#refuse()
  }

  headBlob(): Promise<never> {
    return this.#refuse()
  }

  openBlob(): Promise<never> {
    return this.#refuse()
  }

  listTags(): Promise<never> {
    return this.#refuse()
  }

  listReferrers(): Promise<never> {
    return this.#refuse()
  }

  authorize(): Promise<never> {
    return this.#refuse()
  }

  #refuse(): Promise<never> {
    const message = 'this cache is offline'
    const error = new UpstreamError('offline', { upstream: this.name, reason: 'offline', message })
    return Promise.reject(error)
  }
}
