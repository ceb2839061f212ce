import { type Gathered, gather } from '../airgap/sources/gather.ts'
import { readSource, type SourceFound } from '../airgap/sources.ts'
import { type Opened, SourceFiles, type SourceSurroundings } from './source-files.ts'

/** What the sources of a command name together, and how well they could be read. */
export interface SourceImages extends Gathered {
  /** Whether something could not be read, so that images may be missing. */
  readonly hasErrors: boolean
  /** Whether anything could be read at all. */
  readonly hasSources: boolean
}

/**
 * What `SOURCE…` on a command line means: files, folders, `-` for standard input, images themselves.
 * Never throws for what a source says.
 */
export async function readImages(
  names: readonly string[],
  surroundings: SourceSurroundings,
): Promise<SourceImages> {
  const found: SourceFound[] = []
  for await (const opened of new SourceFiles(surroundings).open(names)) found.push(read(opened))
  const gathered = gather(found)
  const hasSources = found.some(isRead)
  const hasErrors = !hasSources || gathered.notes.some(({ level }) => level === 'error')
  return { ...gathered, hasErrors, hasSources }
}

function read(opened: Opened): SourceFound {
  switch (opened.kind) {
    case 'source':
      return readSource(opened.source)
    case 'image':
      return { ...opened.found, isKnown: true }
    case 'note':
      return { images: [], notes: [opened.note], isKnown: false }
    default:
      return opened satisfies never
  }
}

function isRead({ images, notes, isKnown }: SourceFound): boolean {
  return isKnown && (images.length > 0 || notes.every(({ level }) => level !== 'error'))
}
