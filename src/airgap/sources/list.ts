import type { Findings, Spot } from './findings.ts'
import { readImage } from './image-text.ts'

const PLATFORM = /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/
/** What kubeadm prints besides the images. */
const KLOG = /^[IWEF]\d{4} \d\d:\d\d:\d\d\./

interface Line {
  readonly image: string
  readonly platform: string | undefined
  /** Whether something stood behind the image that was not understood. */
  readonly hasMore: boolean
  readonly spot: Spot
}

/**
 * One image a line, as the lists of k3s, RKE2, Rancher, kubeadm, k0s and hauler have it: comments,
 * blank lines, and perhaps a second column: a platform, or as `source=target` (oc-mirror) where to
 * it is copied.
 *
 * @returns whether it is such a list: most of what it says are images
 */
export function readList(text: string, findings: Findings): boolean {
  const lines = [...linesOf(text)]
  const good = lines.filter(({ image }) => readImage(image) !== undefined)
  if (good.length * 2 < lines.length || good.length === 0) return false
  for (const { image, platform, spot } of lines) findings.image(image, spot, { platform })
  const more = lines.find(({ hasMore }) => hasMore)
  if (more !== undefined) {
    findings.note('note', 'what stands behind the image is neither a platform nor read', more.spot)
  }
  return true
}

function* linesOf(text: string): Generator<Line, void, undefined> {
  let offset = 0
  for (const whole of text.split('\n')) {
    const start = offset
    offset += whole.length + 1
    const line = whole.replace(/(?:^|\s)#.*$/s, '').trimEnd()
    const body = line.trimStart()
    if (body === '' || KLOG.test(body)) continue
    const begin = start + line.length - body.length
    yield lineOf(body, { offset: begin, end: begin + body.length, path: '' })
  }
}

function lineOf(body: string, spot: Spot): Line {
  const [first = '', second, ...rest] = body.split(/\s+/)
  // Prose is not a list, however much its words look like images.
  if (rest.length > 0) return { image: body, platform: undefined, hasMore: false, spot }
  const [image = '', target] = first.split('=', 2)
  const isMapping = target !== undefined && readImage(target) !== undefined
  const platform = second !== undefined && PLATFORM.test(second) ? second : undefined
  const hasMore = second !== undefined && platform === undefined && readImage(second) === undefined
  return { image: isMapping ? image : first, platform, hasMore, spot }
}
