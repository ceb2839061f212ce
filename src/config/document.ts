/** The text of a configuration: its data, and where each piece of it stands. */
import {
  type Document,
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
} from 'yaml'

import { ConfigError, type Path, type Problem } from './problems.ts'

/** Enough for a person's anchors, too few to unfold into gigabytes. */
const MAX_ALIASES = 50

/** Own words: the parser's messages quote the text, and the text may be a password. */
const SYNTAX: Partial<Record<ErrorCode | 'RESOURCE_EXHAUSTION', string>> = {
  BAD_INDENT: 'this line is indented wrongly, or a bracket before it is not closed',
  BAD_SCALAR_START: 'a text cannot begin so: put it in quotes',
  BAD_DQ_ESCAPE: 'an unknown \\ escape in a "quoted" text',
  BAD_ALIAS: 'an alias (*name) is misspelt: put a text that begins with * in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a second ": " on one line: put the text in quotes, or use another line',
  DUPLICATE_KEY: 'this key is there twice',
  MISSING_CHAR: 'a bracket, quote, comma or colon is missing',
  MULTILINE_IMPLICIT_KEY: 'a key has to be on one line with its colon',
  MULTIPLE_DOCS: 'a second document (---) in one file',
  NON_STRING_KEY: 'a key has to be a plain text',
  TAB_AS_INDENT: 'a tab in the indentation: use spaces',
  RESOURCE_EXHAUSTION: 'is nested too deep',
  TAG_RESOLVE_FAILED: 'a tag (!name) that is not known, or not fit for what follows',
  UNEXPECTED_TOKEN: 'this is not expected here',
}

const UNKNOWN_ALIAS =
  'an alias (*name) without its anchor (&name): put a text that begins with * in quotes'

export interface ConfigDocument {
  /** Plain data; `undefined` when the document is empty. */
  readonly data: unknown
  /** Where the value at `path` stands, or else the nearest thing around it. */
  locate(path: Path): Pick<Problem, 'line' | 'column'>
  /** Where the key itself stands that `path` ends with. */
  locateKey(path: Path): Pick<Problem, 'line' | 'column'>
}

/**
 * @param file the name that problems show
 * @throws {ConfigError} with every syntax error
 */
export function parseConfigDocument(text: string, file: string): ConfigDocument {
  const lines = new LineCounter()
  const at = (offset: number): Pick<Problem, 'line' | 'column'> => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const document = parse(text, file, lines)
  const problems = syntaxProblems(document).map(([offset, message]) => ({
    file,
    ...at(offset),
    path: '',
    message,
  }))
  if (problems.length > 0) throw new ConfigError(problems)
  return {
    data: toData(document, file),
    locate: (path) => at(valueOffset(document, path)),
    locateKey: (path) => at(keyOffset(document, path)),
  }
}

function parse(text: string, file: string, lineCounter: LineCounter): Document {
  try {
    return parseDocument(text, {
      lineCounter,
      prettyErrors: false,
      stringKeys: true,
      uniqueKeys: true,
    })
  } catch (cause) {
    // The parser recurses, so that a text of nothing but brackets exhausts its stack.
    throw new ConfigError([{ file, path: '', message: 'is nested too deep' }], { cause })
  }
}

/** Offset and message of each, once: one slip can confuse the parser at one place several times. */
function syntaxProblems(document: Document): [number, string][] {
  const found = new Map<number, string>()
  for (const { code, pos } of [...document.errors, ...document.warnings]) {
    if (!found.has(pos[0])) found.set(pos[0], SYNTAX[code] ?? `not YAML (${code})`)
    // What follows is what the parser made of the rest after giving up.
    if (String(code) === 'RESOURCE_EXHAUSTION') break
  }
  if (found.size > 0) return [...found]
  visit(document, {
    Alias(_key, alias) {
      if (alias.resolve(document) === undefined) found.set(alias.range?.[0] ?? 0, UNKNOWN_ALIAS)
    },
  })
  return [...found]
}

function toData(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES }) ?? undefined
  } catch (cause) {
    const message = `has more than ${MAX_ALIASES} values by alias (*name), or is nested too deep`
    throw new ConfigError([{ file, path: '', message }], { cause })
  }
}

interface Found {
  /** Where the key of a map's entry, or the list's item, begins. */
  readonly keyOffset: number
  readonly node: Node | undefined
}

function valueOffset(document: Document, path: Path): number {
  const found = find(document, path)
  if (found === undefined) return keyOffset(document, path.slice(0, -1))
  const { node } = found
  const written = isScalar(node) && node.source !== '' ? node.range?.[0] : undefined
  return written ?? found.keyOffset
}

function keyOffset(document: Document, path: Path): number {
  if (path.length === 0) return document.contents?.range?.[0] ?? 0
  return find(document, path)?.keyOffset ?? keyOffset(document, path.slice(0, -1))
}

function find(document: Document, path: Path): Found | undefined {
  let found: Found | undefined = { keyOffset: 0, node: document.contents ?? undefined }
  for (const step of path) found = found === undefined ? undefined : enter(document, found, step)
  return found
}

function enter(document: Document, { node }: Found, step: string | number): Found | undefined {
  const target = isAlias(node) ? node.resolve(document) : node
  if (isSeq(target)) {
    const item = target.items[Number(step)] as Node | undefined
    return item === undefined ? undefined : { keyOffset: item.range?.[0] ?? 0, node: item }
  }
  if (!isMap(target)) return undefined
  const pair = (target.items as Pair<Node, Node | undefined>[]).find(
    ({ key }) => isScalar(key) && String(key.value) === String(step),
  )
  if (pair === undefined) return undefined
  return { keyOffset: pair.key.range?.[0] ?? 0, node: pair.value ?? undefined }
}
