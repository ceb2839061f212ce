import { digestOf, isDigest } from '../../src/oci/digest.ts'
import { failure } from './registry-auth.ts'
import type { RegistryContent } from './registry-content.ts'
import type { Answer, RecordedRequest } from './scripted-server.ts'

interface Upload {
  readonly repository: string
  bytes: Buffer
}

/** distribution-spec v1.1.1 "Push", "Content Management". */
export class RegistryPushes {
  readonly #content: RegistryContent
  readonly #uploads = new Map<string, Upload>()
  readonly #origin: () => string
  #started = 0

  /** @param origin what upload locations begin with; empty: they are relative */
  constructor(content: RegistryContent, origin: () => string) {
    this.#content = content
    this.#origin = origin
  }

  putManifest(name: string, reference: string, request: RecordedRequest): Answer {
    const { body, headers } = request
    const algorithm = reference.startsWith('sha512:') ? 'sha512' : 'sha256'
    const digest = digestOf(body, algorithm)
    if (reference.includes(':') && reference !== digest) return failure(400, 'DIGEST_INVALID')
    const manifest = { bytes: body, mediaType: headers['content-type'] ?? '', digest }
    this.#content.putManifest(name, manifest, ...(reference.includes(':') ? [] : [reference]))
    const { subject } = JSON.parse(body.toString()) as { subject?: { digest: string } }
    return {
      status: 201,
      headers: {
        location: `${this.#origin()}/v2/${name}/manifests/${digest}`,
        'docker-content-digest': digest,
        ...(subject === undefined ? {} : { 'oci-subject': subject.digest }),
      },
    }
  }

  deleteManifest(name: string, reference: string): Answer {
    const isDeleted = this.#content.deleteManifest(name, reference)
    return isDeleted ? { status: 202 } : failure(404, 'MANIFEST_UNKNOWN')
  }

  deleteBlob(name: string, digest: string): Answer {
    const isDeleted = this.#content.deleteBlob(name, digest)
    return isDeleted ? { status: 202 } : failure(404, 'BLOB_UNKNOWN')
  }

  /** POST: begins an upload, mounts, or takes the whole blob at once. */
  begin(name: string, { query, body }: RecordedRequest): Answer {
    const mounted = query.get('mount')
    const from = query.get('from')
    if (mounted !== null && from !== null) {
      const bytes = this.#content.getBlob(from, mounted)
      if (bytes !== undefined) return this.#store(name, mounted, bytes)
    }
    const digest = query.get('digest')
    if (digest !== null) return this.#store(name, digest, body)
    const id = `upload-${++this.#started}`
    this.#uploads.set(id, { repository: name, bytes: Buffer.alloc(0) })
    return this.#progress(202, id)
  }

  /** PATCH, PUT, GET and DELETE of an upload that was begun. */
  proceed(name: string, id: string, request: RecordedRequest): Answer {
    const upload = this.#uploads.get(id)
    if (upload?.repository !== name) return failure(404, 'BLOB_UPLOAD_UNKNOWN')
    if (request.method === 'GET') return this.#progress(204, id)
    if (request.method === 'DELETE') {
      this.#uploads.delete(id)
      return { status: 204 }
    }
    const start = /^(\d+)-\d+$/.exec(request.headers['content-range'] ?? '')?.[1]
    if (start !== undefined && Number(start) !== upload.bytes.length) return this.#progress(416, id)
    upload.bytes = Buffer.concat([upload.bytes, request.body])
    if (request.method === 'PATCH') return this.#progress(202, id)
    this.#uploads.delete(id)
    return this.#store(name, request.query.get('digest') ?? '', upload.bytes)
  }

  #store(name: string, digest: string, bytes: Buffer): Answer {
    const algorithm = digest.startsWith('sha512:') ? 'sha512' : 'sha256'
    if (!isDigest(digest) || digestOf(bytes, algorithm) !== digest) {
      return failure(400, 'DIGEST_INVALID')
    }
    this.#content.putBlob(name, bytes, digest)
    const location = `${this.#origin()}/v2/${name}/blobs/${digest}`
    return { status: 201, headers: { location, 'docker-content-digest': digest } }
  }

  #progress(status: number, id: string): Answer {
    const upload = this.#uploads.get(id)
    const location = `${this.#origin()}/v2/${upload?.repository}/blobs/uploads/${id}`
    const range = `0-${Math.max(0, (upload?.bytes.length ?? 0) - 1)}`
    return { status, headers: { location, range, 'docker-upload-uuid': id } }
  }
}
