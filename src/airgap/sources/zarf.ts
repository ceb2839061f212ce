import type { Findings } from './findings.ts'
import type { DocumentParser } from './parser.ts'
import { type At, get, getIn, isString, itemsOf, spotOf, stringOf } from './tree.ts'

const VARIABLE = /###ZARF_|\$\{|\[\[/

/** https://docs.zarf.dev/ref/create/: the images of each component, of every flavor. */
export const zarf: DocumentParser = {
  form: 'a zarf.yaml',
  recognises: (root) => stringOf(get(root, 'kind')) === 'ZarfPackageConfig',
  read(root, findings) {
    for (const component of itemsOf(get(root, 'components'))) {
      readComponent(component, stringOf(getIn(root, 'metadata', 'architecture')), findings)
    }
  },
}

function readComponent(component: At, architecture: string | undefined, findings: Findings): void {
  const arch = stringOf(getIn(component, 'only', 'cluster', 'architecture')) ?? architecture
  const platform = arch === undefined || arch === 'multi' ? undefined : `linux/${arch}`
  for (const item of itemsOf(get(component, 'images'))) {
    const image = isString(item) ? item : get(item, 'name')
    if (!isString(image)) findings.note('error', 'an image without a name', spotOf(item))
    else if (VARIABLE.test(image.node.text)) {
      findings.note('error', 'a variable that zarf fills in: write the image out', spotOf(image))
    } else findings.image(image.node.text, spotOf(image), { platform })
  }
  const imported = get(component, 'import')
  if (imported !== undefined) {
    findings.note('warning', 'a component of another package is not read', spotOf(imported))
  }
  const archives = get(component, 'imageArchives')
  if (archives !== undefined) {
    findings.note('warning', 'archives are not read here: use larder import', spotOf(archives))
  }
}
