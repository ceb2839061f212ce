import type { Surroundings } from '../config/surroundings.ts'
import type { Digest } from '../oci/digest.ts'
import type { PlanAnswer } from './export-plan.ts'
import { count, formatBytes, formatDuration } from './format.ts'
import type { WrittenFile } from './volumes-writing.ts'

/** What has become of an export. */
export interface Exported {
  readonly images: number
  /** Contents that are in it. */
  readonly blobs: number
  /** Of the plain tar. */
  readonly bytes: number
  /** ISO time. */
  readonly contentAt: string
  /** Of the bundle; `undefined`: none was made. */
  readonly id: Digest | undefined
  readonly base: { readonly id: string; readonly blobs: readonly string[] } | undefined
  readonly files: readonly WrittenFile[]
  readonly seconds: number | undefined
}

/** What would become of it. */
export function planned({ bundle, images, blobs, bytes }: PlanAnswer): Exported {
  const { contentAt, base } = bundle
  return { images, blobs, bytes, contentAt, base, id: undefined, files: [], seconds: undefined }
}

/** To standard output. */
export function printExported(
  exported: Exported,
  {
    plan,
    format,
    io,
  }: {
    readonly plan: PlanAnswer
    readonly format: 'table' | 'json'
    readonly io: Pick<Surroundings, 'stdout'>
  },
): void {
  const { leftOut } = plan
  const lines =
    format === 'json'
      ? [JSON.stringify({ ...exported, leftOut }, undefined, 2)]
      : [...table(exported), ...leftOutLines(leftOut.length)]
  for (const line of lines) io.stdout.write(`${line}\n`)
}

function table({ images, blobs, bytes, id, base, files, seconds }: Exported): readonly string[] {
  const time = seconds === undefined ? ' to write' : `; ${formatDuration(seconds)}`
  const needs =
    base === undefined
      ? []
      : [`needs ${base.id} imported before: ${count(base.blobs.length, 'content')} left out`]
  return [
    `${count(images, 'image')}, ${count(blobs, 'content')}, ${formatBytes(bytes)}${time}`,
    ...files.map(({ path, bytes }) => `${path}  ${formatBytes(bytes)}`),
    ...(id === undefined ? [] : [`bundle ${id}`]),
    ...needs,
  ]
}

function leftOutLines(leftOut: number): readonly string[] {
  return leftOut === 0 ? [] : [`${count(leftOut, 'image')} left out: not whole here`]
}
