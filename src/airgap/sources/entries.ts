import type { Findings } from './findings.ts'
import { type At, get, isString, itemsOf, spotOf } from './tree.ts'

/** A list of images as texts, or of maps with the image under `key`. */
export function readEntries(list: At | undefined, key: string, findings: Findings): void {
  for (const item of itemsOf(list)) {
    const image = isString(item) ? item : get(item, key)
    if (isString(image)) findings.image(image.node.text, spotOf(image))
    else findings.note('error', `no ${key} here`, spotOf(item))
  }
}
