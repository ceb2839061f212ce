/** Whether what is written can be read: WCAG 2.2, 1.4.3 and 1.4.11. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

const BASE = join(import.meta.dirname, '../../src/page/base.css')
/** What is text, and on what it may stand. */
const TEXTS = [
  ['text', ['ground', 'surface', 'sunken', 'accent-wash', 'warn-wash', 'bad-wash']],
  ['soft', ['ground', 'surface', 'sunken']],
  ['accent-ink', ['accent']],
  ['warn', ['surface', 'warn-wash']],
  ['bad', ['surface', 'bad-wash']],
  ['ground', ['text']],
] as const
/** What is no text, but says something. */
const MARKS = [
  ['ok', ['ground', 'surface']],
  ['warn', ['surface']],
  ['bad', ['surface']],
  ['chart-1', ['surface']],
  ['chart-3', ['surface']],
  ['focus', ['ground', 'surface']],
] as const

async function colors(): Promise<ReadonlyMap<string, readonly [light: string, dark: string]>> {
  const css = await readFile(BASE, 'utf8')
  const found = css.matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);/g)
  return new Map([...found].map(([, name = '', light = '', dark = '']) => [name, [light, dark]]))
}

/** https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio */
function contrast(one: string, other: string): number {
  const [high = 0, low = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a)
  return (high + 0.05) / (low + 0.05)
}

function luminance(color: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5]
    .map((at) => Number.parseInt(color.slice(at, at + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

test('what is written and what is meant can be told from its ground, in both themes', async () => {
  const all = await colors()
  assert.ok(all.size >= 18)
  for (const [least, pairs] of [
    [4.5, TEXTS],
    [3, MARKS],
  ] as const) {
    for (const [name, grounds] of pairs) {
      for (const ground of grounds) {
        for (const theme of [0, 1] as const) {
          const found = contrast(all.get(name)?.[theme] ?? '', all.get(ground)?.[theme] ?? '')
          assert.ok(found >= least, `${name} on ${ground}, theme ${theme}: ${found.toFixed(2)}`)
        }
      }
    }
  }
})
