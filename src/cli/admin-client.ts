import { resolve } from 'node:path'

import { type Command, Option } from 'commander'

import { EVENTS_TYPE, JSON_TYPE, NDJSON_TYPE } from '../admin/media-types.ts'
import { readTokenFile, TokenFileError } from '../admin/token-file.ts'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { answerOf, eventsOf, linesOf, requireType } from './admin-answers.ts'
import { Exchange, type Sending } from './admin-exchange.ts'
import { remoteTransport, type Transport } from './admin-transport.ts'
import { adminUrlOf, parseServerUrl } from './admin-url.ts'
import { ExitError } from './exit.ts'

const READ_PATIENCE_MS = 30_000
/** A large store takes a while to be gone through. */
const PATIENCE_MS = 290_000

/** How a command finds the running server that it talks to. */
export interface AdminClientOptions {
  readonly config?: string
  readonly server?: string
  readonly tokenFile?: string
  /** Instead of a running server; of commands that can do without one. */
  readonly dataDir?: string
}

export interface UploadOptions {
  readonly mediaType: string
  /** In bytes, where it is known. */
  readonly size?: number
}

/** The options by which a running server is found, on a command that talks to one. */
export function addAdminOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'the configuration file of the running server')
    .option('--server <url>', 'its admin listener, instead of the one in the configuration')
    .option('--token-file <file>', 'the file with the admin token, instead of admin.tokenFile')
}

/** As {@link addAdminOptions}, on a command that can do without a server. */
export function addStoreOptions(command: Command): Command {
  const dataDir = new Option('--data-dir <dir>', 'work on this data directory, which no server has')
  return addAdminOptions(command).addOption(dataDir.conflicts(['server', 'tokenFile']))
}

export function outputOption(): Option {
  return new Option('-o, --output <format>').choices(['table', 'json']).default('table')
}

/**
 * The admin API of a running server, or of a data directory that none has. What it answers with an
 * error ends the command.
 */
export class AdminClient implements AsyncDisposable {
  readonly #transport: Transport
  readonly #tokenFile: string | undefined

  /** @param tokenFile read for each change; `undefined`: none is needed */
  constructor(transport: Transport, tokenFile: string | undefined) {
    this.#transport = transport
    this.#tokenFile = tokenFile
  }

  /**
   * @throws {ConfigError} of the file that says where the server is
   * @throws {ExitError} 2; 75 where a server has the data directory
   */
  static async open(options: AdminClientOptions, io: Surroundings): Promise<AdminClient> {
    const { server, dataDir, config: file } = options
    if (dataDir !== undefined) {
      const { openDataDirectory } = await import('./data-directory.ts')
      return new AdminClient(await openDataDirectory({ dataDir, file }, io), undefined)
    }
    const tokenFile =
      options.tokenFile === undefined ? undefined : resolve(io.cwd, options.tokenFile)
    const url = server === undefined ? undefined : parseServerUrl(server)
    // Who says everything needs no configuration, and no right one.
    if (url !== undefined && tokenFile !== undefined) {
      return new AdminClient(remoteTransport(url), tokenFile)
    }
    const config = await load(options, io)
    const transport = remoteTransport(url ?? adminUrlOf(config))
    return new AdminClient(transport, tokenFile ?? config.admin.tokenFile)
  }

  /** Lets go of the data directory. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport.close()
  }

  /** @throws {ExitError} */
  async get(path: string): Promise<unknown> {
    const exchange = this.#begin({ method: 'GET', path, patienceMs: READ_PATIENCE_MS })
    return this.#json(exchange)
  }

  /** @throws {ExitError} */
  async post(path: string, body: object): Promise<unknown> {
    return this.#json(await this.#change({ path, ...jsonOf(body) }))
  }

  /** @throws {ExitError} */
  async delete(path: string, query: URLSearchParams): Promise<unknown> {
    const headers = { 'Content-Type': JSON_TYPE }
    return this.#json(await this.#change({ method: 'DELETE', path: `${path}?${query}`, headers }))
  }

