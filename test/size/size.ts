/**
 * `npm run size [-- [--sources] [--rows] BLOBS...]`: what so many blobs cost, in time and memory. Files,
 * rows and a Larder in a process of its own, that of `npm run build`, as the image has it; with
 * `--sources` the sources, whose types are stripped as they are loaded; with `--rows` the database alone. Figures go to standard output, progress to standard error.
 */
import { parseArgs } from 'node:util'

import { describeMachine } from '../bench/machine.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { measureSize } from './measure.ts'
import { formatRows, formatSizes } from './report.ts'
import { measureRows } from './rows.ts'
import { BUILT, SOURCES } from './site.ts'

const SIZES = ['1000', '10000', '100000']

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sources: { type: 'boolean', default: false },
    rows: { type: 'boolean', default: false },
  },
})
const sizes = (positionals.length > 0 ? positionals : SIZES).map(Number)
if (!sizes.every((size) => Number.isInteger(size) && size >= 100)) {
  throw new RangeError('BLOBS is a whole number from 100')
}

/** One size after the other. */
async function measured<T>(measure: (blobs: number) => Promise<T>): Promise<readonly T[]> {
  const results: T[] = []
  for (const size of sizes) {
    process.stderr.write(`${size} blobs\n`)
    results.push(await measure(size))
  }
  return results
}

async function rowsOf(blobs: number) {
  await using dir = await makeTempDir('larder-rows-')
  return await measureRows(dir.path, blobs)
}

const main = values.sources ? SOURCES : BUILT
const output = values.rows
  ? formatRows(await measured(rowsOf))
  : formatSizes(await measured((blobs) => measureSize(main, blobs)))
process.stdout.write(`${describeMachine().slice(0, 3).join('\n')}\n\n${output}`)
