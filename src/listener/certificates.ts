import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext } from 'node:tls'

import type { TlsFiles } from '../config/config.ts'

/** Certificates are looked at this often: a mounted Secret changes by a rename nobody can watch. */
const LOOK_MS = 10_000

/** What a listener shows and trusts; PEM. */
export interface TlsMaterial {
  readonly cert: string
  readonly key: string
  /** Who signs the certificates of clients; absent: none are asked for. */
  readonly ca?: string
}

export interface CertificatesOptions {
  readonly files: TlsFiles
  /** How often they are looked at, in milliseconds; default 10 s. */
  readonly lookMs?: number
  /** Told of what is in the files when they have changed; throws when it cannot be used. */
  readonly onChanged: (material: TlsMaterial) => void
  /** Told when changed certificates cannot be used; the ones in use stay. */
  readonly onError: (error: unknown) => void
}

/** Certificates in files, which are read again when these change. */
export class Certificates {
  readonly #options: CertificatesOptions
  #material: TlsMaterial
  #expiresAt: number
  #seen: string
  #timer: NodeJS.Timeout | undefined

  /** @throws {Error} when they cannot be read */
  constructor(options: CertificatesOptions) {
    this.#options = options
    this.#seen = stampOf(options.files)
    this.#material = read(options.files)
    this.#expiresAt = expiryOf(this.#material)
  }

  get material(): TlsMaterial {
    return this.#material
  }

  /** Epoch milliseconds. */
  get expiresAt(): number {
    return this.#expiresAt
  }

  watch(): void {
    this.#timer = setInterval(() => this.#look(), this.#options.lookMs ?? LOOK_MS)
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const { files, onChanged, onError } = this.#options
    try {
      const now = stampOf(files)
      if (now === this.#seen) return
      const material = read(files)
      const expiresAt = expiryOf(material)
      onChanged(material)
      this.#material = material
      this.#expiresAt = expiresAt
      this.#seen = now
    } catch (error) {
      onError(error)
    }
  }
}

/** @throws {Error} that names the file which cannot be read, or what is wrong with them */
function read(files: TlsFiles): TlsMaterial {
  const { clientCaFile } = files
  const ca = clientCaFile === undefined ? {} : { ca: readNamed('clientCaFile', clientCaFile) }
  const cert = readNamed('certFile', files.certFile)
  const key = readNamed('keyFile', files.keyFile)
  const material = { cert, key, ...ca }
  try {
    createSecureContext(material)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const names = `certFile ${files.certFile} and keyFile ${files.keyFile}`
    const others = clientCaFile === undefined ? '' : `, or clientCaFile ${clientCaFile},`
    throw new Error(`${names}${others} cannot be used: ${reason}`, { cause })
  }
  return material
}

function readNamed(key: keyof TlsFiles, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new Error(`${key} ${file} cannot be read (${code})`, { cause })
  }
}

/** Of the first in the file, which is the server's own. */
function expiryOf({ cert }: TlsMaterial): number {
  return new X509Certificate(cert).validToDate.getTime()
}

function stampOf({ certFile, keyFile, clientCaFile }: TlsFiles): string {
  const files = [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])]
  return files
    .map((file) => statSync(file, { throwIfNoEntry: false }))
    .map((stats) => `${stats?.ino} ${stats?.mtimeMs}`)
    .join(' ')
}
