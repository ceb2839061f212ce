/** A YAML or JSON document that is the text of a value, such as a ConfigMap's. */
import type { Findings } from './findings.ts'
import { type At, spotOf, type TreeScalar } from './tree.ts'
import { yamlDocuments } from './yaml.ts'

/** Kubernetes takes no object that is larger. */
const MAX_EMBEDDED = 1_048_576

export interface Embedded {
  readonly roots: readonly At[]
  /** For what is found in them: places are those of the text around. */
  readonly findings: Findings
}

/** @returns undefined when it is not one, or too large to be one */
export function readEmbedded(value: At<TreeScalar>, findings: Findings): Embedded | undefined {
  const { text } = value.node
  if (text.length > MAX_EMBEDDED) return undefined
  const documents = [...yamlDocuments(text)]
  if (documents.some(({ problems }) => problems.some(({ level }) => level === 'error'))) {
    return undefined
  }
  const roots = documents
    .flatMap(({ root }) => (root === undefined ? [] : [root]))
    .filter(({ kind }) => kind !== 'scalar')
    .map((node) => ({ node, path: '' }))
  return roots.length === 0 ? undefined : { roots, findings: findings.within(spotOf(value)) }
}
