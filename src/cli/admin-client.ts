import { resolve } from 'node:path'

import { type Command, Option } from 'commander'

import { readTokenFile, TokenFileError } from '../admin/token-file.ts'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { answerOf, linesOf } from './admin-answers.ts'
import { adminUrlOf, parseServerUrl } from './admin-url.ts'
import { ExitError } from './exit.ts'

const READ_TIMEOUT_MS = 30_000
/** A large store takes a while to be gone through. The stream of a verification has no end of time. */
const CHANGE_TIMEOUT_MS = 290_000

/** How every command that talks to a running server finds it. */
export interface AdminClientOptions {
  readonly config?: string
  readonly server?: string
  readonly tokenFile?: string
}

/** The options by which a running server is found, on a command that talks to one. */
export function addAdminOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'the configuration file of the running server')
    .option('--server <url>', 'its admin listener, instead of the one in the configuration')
    .option('--token-file <file>', 'the file with the admin token, instead of admin.tokenFile')
}

export function outputOption(): Option {
  return new Option('-o, --output <format>').choices(['table', 'json']).default('table')
}

/** A running server's admin API. What it answers with an error ends the command. */
export class AdminClient {
  readonly #url: string
  readonly #tokenFile: string | undefined

  private constructor(url: string, tokenFile: string | undefined) {
    this.#url = url
    this.#tokenFile = tokenFile
  }

  /**
   * @throws {ConfigError} of the file that says where the server is
   * @throws {ExitError} 2
   */
  static async open(options: AdminClientOptions, io: Surroundings): Promise<AdminClient> {
    const { server } = options
    const tokenFile =
      options.tokenFile === undefined ? undefined : resolve(io.cwd, options.tokenFile)
    const url = server === undefined ? undefined : parseServerUrl(server)
    // Who says everything needs no configuration, and no right one.
    if (url !== undefined && tokenFile !== undefined) return new AdminClient(url, tokenFile)
    const config = await load(options, io)
    return new AdminClient(url ?? adminUrlOf(config), tokenFile ?? config.admin.tokenFile)
  }

  /** @throws {ExitError} */
  async get(path: string): Promise<unknown> {
    return answerOf(await this.#send('GET', path, undefined, READ_TIMEOUT_MS), this.#url)
  }

  /** @throws {ExitError} */
  async post(path: string, body: object): Promise<unknown> {
    return answerOf(await this.#send('POST', path, body, CHANGE_TIMEOUT_MS), this.#url)
  }

  /** @throws {ExitError} */
  async delete(path: string, query: URLSearchParams): Promise<unknown> {
    const response = await this.#send('DELETE', `${path}?${query}`, undefined, CHANGE_TIMEOUT_MS)
    return answerOf(response, this.#url)
  }

  /**
   * The lines of an answer that grows, as they come.
   *
   * @throws {ExitError} also when it is cut; whether it came to its end is for the reader to see
   */
  async *stream(path: string, body: object): AsyncGenerator<object, void, undefined> {
    const response = await this.#send('POST', path, body, undefined)
    if (!response.ok) await answerOf(response, this.#url)
    yield* linesOf(response, this.#url)
  }

  async #send(
    method: string,
    path: string,
    body: object | undefined,
    timeoutMs: number | undefined,
  ): Promise<Response> {
    const isChange = method !== 'GET'
    const token = isChange ? await this.#readToken() : undefined
    try {
      return await fetch(`${this.#url}/api/v1${path}`, {
        method,
        headers: {
          Accept: 'application/json',
          ...(isChange ? { 'Content-Type': 'application/json' } : {}),
          ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        // The token is for this address and no other.
        redirect: 'error',
        ...(timeoutMs === undefined ? {} : { signal: AbortSignal.timeout(timeoutMs) }),
      })
    } catch (error) {
      throw unreachable(error, this.#url)
    }
  }

  async #readToken(): Promise<string | undefined> {
    if (this.#tokenFile === undefined) return undefined
    try {
      return await readTokenFile(this.#tokenFile)
    } catch (error) {
      if (!(error instanceof TokenFileError)) throw error
      const message = `the token file ${this.#tokenFile}: ${error.message}`
      throw new ExitError(1, message, { cause: error })
    }
  }
}

async function load(
  { config: file }: AdminClientOptions,
  { env, cwd }: Surroundings,
): Promise<Config> {
  return (await loadConfig({ ...(file === undefined ? {} : { file }), env, cwd })).config
}

function unreachable(error: unknown, url: string): ExitError {
  const code = codeOf(error)
  if (code === 'TimeoutError' || code === 'UND_ERR_HEADERS_TIMEOUT') {
    const message = `${url} took the request and gave no answer in time: see its log`
    return new ExitError(1, message, { cause: error })
  }
  const why = code === undefined || code === 'ECONNREFUSED' ? '' : ` (${code})`
  const message = `no Larder answers at ${url}${why}: is it running? start it, or say --server`
  return new ExitError(1, message, { cause: error })
}

/** `fetch` wraps what happened, once or more. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  if (error.name === 'TimeoutError') return error.name
  if ('code' in error && typeof error.code === 'string') return error.code
  return codeOf(error.cause)
}
