import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const FILE = join(import.meta.dirname, 'RESULTS.md')

/** A part of RESULTS.md that a command writes; what stands under other headings is written by people. */
export interface Section {
  /** The first is the page's own: `# Figures`; the others follow it: `## Workers`. */
  readonly heading: string
  readonly command: string
}

export async function writeSection(section: Section, body: string): Promise<void> {
  await writeFile(FILE, withSection(await readFile(FILE, 'utf8'), section, body))
}

/** The page with this under the heading, in place of what was there; a new section follows the first. */
export function withSection(page: string, { heading, command }: Section, body: string): string {
  const text = `${heading}\n\nWritten by \`${command}\`.\n\n${body.trim()}`
  // Each begins with its heading.
  const parts = page.split(/^(?=#{1,2} )/m)
  const index = parts.findIndex((part) => part.startsWith(`${heading}\n`))
  const at = index === -1 ? 1 : index
  const before = parts.slice(0, at).join('').trimEnd()
  const after = parts
    .slice(index === -1 ? at : at + 1)
    .join('')
    .trimEnd()
  return `${[before, text, after].filter((part) => part !== '').join('\n\n')}\n`
}
