/**
 * A JSON object. The parser's own message would quote the text, which may be a secret.
 *
 * @param of whose text it is, for the error
 */
export function parseMap(text: string, of: string): Record<string, unknown> {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    document = undefined
  }
  if (!isMap(document)) throw new Error(`${of} is not a JSON object`)
  return document
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A text that says something. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
