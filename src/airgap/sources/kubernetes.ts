import type { Findings } from './findings.ts'
import { KubernetesWalk } from './kubernetes-walk.ts'
import type { DocumentParser } from './parser.ts'
import { type At, get, getIn, itemsOf, spotOf, stringOf } from './tree.ts'

/** Manifests, rendered charts, and what `kubectl get -o yaml|json` prints. */
export const kubernetes: DocumentParser = {
  form: 'Kubernetes YAML or JSON',
  recognises: (root) =>
    stringOf(get(root, 'apiVersion')) !== undefined && stringOf(get(root, 'kind')) !== undefined,
  read: readObject,
}

function readObject(root: At, findings: Findings): void {
  const items = get(root, 'items')
  if (items !== undefined && stringOf(get(root, 'kind'))?.endsWith('List')) {
    for (const item of itemsOf(items)) readObject(item, findings)
    return
  }
  const kind = stringOf(get(root, 'kind')) ?? 'object'
  const title = `${kind}/${stringOf(getIn(root, 'metadata', 'name')) ?? '?'}`
  if (isTest(root)) {
    findings.note('note', 'a test of its chart: left out', spotOf({ ...root, path: title }))
    return
  }
  // What would be shown of a secret is shown to whoever reads the list.
  if (kind === 'Secret') return
  // What is in one is for some program, which may or may not pull it.
  const certainty = kind === 'ConfigMap' ? 'maybe' : 'sure'
  new KubernetesWalk(findings, { certainty }).visit({ node: root.node, path: `${title} ` })
}

/** https://helm.sh/docs/topics/chart_tests/: what only `helm test` runs. */
function isTest(root: At): boolean {
  const hooks = stringOf(get(getIn(root, 'metadata', 'annotations'), 'helm.sh/hook'))
  if (hooks === undefined) return false
  return hooks.split(',').every((hook) => /^test(?:-success|-failure)?$/.test(hook.trim()))
}
