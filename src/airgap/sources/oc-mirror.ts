import { readEntries } from './entries.ts'
import { type DocumentParser, isOfGroup } from './parser.ts'
import { entriesOf, get, getIn, spotOf, stringOf } from './tree.ts'

/** https://github.com/openshift/oc-mirror: what needs a release or an operator's catalog is not read. */
export const ocMirror: DocumentParser = {
  form: 'an ImageSetConfiguration of oc-mirror',
  recognises: (root) =>
    stringOf(get(root, 'kind')) === 'ImageSetConfiguration' ||
    isOfGroup(stringOf(get(root, 'apiVersion')), 'mirror.openshift.io'),
  read(root, findings) {
    for (const [key, value] of entriesOf(get(root, 'mirror'))) {
      if (key === 'additionalImages') continue
      findings.note('warning', 'not read: only additionalImages is', spotOf(value))
    }
    readEntries(getIn(root, 'mirror', 'additionalImages'), 'name', findings)
  },
}
