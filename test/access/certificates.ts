import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']

/** A certificate with its key, as files and as PEM. */
export interface Certificate {
  readonly certFile: string
  readonly keyFile: string
  readonly cert: string
  readonly key: string
}

/** A certificate authority of the test's own, in `dir`. */
export class Authority {
  readonly certFile: string
  readonly cert: string
  readonly #dir: string
  readonly #name: string

  private constructor(dir: string, name: string, cert: string) {
    this.#dir = dir
    this.#name = name
    this.certFile = join(dir, `${name}.pem`)
    this.cert = cert
  }

  static async create(dir: string, name = 'ca'): Promise<Authority> {
    const file = join(dir, `${name}.pem`)
    const subject = ['-subj', `/CN=${name}`]
    const files = ['-keyout', join(dir, `${name}.key`), '-out', file]
    await execute('openssl', ['req', '-x509', ...NEW_KEY, ...subject, ...files])
    return new Authority(dir, name, await readFile(file, 'utf8'))
  }

  /** @param alternatives as openssl writes them: `DNS:a.example,URI:…`; `undefined`: none */
  async issue(name: string, alternatives: string | undefined): Promise<Certificate> {
    const certFile = join(this.#dir, `${name}.pem`)
    const keyFile = join(this.#dir, `${name}.key`)
    const signer = ['-CA', this.certFile, '-CAkey', join(this.#dir, `${this.#name}.key`)]
    const names = alternatives === undefined ? [] : ['-addext', `subjectAltName=${alternatives}`]
    const options = ['-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:FALSE']
    const files = ['-keyout', keyFile, '-out', certFile]
    await execute('openssl', [
      'req',
      '-x509',
      ...signer,
      ...NEW_KEY,
      ...options,
      ...names,
      ...files,
    ])
    const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])
    return { certFile, keyFile, cert, key }
  }
}
