/** Reads sources, and says what was found so that a test can compare it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Found, ImageMention, Where } from '../../../src/airgap/sources/mention.ts'
import { readSource, type SourceFound } from '../../../src/airgap/sources.ts'
import { formatImageReference } from '../../../src/oci/reference.ts'

export const FIXTURES = join(import.meta.dirname, '../fixtures')

export const DIGEST_A = 'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'
export const DIGEST_B = 'sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d'

export function fixture(name: string): string {
  return readFileSync(join(FIXTURES, name), 'utf8').replace(/^\ufeff/, '')
}

export function read(text: string, dotEnv?: string): SourceFound {
  return readSource({ name: 'file', text, ...(dotEnv === undefined ? {} : { dotEnv }) })
}

export function readFixture(name: string): SourceFound {
  return readSource({ name, text: fixture(name) })
}

export function nameOf({ reference }: ImageMention): string {
  return formatImageReference(reference)
}

export function sure({ images }: Found): string[] {
  return images.filter(({ certainty }) => certainty === 'sure').map(nameOf)
}

export function maybe({ images }: Found): string[] {
  return images.filter(({ certainty }) => certainty === 'maybe').map(nameOf)
}

/** `level line:column path message`, without what is absent. */
export function notes(found: Found): string[] {
  return found.notes.map(({ level, where: { line, column, path }, message }) => {
    const place = line === undefined ? undefined : `${line}:${column}`
    return [level, place, path?.trim(), message].filter((part) => part !== undefined).join(' ')
  })
}

/** What the text says from that place on. */
export function textFrom(text: string, { line = 1, column = 1 }: Where): string {
  return text
    .split('\n')
    .slice(line - 1)
    .join('\n')
    .slice(column - 1)
}
