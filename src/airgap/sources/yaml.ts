/** YAML and JSON as they come: many documents, anchors, and whatever somebody made to hurt. */
import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  Parser,
  type Scalar,
} from 'yaml'

import { UNRENDERED } from './image-text.ts'
import type { Level } from './mention.ts'
import type { Tree, TreeMap } from './tree.ts'

/** Deeper than any manifest; the walks recurse. */
const MAX_DEPTH = 200
/** Entries that `<<` may copy in one document: chained merges grow with their square. */
const MAX_MERGED = 100_000
/** Compose's own, which mean something where they are. */
const KNOWN_TAGS = /^!(?:reset|override)$/

export interface YamlProblem {
  readonly level: Level
  readonly message: string
  readonly offset: number
}

export interface YamlDocument {
  /** Undefined when it is empty or could not be read. */
  readonly root: Tree | undefined
  readonly problems: readonly YamlProblem[]
}

/** One after the other, so that only one of them is in memory. */
export function* yamlDocuments(text: string): Generator<YamlDocument, void, undefined> {
  const composer = new Composer({ prettyErrors: false, uniqueKeys: false, logLevel: 'silent' })
  try {
    for (const document of composer.compose(new Parser().parse(text), false)) {
      yield convert(document, text)
    }
  } catch (error) {
    // The parser recurses, so that a text of nothing but brackets exhausts its stack.
    if (!(error instanceof RangeError)) throw error
    yield { root: undefined, problems: [tooDeep(0)] }
  }
}

function convert(document: Document.Parsed, text: string): YamlDocument {
  const [offset, , end] = document.range
  const [error] = document.errors
  if (error !== undefined) {
    const template = text.slice(offset, end).indexOf('{{')
    const problem: YamlProblem =
      template >= 0
        ? { level: 'error', message: UNRENDERED, offset: offset + template }
        : { level: 'error', message: `not YAML: ${wordsOf(error.code)}`, offset: error.pos[0] }
    return { root: undefined, problems: [problem] }
  }
  const conversion = new Conversion(text)
  try {
    const { contents } = document
    const isEmpty = contents === null || (isScalar(contents) && contents.value === null)
    const root = isEmpty ? undefined : conversion.tree(contents, 0)
    const problems = [...warningsOf(document, text), ...conversion.problems]
    return { root, problems: problems.sort((a, b) => a.offset - b.offset) }
  } catch (cause) {
    if (!(cause instanceof Unreadable)) throw cause
    return { root: undefined, problems: [...conversion.problems, cause.problem] }
  }
}

function warningsOf({ warnings }: Document.Parsed, text: string): readonly YamlProblem[] {
  return warnings
    .filter(({ pos: [offset, end] }) => !KNOWN_TAGS.test(text.slice(offset, end)))
    .map(({ code, pos: [offset] }) => ({ level: 'warning', message: wordsOf(code), offset }))
}

/** The parser's own messages quote the text. */
function wordsOf(code: string): string {
  // Of a text with nothing but brackets; one more that the types do not know.
  if (code === 'RESOURCE_EXHAUSTION') return 'nested too deep'
  if (code === 'TAG_RESOLVE_FAILED') return 'a tag (!name) that is not known'
  return code.toLowerCase().replaceAll('_', ' ')
}

class Unreadable extends Error {
  override readonly name = 'Unreadable'
  readonly problem: YamlProblem

  constructor(problem: YamlProblem) {
    super(problem.message)
    this.problem = problem
  }
}

function tooDeep(offset: number): YamlProblem {
  return { level: 'error', message: 'nested too deep', offset }
}

/**
 * Parsed nodes to plain ones. What an alias means is shared, never copied: aliases that unfold into
 * gigabytes cost no more than the text.
 */
class Conversion {
  readonly problems: YamlProblem[] = []
  readonly #text: string
  readonly #anchors = new Map<string, Tree>()
  #merged = 0

  constructor(text: string) {
    this.#text = text
  }

  /** @throws {Unreadable} */
  tree(node: Node, depth: number): Tree {
    const [offset, end] = node.range ?? [0, 0]
    if (depth > MAX_DEPTH) throw new Unreadable(tooDeep(offset))
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source)
      if (target !== undefined) return target
      const message = 'an alias (*name) without its anchor (&name) before it'
      throw new Unreadable({ level: 'error', message, offset })
    }
    const tree = this.#own(node, { offset, end }, depth)
    if ('anchor' in node && typeof node.anchor === 'string') this.#anchors.set(node.anchor, tree)
    return tree
  }

  #own(node: Node, span: { offset: number; end: number }, depth: number): Tree {
    if (isMap<Node, Node | null>(node)) {
      return { kind: 'map', ...span, entries: this.#entries(node.items, depth) }
    }
    if (isSeq<Node>(node)) {
      return { kind: 'list', ...span, items: node.items.map((item) => this.tree(item, depth + 1)) }
    }
    if (!isScalar(node) || node.tag === '!reset') {
      return { kind: 'scalar', ...span, text: '', isString: false }
    }
    return { kind: 'scalar', ...span, ...scalarText(node) }
  }

  #entries(
    pairs: readonly { readonly key: Node; readonly value: Node | null }[],
    depth: number,
  ): Map<string, Tree> {
    const entries = new Map<string, Tree>()
    const merges: Tree[] = []
    for (const { key, value } of pairs) {
      const name = this.#key(key, depth)
      const [offset, end] = key.range ?? [0, 0]
      const tree: Tree =
        value === null
          ? { kind: 'scalar', offset, end, text: '', isString: false }
          : this.tree(value, depth + 1)
      if (name === '<<') merges.push(tree)
      else {
        if (entries.has(name)) {
          const message = 'this key is there twice: the last one counts'
          this.problems.push({ level: 'warning', message, offset })
        }
        entries.set(name, tree)
      }
    }
    for (const merge of merges) this.#merge(entries, merge)
    return entries
  }

  #key(key: Node, depth: number): string {
    const [offset = 0] = key.range ?? []
    // What `image: {{ .Values.image }}` is when it is read as YAML: a map as the key of a map.
    if (isMap(key) && this.#text.startsWith('{', offset - 1)) {
      throw new Unreadable({ level: 'error', message: UNRENDERED, offset: offset - 1 })
    }
    const tree = this.tree(key, depth + 1)
    if (tree.kind === 'scalar') return tree.text
    throw new Unreadable({ level: 'error', message: 'a key has to be a plain text', offset })
  }

  /** https://yaml.org/type/merge.html: what is there already wins, then the earlier of several. */
  #merge(entries: Map<string, Tree>, merge: Tree): void {
    const maps = merge.kind === 'list' ? merge.items : [merge]
    for (const map of maps.filter((one): one is TreeMap => one.kind === 'map')) {
      this.#merged += map.entries.size
      if (this.#merged > MAX_MERGED) {
        const message = `more than ${MAX_MERGED} values by merge keys (<<)`
        throw new Unreadable({ level: 'error', message, offset: merge.offset })
      }
      for (const [key, value] of map.entries) if (!entries.has(key)) entries.set(key, value)
    }
  }
}

function scalarText({ value, source }: Scalar): { text: string; isString: boolean } {
  if (typeof value === 'string') return { text: value, isString: true }
  return { text: value === null ? '' : (source ?? String(value)), isString: false }
}
