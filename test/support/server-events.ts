import type { IncomingMessage } from 'node:http'

import { type ClientRequest, open } from './http-client.ts'

export interface ServerEvent {
  readonly id: string | undefined
  readonly event: string
  readonly data: unknown
}

/** What an `EventSource` would be told by one connection. */
export class ServerEvents implements AsyncDisposable {
  readonly response: IncomingMessage
  readonly #events: AsyncIterator<ServerEvent>
  readonly seen: ServerEvent[] = []

  static async open(
    origin: string,
    path: string,
    headers: ClientRequest['headers'] = {},
  ): Promise<ServerEvents> {
    return new ServerEvents(await open(origin, path, { headers }))
  }

  private constructor(response: IncomingMessage) {
    this.response = response
    this.#events = parse(response)
  }

  /** The next that is one of those; the others are passed over. @throws when there is none */
  async next(...names: readonly string[]): Promise<ServerEvent> {
    for (;;) {
      const { value, done } = await this.#events.next()
      if (done === true) throw new Error(`the events ended before ${names.join(' or ')}`)
      this.seen.push(value)
      if (names.length === 0 || names.includes(value.event)) return value
    }
  }

  /** Every one that is left. */
  async rest(): Promise<readonly ServerEvent[]> {
    const events: ServerEvent[] = []
    for (;;) {
      const { value, done } = await this.#events.next()
      if (done === true) return events
      this.seen.push(value)
      events.push(value)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.response.destroy()
  }
}

async function* parse(response: IncomingMessage): AsyncGenerator<ServerEvent, undefined> {
  let text = ''
  response.setEncoding('utf8')
  for await (const piece of response as AsyncIterable<string>) {
    text += piece
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end).split('\n')
      text = text.slice(end + 2)
      const fields = new Map(
        block.map((line) => {
          const colon = line.indexOf(':')
          return [line.slice(0, colon), line.slice(colon + 1).trimStart()] as const
        }),
      )
      const data = fields.get('data')
      if (data === undefined) continue
      yield {
        id: fields.get('id'),
        event: fields.get('event') ?? 'message',
        data: JSON.parse(data),
      }
    }
  }
  return undefined
}
