/** Which keys the schema has, by walking it: for suggestions and for environment variables. */
import * as z from 'zod'

import type { Path } from './problems.ts'
import { CONFIG } from './schema.ts'

/** Longest key that is compared: edit distance is quadratic. */
const MAX_COMPARED = 64

/** What a path leads to; `undefined` when the schema has no such path. */
export function schemaAt(path: Path): z.ZodType | undefined {
  return path.reduce<z.ZodType | undefined>(
    (node, step) => (node === undefined ? undefined : childOf(node, step)),
    CONFIG,
  )
}

/** The keys that the map at `path` may have; none when there is no map. */
export function keysAt(path: Path): readonly string[] {
  const node = schemaAt(path)
  return node === undefined ? [] : Object.keys(shapeOf(node) ?? {})
}

/** Whether `path` is a list. */
export function isListAt(path: Path): boolean {
  const node = schemaAt(path)
  return node !== undefined && itemOf(node) !== undefined
}

/** Whether `path` takes only text: its value is then never read as a number or a flag. */
export function isTextAt(path: Path): boolean {
  const node = schemaAt(path)
  return node !== undefined && unwrap(node) instanceof z.ZodString
}

/** Every key's path, list items as 0. */
export function allKeyPaths(path: Path = []): readonly Path[] {
  if (isListAt(path)) return allKeyPaths([...path, 0])
  return keysAt(path).flatMap((key) => [[...path, key], ...allKeyPaths([...path, key])])
}

/**
 * What the writer of the unknown `key` in the map at `path` may have meant: the nearest key there,
 * or else the place where that key belongs.
 */
export function suggestKey(path: Path, key: string): string | undefined {
  const near = nearest(key, keysAt(path))
  if (near !== undefined) return near
  const elsewhere = allKeyPaths().find((known) => known.at(-1) === key)
  return elsewhere?.map((step) => (step === 0 ? '<n>' : step)).join('.')
}

/** The candidate with the fewest typing mistakes, if they are few; upper and lower case are one. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > MAX_COMPARED) return undefined
  const scored = candidates.map((candidate) => ({
    candidate,
    mistakes: distance(word.toLowerCase(), candidate.toLowerCase()),
  }))
  const best = scored.sort((a, b) => a.mistakes - b.mistakes)[0]
  if (best === undefined) return undefined
  const allowed = Math.max(1, Math.floor(Math.max(word.length, best.candidate.length) / 3))
  return best.mistakes <= allowed ? best.candidate : undefined
}

/** Levenshtein's, row by row; two swapped letters count as two. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      const shifted = Math.min(previous[column] ?? 0, current[column - 1] ?? 0) + 1
      current.push(Math.min(replaced, shifted))
    }
    previous = current
  }
  return previous[b.length] ?? 0
}

function childOf(node: z.ZodType, step: string | number): z.ZodType | undefined {
  if (typeof step === 'number') return itemOf(node)
  const shape = shapeOf(node)
  return shape !== undefined && Object.hasOwn(shape, step) ? shape[step] : undefined
}

function shapeOf(node: z.ZodType): Readonly<Record<string, z.ZodType>> | undefined {
  const inner = unwrap(node)
  return inner instanceof z.ZodObject ? (inner.shape as Record<string, z.ZodType>) : undefined
}

/** Of a list, or of the list among alternatives. */
function itemOf(node: z.ZodType): z.ZodType | undefined {
  const inner = unwrap(node)
  const alternatives = inner instanceof z.ZodUnion ? (inner.options as z.ZodType[]) : [inner]
  const list = alternatives.find((alternative) => alternative instanceof z.ZodArray)
  return list instanceof z.ZodArray ? (list.element as z.ZodType) : undefined
}

function unwrap(node: z.ZodType): z.ZodType {
  if (node instanceof z.ZodOptional || node instanceof z.ZodNullable) {
    return unwrap(node.unwrap() as z.ZodType)
  }
  return node
}
