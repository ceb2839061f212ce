/**
 * The variables of a `.env` file as Compose reads it: comments, `export`, quotes; what is not an
 * assignment is passed over. https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/
 */
export function parseDotEnv(text: string): ReadonlyMap<string, string> {
  const variables = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const [, name, rest = ''] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*[=:]\s*(.*)$/.exec(line) ?? []
    if (name !== undefined) variables.set(name, readValue(rest))
  }
  return variables
}

function readValue(rest: string): string {
  const quoted = /^(['"])(.*?)\1\s*(?:#.*)?$/.exec(rest)
  return quoted?.[2] ?? rest.replace(/(?:^|\s)#.*$/, '').trim()
}
