import type { Findings } from './findings.ts'
import type { Certainty } from './mention.ts'
import { type DocumentParser, isOfGroup } from './parser.ts'
import { type At, get, isMap, itemsOf, keysOf, scalarOf, spotOf, stringOf } from './tree.ts'

/** Of which at least one is in a kustomization that does not say its kind. */
const FIELDS = ['resources', 'bases', 'components', 'patches', 'patchesStrategicMerge']

/** https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/ */
export const kustomize: DocumentParser = {
  form: 'a kustomization',
  recognises(root) {
    if (isOfGroup(stringOf(get(root, 'apiVersion')), 'kustomize.config.k8s.io')) return true
    if (get(root, 'kind') !== undefined || get(root, 'apiVersion') !== undefined) return false
    const keys = keysOf(root)
    return areRenames(get(root, 'images')) || FIELDS.some((field) => keys.includes(field))
  },
  read(root, findings) {
    for (const image of itemsOf(get(root, 'images'))) readRename(image, 'sure', findings)
    if (!keysOf(root).some((key) => FIELDS.includes(key))) return
    const message = 'resources are not built: for them use kustomize build DIR | larder images -'
    findings.note('note', message, spotOf(root))
  },
}

/** The same list in other resources. @returns whether it is one */
export function readRenames(
  list: At | undefined,
  certainty: Certainty,
  findings: Findings,
): boolean {
  if (!areRenames(list)) return false
  for (const image of itemsOf(list)) readRename(image, certainty, findings)
  return true
}

function areRenames(list: At | undefined): boolean {
  const items = itemsOf(list)
  return items.length > 0 && items.every(isRename)
}

function isRename(item: At): boolean {
  const hasChange = ['newName', 'newTag', 'digest'].some((key) => get(item, key) !== undefined)
  return isMap(item) && hasChange && stringOf(get(item, 'name')) !== undefined
}

function readRename(image: At, certainty: Certainty, findings: Findings): void {
  const nameAt = get(image, 'newName') ?? get(image, 'name')
  const name = stringOf(nameAt)
  const tag = scalarOf(get(image, 'newTag'))
  const digest = scalarOf(get(image, 'digest'))
  if (nameAt === undefined || name === undefined) {
    findings.note('error', 'an image without a name', spotOf(image))
  } else if (tag === undefined && digest === undefined) {
    findings.note('warning', 'keeps the tag of its resources: left out', spotOf(image))
  } else {
    const suffix = (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`)
    findings.image(name + suffix, spotOf(nameAt), { certainty, written: name })
  }
}
