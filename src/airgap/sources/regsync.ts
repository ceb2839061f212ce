import type { Findings } from './findings.ts'
import type { DocumentParser } from './parser.ts'
import {
  type At,
  get,
  isString,
  itemsOf,
  scalarOf,
  spotOf,
  stringOf,
  type TreeScalar,
} from './tree.ts'

/** https://regclient.org/usage/regsync/: whole registries and patterns of tags are not read. */
export const regsync: DocumentParser = {
  form: 'the YAML of regsync',
  recognises: (root) =>
    itemsOf(get(root, 'sync')).some(
      (step) => get(step, 'source') !== undefined && get(step, 'type') !== undefined,
    ),
  read(root, findings) {
    for (const step of itemsOf(get(root, 'sync'))) readStep(step, findings)
  },
}

function readStep(step: At, findings: Findings): void {
  const source = get(step, 'source')
  if (!isString(source)) {
    findings.note('error', 'no source here', spotOf(step))
    return
  }
  const platform = stringOf(get(step, 'platform'))
  const type = stringOf(get(step, 'type'))
  if (type === 'image') findings.image(source.node.text, spotOf(source), { platform })
  else if (type === 'repository') readTags(source, step, platform, findings)
  else findings.note('warning', 'a whole registry is not read: list the images', spotOf(source))
}

/** Patterns: what has no sign of one is a tag; a dot in it is taken for a dot. */
function readTags(
  source: At<TreeScalar>,
  step: At,
  platform: string | undefined,
  findings: Findings,
): void {
  const allowed = itemsOf(get(get(step, 'tags'), 'allow'))
  for (const pattern of allowed) {
    const tag = scalarOf(pattern) ?? ''
    if (/^[\w.-]+$/.test(tag)) {
      const image = `${source.node.text}:${tag}`
      findings.image(image, spotOf(pattern), { platform, written: tag })
    } else findings.note('warning', 'tags by a pattern are not read: list them', spotOf(pattern))
  }
  if (allowed.length > 0) return
  findings.note('warning', 'all its tags: they are not read: list them', spotOf(source))
}
