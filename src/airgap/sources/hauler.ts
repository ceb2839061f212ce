import type { Findings } from './findings.ts'
import { isHostedRegistry } from './image-text.ts'
import { type DocumentParser, isOfGroup } from './parser.ts'
import { type At, get, getIn, itemsOf, spotOf, stringOf } from './tree.ts'

/** https://docs.hauler.dev/docs/hauler-usage/store/sync: `Images`; other kinds name no image. */
export const hauler: DocumentParser = {
  form: "hauler's Images",
  recognises(root) {
    const apiVersion = stringOf(get(root, 'apiVersion'))
    return ['content', 'collection'].some((one) => isOfGroup(apiVersion, `${one}.hauler.cattle.io`))
  },
  read(root, findings) {
    const kind = stringOf(get(root, 'kind')) ?? ''
    if (kind !== 'Images') {
      findings.note('warning', `what is of kind ${kind} is not read`, spotOf(root))
      return
    }
    for (const image of itemsOf(getIn(root, 'spec', 'images'))) readEntry(image, root, findings)
  },
}

function readEntry(image: At, root: At, findings: Findings): void {
  const name = get(image, 'name')
  const text = stringOf(name)
  if (name === undefined || text === undefined) {
    findings.note('error', 'an image without a name', spotOf(image))
    return
  }
  const annotations = getIn(root, 'metadata', 'annotations')
  const said = (key: string) => stringOf(get(annotations, `hauler.dev/${key}`))
  const registry = said('registry')
  const isBare = registry !== undefined && registry !== '' && !isHostedRegistry(text)
  const platform = stringOf(get(image, 'platform')) ?? said('platform')
  findings.image(isBare ? `${registry}/${text}` : text, spotOf(name), { platform, written: text })
}
