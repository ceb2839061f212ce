/** The values of a YAML or JSON document, each with the place where it stands. */
import type { Spot } from './findings.ts'

export type Tree = TreeMap | TreeList | TreeScalar

interface Span {
  readonly offset: number
  readonly end: number
}

export interface TreeMap extends Span {
  readonly kind: 'map'
  readonly entries: ReadonlyMap<string, Tree>
}

export interface TreeList extends Span {
  readonly kind: 'list'
  readonly items: readonly Tree[]
}

export interface TreeScalar extends Span {
  readonly kind: 'scalar'
  /** As written, so that the tag 1.20 does not become 1.2; empty for null. */
  readonly text: string
  /** False for numbers, booleans and null. */
  readonly isString: boolean
}

/** A value and how one gets to it. */
export interface At<T extends Tree = Tree> {
  readonly node: T
  readonly path: string
}

export function spotOf({ node, path }: At): Spot {
  return { offset: node.offset, end: node.end, path }
}

/** The entry of a map; undefined for everything else. */
export function get(at: At | undefined, key: string): At | undefined {
  if (at?.node.kind !== 'map') return undefined
  const node = at.node.entries.get(key)
  return node === undefined ? undefined : { node, path: keyPath(at.path, key) }
}

export function getIn(at: At | undefined, ...keys: readonly string[]): At | undefined {
  let found = at
  for (const key of keys) found = get(found, key)
  return found
}

/** What a string says; undefined for everything else. */
export function stringOf(at: At | undefined): string | undefined {
  return isString(at) ? at.node.text : undefined
}

/** What a string or a number says: tags are often written as numbers. */
export function scalarOf(at: At | undefined): string | undefined {
  return at?.node.kind === 'scalar' && at.node.text !== '' ? at.node.text : undefined
}

export function isString(at: At | undefined): at is At<TreeScalar> {
  return at?.node.kind === 'scalar' && at.node.isString
}

export function isMap(at: At | undefined): at is At<TreeMap> {
  return at?.node.kind === 'map'
}

export function isList(at: At | undefined): at is At<TreeList> {
  return at?.node.kind === 'list'
}

/** The items of a list; none of everything else. */
export function itemsOf(at: At | undefined): readonly At[] {
  if (!isList(at)) return []
  return at.node.items.map((node, index) => ({ node, path: `${at.path}[${index}]` }))
}

/** The entries of a map; none of everything else. */
export function entriesOf(at: At | undefined): readonly (readonly [string, At])[] {
  if (!isMap(at)) return []
  return [...at.node.entries].map(([key, node]) => [key, { node, path: keyPath(at.path, key) }])
}

export function keysOf(at: At | undefined): readonly string[] {
  return isMap(at) ? [...at.node.entries.keys()] : []
}

function keyPath(path: string, key: string): string {
  // A key with a dot would read as two.
  if (!/^[\w-]+$/.test(key)) return `${path}[${JSON.stringify(key)}]`
  return path === '' || path.endsWith(' ') ? `${path}${key}` : `${path}.${key}`
}
