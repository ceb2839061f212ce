import type { Findings } from './findings.ts'
import type { At } from './tree.ts'

/** What stands beside a source and is needed to read it. */
export interface Help {
  /** Variables of a `.env` file in the same folder. */
  readonly variables: ReadonlyMap<string, string>
}

/** One form in which a YAML or JSON document names images. */
export interface DocumentParser {
  /** For messages, such as `a Compose file`. */
  readonly form: string
  /** By what the document says, never by the name of its file. */
  recognises(root: At): boolean
  read(root: At, findings: Findings, help: Help): void
}

/** `apiVersion` of such a group, such as `zarf.dev`; whatever the version. */
export function isOfGroup(apiVersion: string | undefined, group: string): boolean {
  return apiVersion?.startsWith(`${group}/`) === true
}
