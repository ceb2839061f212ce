/** What commands on lists of images have in common: where the list comes from, and what of it. */
import { type Command, InvalidArgumentError } from 'commander'

import type { Surroundings } from '../config/surroundings.ts'
import { formatPlatform, parsePlatform } from '../oci/platform.ts'
import { ExitError } from './exit.ts'
import { noteLines } from './images.ts'
import { readImages } from './source-images.ts'

const EXIT_USAGE = 2

export interface ImageOptions {
  readonly platform?: readonly string[]
  readonly referrers?: true
  readonly maybe?: true
}

export interface NamedImages {
  readonly names: readonly string[]
  /** Something could not be read: images may be missing. */
  readonly isPartial: boolean
}

export const SOURCES_HELP = `
A source is a file, a folder, - for standard input, or an image: what larder images reads.`

export function addImageOptions(command: Command): Command {
  return command
    .option(
      '--platform <platform>',
      'only these of multi-platform images, such as linux/arm64; may be repeated',
      collectPlatform,
    )
    .option('--referrers', 'also what points at the images: signatures, attestations, SBOMs')
    .option('--maybe', 'also what may be an image in arguments and variables')
}

/**
 * What is wrong with the sources goes to standard error.
 *
 * @throws {ExitError} 2 when they name no image at all
 */
export async function readNames(
  sources: readonly string[],
  { maybe }: ImageOptions,
  io: Surroundings,
  stdin: AsyncIterable<Uint8Array>,
): Promise<NamedImages> {
  const found = await readImages(sources, { cwd: io.cwd, stdin })
  for (const line of noteLines(found.notes)) io.stderr.write(`${line}\n`)
  const named = maybe === true ? [...found.images, ...found.maybe] : found.images
  if (named.length === 0) throw new ExitError(EXIT_USAGE, 'no image is named')
  return { names: named.map(({ name }) => name), isPartial: found.hasErrors }
}

/** What the API is asked. */
export function imagesRequest(
  names: readonly string[],
  { platform, referrers }: ImageOptions,
): object {
  return {
    images: names,
    ...(platform === undefined ? {} : { platforms: platform }),
    ...(referrers === true ? { referrers } : {}),
  }
}

function collectPlatform(text: string, before: readonly string[] = []): readonly string[] {
  const platforms = text.split(',').map((one) => {
    const platform = parsePlatform(one.trim())
    if (platform !== undefined) return formatPlatform(platform)
    throw new InvalidArgumentError('expected a platform such as linux/amd64 or linux/arm/v7.')
  })
  return [...before, ...platforms]
}
