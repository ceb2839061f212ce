import { z } from 'zod'
import { FAILURE } from './answers/failure.ts'
import type { Change, Endpoint, Upload } from './endpoint.ts'
import { EVENTS_TYPE, JSON_TYPE, NDJSON_TYPE } from './media-types.ts'
import { type Answer, OPERATIONS } from './operations.ts'

type Method = 'GET' | 'POST' | 'DELETE'

const DESCRIPTION = `What operators and their tools ask Larder. What fails is
{ error: { code, message, problems? } }. Reading is free to whoever reaches the listener; changes need
the token of admin.tokenFile, or the listener to be on loopback.`

/** `GET /openapi.json`: an OpenAPI 3.1 document of `others` and of itself. */
export function openApiEndpoint(others: readonly Endpoint[]): Endpoint {
  let document: object | undefined
  const self: Endpoint = {
    path: '/openapi.json',
    read: async () => (document ??= describeApi([...others, self])),
  }
  return self
}

/** @throws {Error} of an operation that {@link OPERATIONS} does not have */
export function describeApi(endpoints: readonly Endpoint[]): object {
  return {
    openapi: '3.1.0',
    info: { title: 'Larder admin API', version: '1', description: DESCRIPTION },
    servers: [{ url: '/api/v1' }],
    paths: Object.fromEntries(endpoints.map((one) => [pathOf(one), describePath(one)])),
    components: {
      schemas: { Failure: schemaOf(FAILURE, 'output') },
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  }
}

/** As a template of OpenAPI has it. */
export function pathOf({ path }: Endpoint): string {
  return path.replace(/[*:](\w+)/g, '{$1}')
}

function describePath(endpoint: Endpoint): object {
  const { query, read, follow, post, delete: remove } = endpoint
  return {
    ...((read ?? follow) && {
      get: { ...common('GET', endpoint), parameters: parametersOf(endpoint, query) },
    }),
    ...(post && { post: { ...common('POST', endpoint), ...changing(post, endpoint) } }),
    ...(remove && {
      delete: {
        ...common('DELETE', endpoint),
        ...guarded(),
        parameters: parametersOf(endpoint, remove.input),
      },
    }),
  }
}

function common(method: Method, endpoint: Endpoint): object {
  const path = pathOf(endpoint)
  const operation = OPERATIONS[`${method} ${path}`]
  if (operation === undefined) throw new Error(`nothing says what ${method} ${path} answers`)
  const { summary, answer } = operation
  return {
    operationId: `${method.toLowerCase()}${path.replace(/\W+(\w)/g, (_, one) => one.toUpperCase()).replace(/\W/g, '')}`,
    summary,
    responses: {
      200: { description: answer.description ?? 'done', content: contentOf(answer) },
      default: {
        description: 'it was not done',
        content: { [JSON_TYPE]: { schema: { $ref: '#/components/schemas/Failure' } } },
      },
    },
  }
}

function contentOf(answer: Answer): object {
  switch (answer.kind) {
    case 'json':
      return { [JSON_TYPE]: { schema: schemaOf(answer.schema, 'output') } }
    case 'lines':
      return { [NDJSON_TYPE]: { schema: schemaOf(answer.schema, 'output') } }
    case 'events':
      return { [EVENTS_TYPE]: { schema: schemaOf(answer.schema, 'output') } }
    case 'bytes':
      return { [answer.mediaType]: {} }
    default:
      return answer satisfies never
  }
}

function changing(change: Change | Upload, endpoint: Endpoint): object {
  if (change.body === 'stream') {
    const content = { [change.mediaType]: {} }
    const parameters = parametersOf(endpoint, change.input)
    return { ...guarded(), parameters, requestBody: { required: true, content } }
  }
  const content = { [JSON_TYPE]: { schema: schemaOf(change.input, 'input') } }
  const inPath = parametersOf(endpoint, undefined)
  const parameters = inPath.length === 0 ? {} : { parameters: inPath }
  return { ...guarded(), ...parameters, requestBody: { required: true, content } }
}

function guarded(): object {
  return { security: [{ token: [] }, {}] }
}

function parametersOf({ path }: Endpoint, query: z.ZodType | undefined): readonly object[] {
  const [, name] = /[*:](\w+)/.exec(path) ?? []
  const description = path.includes('*')
    ? 'an image such as ghcr.io/acme/app:v1; its slashes may stay as they are'
    : 'one of those that are listed'
  const inPath = { name, in: 'path', required: true, description, schema: { type: 'string' } }
  return [...(name === undefined ? [] : [inPath]), ...(query === undefined ? [] : queryOf(query))]
}

function queryOf(input: z.ZodType): readonly object[] {
  const { properties = {}, required = [] } = z.toJSONSchema(input, { io: 'input' })
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }))
}

/** The dialect is that of OpenAPI 3.1 itself: JSON Schema 2020-12. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io })
  return rest
}
