import { readEmbedded } from './embedded.ts'
import { readEntries } from './entries.ts'
import type { Findings } from './findings.ts'
import type { DocumentParser } from './parser.ts'
import { type At, get, isString, keysOf, spotOf, stringOf } from './tree.ts'

/** Of Helm, of Bitnami's charts, and of Artifact Hub: each a list in a text, with `image`. */
const ANNOTATIONS = ['helm.sh/images', 'images', 'artifacthub.io/images']

/** https://helm.sh/docs/topics/charts/#the-chartyaml-file */
export const chart: DocumentParser = {
  form: "a chart's Chart.yaml",
  recognises: (root) =>
    /^v[12]$/.test(stringOf(get(root, 'apiVersion')) ?? '') &&
    ['name', 'version'].every((key) => get(root, key) !== undefined) &&
    get(root, 'kind') === undefined,
  read(root, findings) {
    const annotations = get(root, 'annotations')
    const known = ANNOTATIONS.filter((name) => keysOf(annotations).includes(name))
    for (const name of known) readAnnotation(get(annotations, name), findings)
    if (known.length > 0) return
    const message =
      'no annotation names images: render it: helm template NAME CHART | larder images -'
    findings.note('warning', message, spotOf(root))
  },
}

function readAnnotation(value: At | undefined, findings: Findings): void {
  if (value === undefined) return
  if (!isString(value)) {
    readEntries(value, 'image', findings)
    return
  }
  const embedded = readEmbedded(value, findings)
  if (embedded === undefined) findings.note('error', 'not a list of images', spotOf(value))
  else for (const root of embedded.roots) readEntries(root, 'image', embedded.findings)
}
