import { readFileSync } from 'node:fs'

import { Command, Option } from 'commander'

const EXAMPLES = `
Examples:
  larder version
  larder version -o json`

export interface Version {
  readonly larder: string
}

/** The version of package.json, which is two folders up from `src/cli` and from `dist/cli`. */
export function readVersion(): Version {
  const file = new URL('../../package.json', import.meta.url)
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string }
  return { larder: version }
}

/** `larder version` */
export function versionCommand(version: Version): Command {
  return new Command('version')
    .description('print the version')
    .addOption(new Option('-o, --output <format>').choices(['table', 'json']).default('table'))
    .addHelpText('after', EXAMPLES)
    .action(({ output }: { output: string }) => {
      const { larder } = version
      const node = process.version
      const text =
        output === 'json' ? JSON.stringify({ larder, node }) : `larder ${larder} (node ${node})`
      process.stdout.write(`${text}\n`)
    })
}
