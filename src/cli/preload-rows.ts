import { formatBytes, formatDuration } from './format.ts'
import type { PreloadedLine, PreloadProgress } from './preload-run.ts'

const BAR = 20
/** `sha256:` and enough to tell one from the other. */
const DIGEST = 19

/** What a preload has under way, as rows of a terminal. */
export class PreloadRows {
  readonly #images = new Set<string>()

  image({ image, state }: PreloadedLine): void {
    if (state === 'fetching') this.#images.add(image)
    else this.#images.delete(image)
  }

  /** One row for each image that is under way, and below it one for each of its contents. */
  of({ active }: PreloadProgress): readonly string[] {
    return [...this.#images].flatMap((image) => {
      const contents = active.filter((one) => one.image === image)
      return [
        image,
        ...contents.map(({ digest, bytes, totalBytes }) => {
          const sizes = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`
          return `  ${digest.slice(0, DIGEST)}  ${bar(bytes, totalBytes)}  ${sizes}`
        }),
      ]
    })
  }

  /** `3 of 50 images, 120 MiB of 1.2 GiB, 35 MiB/s, 31 s left` */
  totals({ images, imagesDone, bytes, totalBytes, bytesPerSecond }: PreloadProgress): string {
    const sizes = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`
    const rate = `${formatBytes(bytesPerSecond)}/s`
    const left = bytesPerSecond > 0 ? (totalBytes - bytes) / bytesPerSecond : undefined
    // Until all images are known there is more to come than anybody knows of.
    const isKnown = imagesDone + this.#images.size >= images
    const time = left === undefined || !isKnown ? '' : `, ${formatDuration(left)} left`
    return `${imagesDone} of ${images} images, ${sizes}, ${rate}${time}`
  }
}

function bar(bytes: number, totalBytes: number): string {
  const share = totalBytes === 0 ? 0 : Math.min(1, bytes / totalBytes)
  const filled = Math.floor(share * BAR)
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}]`
}