  /**
   * Server-sent events, as they come.
   *
   * @throws {ExitError} also when they are cut; whether they came to their end is for the reader to see
   */
  async *events(
    path: string,
    signal?: AbortSignal,
  ): AsyncGenerator<{ readonly event: string; readonly data: object }, void, undefined> {
    const exchange = this.#begin({
      method: 'GET',
      path,
      accept: EVENTS_TYPE,
      signal,
      patienceMs: READ_PATIENCE_MS,
    })
    try {
      const answer = await exchange.answer()
      await requireType(answer, EVENTS_TYPE, this.#transport.name)
      yield* eventsOf(answer)
    } catch (error) {
      throw exchange.failure(error)
    } finally {
      exchange.end()
    }
  }

  /**
   * The lines of an answer that grows, as they come.
   *
   * @param signal ends it, also while nothing comes
   * @throws {ExitError} also when it is cut; whether it came to its end is for the reader to see
   */
  async *stream(
    path: string,
    body: object,
    signal?: AbortSignal,
  ): AsyncGenerator<object, void, undefined> {
    yield* this.#lines(await this.#change({ path, signal, ...jsonOf(body) }))
  }

  /**
   * Sends a body of any length, no faster than it is taken, and gives the lines of the answer as they
   * come. Who stops reading them ends the sending too.
   *
   * @throws {ExitError} as {@link stream}; a refusal ends the sending at once
   * @param body each piece may be lent until the one after the next is asked for
   * @throws what reading `body` fails with
   */
  async *upload(
    path: string,
    query: URLSearchParams,
    body: AsyncIterable<Uint8Array>,
    { mediaType, size }: UploadOptions,
  ): AsyncGenerator<object, void, undefined> {
    const headers = {
      'Content-Type': mediaType,
      ...(size === undefined ? {} : { 'Content-Length': size }),
    }
    yield* this.#lines(await this.#change({ path: `${path}?${query}`, headers, body }))
  }

  /**
   * The bytes of an answer of any length, no faster than they are taken. Whole when it ends by itself.
   *
   * @param mediaType what is asked for
   * @param signal ends it, also while nothing comes
   * @throws {ExitError} also when it is cut
   */
  async *download(
    path: string,
    body: object,
    mediaType: string,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const exchange = await this.#change({ path, accept: mediaType, signal, ...jsonOf(body) })
    try {
      const answer = await exchange.answer()
      await requireType(answer, mediaType, this.#transport.name)
      yield* answer as AsyncIterable<Uint8Array>
    } catch (error) {
      throw exchange.failure(error)
    } finally {
      exchange.end()
    }
  }

  async #json(exchange: Exchange): Promise<unknown> {
    try {
      return await answerOf(await exchange.answer(), this.#transport.name)
    } catch (error) {
      throw exchange.failure(error)
    } finally {
      exchange.end()
    }
  }

  async *#lines(exchange: Exchange): AsyncGenerator<object, void, undefined> {
    try {
      const answer = await exchange.answer()
      await requireType(answer, NDJSON_TYPE, this.#transport.name)
      yield* linesOf(answer)
    } catch (error) {
      throw exchange.failure(error)
    } finally {
      exchange.end()
    }
  }

  /** Shows the token, which is for this address and no other: nothing here follows a redirect. */
  async #change(request: Partial<Request> & Pick<Request, 'path'>): Promise<Exchange> {
    const token = await this.#readToken()
    const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` }
    const headers = { ...request.headers, ...authorization }
    return this.#begin({ method: 'POST', patienceMs: PATIENCE_MS, ...request, headers })
  }

  #begin({ path, headers, accept = JSON_TYPE, body, ...sending }: Request): Exchange {
    return new Exchange(this.#transport, {
      ...sending,
      path: `/api/v1${path}`,
      headers: { Accept: accept, ...headers },
      body,
    })
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

interface Request extends Pick<Sending, 'method' | 'path' | 'patienceMs' | 'signal'> {
  readonly headers?: Sending['headers']
  readonly accept?: string
  readonly body?: Exclude<Sending['body'], undefined>
}

function jsonOf(body: object) {
  return { body: JSON.stringify(body), headers: { 'Content-Type': JSON_TYPE } }
}

async function load(
  { config: file }: AdminClientOptions,
  { env, cwd }: Surroundings,
): Promise<Config> {
  return (await loadConfig({ ...(file === undefined ? {} : { file }), env, cwd })).config
}
