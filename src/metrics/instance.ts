import { collectDefaultMetrics } from 'prom-client'

import type { Instruments } from './instruments.ts'

/** When a certificate expires, epoch milliseconds; `undefined`: there is none. */
export type CertificateReading = () => number | undefined

export interface Build {
  readonly version: string
  /** The commit that it was built of; absent: not known. */
  readonly revision?: string | undefined
}

/** What runs here, and with which configuration. */
export class InstanceMetrics {
  readonly #reloadOk
  readonly #reloadedAt
  readonly #certificateExpiry
  readonly #certificates = new Map<string, CertificateReading>()

  constructor(instruments: Instruments, { version, revision = 'unknown' }: Build) {
    collectDefaultMetrics({ register: instruments.registry })
    instruments
      .gauge('build_info', 'What runs here', ['version', 'revision', 'node_version'])
      .set({ version, revision, node_version: process.version }, 1)
    this.#reloadOk = instruments.gauge(
      'config_last_reload_successful',
      '1 when the configuration was read as it is now in the file, 0 when that could not be used',
    )
    this.#reloadedAt = instruments.gauge(
      'config_last_reload_success_timestamp_seconds',
      'When the configuration in use was read',
    )
    this.#certificateExpiry = instruments.gauge(
      'tls_certificate_expiry_timestamp_seconds',
      'When a certificate that Larder shows expires',
      ['cert'],
    )
    this.reloaded(true)
  }

  /** The configuration was read, and is in use or not. */
  reloaded(isInUse: boolean): void {
    this.#reloadOk.set(isInUse ? 1 : 0)
    if (isInUse) this.#reloadedAt.set(Date.now() / 1000)
  }

  /** @param cert a fixed word for what it is for */
  follow(cert: string, expiry: CertificateReading): void {
    this.#certificates.set(cert, expiry)
  }

  readCertificates(): void {
    for (const [cert, expiry] of this.#certificates) {
      const at = expiry()
      if (at === undefined) this.#certificateExpiry.remove({ cert })
      else this.#certificateExpiry.set({ cert }, at / 1000)
    }
  }
}
