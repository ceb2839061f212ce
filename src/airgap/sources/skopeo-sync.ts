import type { Findings } from './findings.ts'
import type { DocumentParser } from './parser.ts'
import { type At, entriesOf, get, isList, isMap, itemsOf, scalarOf, spotOf } from './tree.ts'

const BY_RULE = ['images-by-tag-regex', 'images-by-semver']

/** https://github.com/containers/skopeo/blob/main/docs/skopeo-sync.1.md "YAML file content" */
export const skopeoSync: DocumentParser = {
  form: 'the YAML of skopeo sync',
  recognises(root) {
    const registries = entriesOf(root)
    return registries.length > 0 && registries.every(([host, value]) => isRegistry(host, value))
  },
  read(root, findings) {
    for (const [host, registry] of entriesOf(root)) {
      for (const [repository, tags] of entriesOf(get(registry, 'images'))) {
        readTags(`${host}/${repository}`, tags, findings)
      }
      for (const rule of BY_RULE) {
        for (const [, value] of entriesOf(get(registry, rule))) {
          findings.note('warning', 'tags by a rule are not read: list them', spotOf(value))
        }
      }
    }
  },
}

function isRegistry(host: string, value: At): boolean {
  const isHost = /^[\w.-]+(?::\d+)?$/.test(host) && (/[.:]/.test(host) || host === 'localhost')
  return isHost && ['images', ...BY_RULE].some((key) => isMap(get(value, key)))
}

function readTags(name: string, tags: At, findings: Findings): void {
  const items = itemsOf(tags)
  if (items.length === 0 || !isList(tags)) {
    findings.note('warning', 'all its tags: they are not read: list them', spotOf(tags))
    return
  }
  for (const item of items) {
    const tag = scalarOf(item) ?? ''
    const mark = tag.includes(':') ? '@' : ':'
    findings.image(`${name}${mark}${tag}`, spotOf(item), { written: tag })
  }
}
