import { readEntries } from './entries.ts'
import { readImage } from './image-text.ts'
import type { DocumentParser } from './parser.ts'
import { type At, get, isList, isString, itemsOf, stringOf } from './tree.ts'

/** `images: [{image: …}]`: Images.lock of charts, imgpkg's, and what `larder images -o json` says. */
export const imagesLock: DocumentParser = {
  form: 'an images.lock',
  recognises(root) {
    const images = get(root, 'images')
    if (images === undefined || get(root, 'services') !== undefined) return false
    return stringOf(get(root, 'kind')) === 'ImagesLock' || areEntries(images)
  },
  read: (root, findings) => readEntries(get(root, 'images'), 'image', findings),
}

/** A list of images that is YAML or JSON as a whole. */
export const imageSequence: DocumentParser = {
  form: 'a YAML or JSON list of images',
  recognises: (root) => isList(root) && areEntries(root),
  read: (root, findings) => readEntries(root, 'image', findings),
}

function areEntries(list: At): boolean {
  const items = itemsOf(list)
  return items.length > 0 && items.every((item) => isString(get(item, 'image')) || isImage(item))
}

function isImage(item: At): boolean {
  return isString(item) && readImage(item.node.text) !== undefined
}
