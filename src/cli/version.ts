import { existsSync, readFileSync } from 'node:fs'

import { Command, Option } from 'commander'

const EXAMPLES = `
Examples:
  larder version
  larder version -o json`

export interface Version {
  readonly larder: string
  /** The commit that the image was built of. */
  readonly revision?: string | undefined
}

/** The version of package.json, which is two folders up from `src/cli` and from `dist/cli`. */
export function readVersion(): Version {
  const file = new URL('../../package.json', import.meta.url)
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string }
  return { larder: version, revision: readRevision() }
}

/** Only an image says so: in a file beside package.json. */
function readRevision(): string | undefined {
  const file = new URL('../../revision', import.meta.url)
  const text = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
  return text === '' || text === 'unknown' ? undefined : text
}

/** `larder version` */
export function versionCommand(version: Version): Command {
  return new Command('version')
    .description('print the version')
    .addOption(new Option('-o, --output <format>').choices(['table', 'json']).default('table'))
    .addHelpText('after', EXAMPLES)
    .action(({ output }: { output: string }) => {
      const { larder, revision } = version
      const node = process.version
      const of = revision === undefined ? '' : `revision ${revision}, `
      const text =
        output === 'json'
          ? JSON.stringify({ larder, revision, node })
          : `larder ${larder} (${of}node ${node})`
      process.stdout.write(`${text}\n`)
    })
}
