import type { Findings } from './findings.ts'
import { readImage, whyNoImage } from './image-text.ts'
import { interpolate } from './interpolation.ts'
import type { DocumentParser, Help } from './parser.ts'
import {
  type At,
  entriesOf,
  get,
  isMap,
  isString,
  itemsOf,
  keysOf,
  spotOf,
  stringOf,
  type TreeScalar,
} from './tree.ts'

/** What a service of Compose has besides, or instead of, an image. */
const SERVICE_KEYS = ['build', 'extends', 'provider']

/** https://github.com/compose-spec/compose-spec/blob/main/spec.md */
export const compose: DocumentParser = {
  form: 'a Compose file',
  recognises(root) {
    const services = entriesOf(get(root, 'services'))
    const isNamed = ['kind', 'apiVersion'].some((key) => get(root, key) !== undefined)
    if (isNamed || services.length === 0) return false
    return services.some(([, one]) => isService(one))
  },
  read(root, findings, { variables }) {
    const include = get(root, 'include')
    if (include !== undefined) {
      findings.note('warning', 'included files are not read: name them, too', spotOf(include))
    }
    for (const [, service] of entriesOf(get(root, 'services'))) {
      if (isMap(service)) readService(service, findings, { variables })
    }
  },
}

function isService(one: At): boolean {
  return isString(get(one, 'image')) || SERVICE_KEYS.some((key) => keysOf(one).includes(key))
}

function readService(service: At, findings: Findings, help: Help): void {
  const image = get(service, 'image')
  const hasBuild = get(service, 'build') !== undefined
  if (hasBuild && stringOf(get(service, 'pull_policy')) === 'build') {
    findings.note('note', 'is always built: left out', spotOf(service))
  } else if (isString(image)) {
    readValue(image, platformOf(service, help), findings, help)
  } else if (hasBuild) {
    findings.note('note', 'is built and has no image: left out', spotOf(service))
  } else if (get(service, 'extends') !== undefined) {
    findings.note('warning', 'takes its image from another service', spotOf(service))
  }
  for (const volume of itemsOf(get(service, 'volumes'))) {
    const source = get(volume, 'source')
    if (stringOf(get(volume, 'type')) === 'image' && isString(source)) {
      readValue(source, undefined, findings, help)
    }
  }
}

function platformOf(service: At, { variables }: Help): string | undefined {
  const platform = interpolate(stringOf(get(service, 'platform')) ?? '', variables)?.text
  return platform === '' ? undefined : platform
}

function readValue(
  image: At<TreeScalar>,
  platform: string | undefined,
  findings: Findings,
  { variables }: Help,
): void {
  const written = image.node.text
  const spot = spotOf(image)
  const filled = interpolate(written, variables)
  if (filled === undefined) {
    findings.note('error', 'a variable that is not written as $NAME or in braces', spot)
    return
  }
  const { text, unset, missing } = filled
  const names = [...new Set([...unset, ...missing])].join(', ')
  // Compose goes on with nothing in the variable's place, and so may still have an image.
  if (missing.length > 0 || (unset.length > 0 && readImage(text) === undefined)) {
    findings.note('error', `${names}: not set in the .env beside it, and no default`, spot)
    return
  }
  if (unset.length > 0) findings.note('warning', `${names}: not set, taken for nothing`, spot)
  if (!findings.tryImage(text, spot, { platform, written })) {
    const message =
      text === written ? whyNoImage(text) : 'no image once its variables are filled in'
    findings.note('error', message, spot)
  }
}
