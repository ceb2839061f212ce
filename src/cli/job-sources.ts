import { Readable } from 'node:stream'

import type { SourcesRead } from '../airgap/jobs.ts'
import { noteLines } from './images.ts'
import { readImages } from './source-images.ts'

/** What the sources of a preload job name. Files have their whole paths in a configuration. */
export async function readJobSources(sources: readonly string[]): Promise<SourcesRead> {
  const stdin = Readable.from([])
  const { images, notes } = await readImages(sources, { cwd: process.cwd(), stdin })
  const problems = notes.filter(({ level }) => level === 'error')
  return { images: images.map(({ name }) => name), problems: noteLines(problems) }
}
