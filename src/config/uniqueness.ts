/** What there may be only one of. */
import { parseMatch } from './addresses.ts'
import { mapsIn } from './data.ts'
import type { Path } from './problems.ts'
import type { Fits, Report } from './rules.ts'
import type { ConfigInput } from './schema.ts'

/** Names of upstreams and jobs, matches, and the default upstream. */
export function checkUniqueness(config: ConfigInput, fits: Fits, report: Report): void {
  checkNames('upstreams', config.upstreams, fits, report)
  checkNames('preload', config.preload, fits, report)
  checkMatches(config, fits, report)
  checkDefault(config, report)
}

function checkNames(root: string, list: unknown, fits: Fits, report: Report): void {
  const owners = new Map<unknown, number>()
  for (const [index, { name }] of mapsIn(list)) {
    const path: Path = [root, index, 'name']
    if (name === undefined || !fits(path)) continue
    const owner = owners.get(name)
    if (owner !== undefined) report(path, `is the name of ${root}.${owner} already`)
    else owners.set(name, index)
  }
}

interface Match {
  readonly path: Path
  readonly upstream: number
  readonly text: string
}

function checkMatches(config: ConfigInput, fits: Fits, report: Report): void {
  const owners = new Map<string, Match>()
  for (const match of matchesOf(config).filter(({ path }) => fits(path))) {
    const owner = owners.get(match.text)
    if (owner === undefined) owners.set(match.text, match)
    // Two upstreams of one name, both without `match`, have been told of the name.
    else if (owner.path.at(-1) !== 'name' || match.path.at(-1) !== 'name') {
      report(match.path, `upstreams.${owner.upstream} matches ${match.text} already`)
    }
  }
}

/** As they are compared; what does not fit the schema is left out. */
function matchesOf(config: ConfigInput): Match[] {
  return mapsIn(config.upstreams).flatMap(([upstream, { name, match }]) => {
    const at: Path = ['upstreams', upstream]
    const texts = Array.isArray(match) ? match : [name]
    return texts.flatMap((value: unknown, item) => {
      const text = typeof value === 'string' ? parseMatch(value) : undefined
      const path = Array.isArray(match) ? [...at, 'match', item] : [...at, 'name']
      return text === undefined ? [] : [{ path, upstream, text }]
    })
  })
}

function checkDefault(config: ConfigInput, report: Report): void {
  const [first, ...others] = mapsIn(config.upstreams).filter(
    ([, upstream]) => upstream['default'] === true,
  )
  for (const [index] of others) {
    report(['upstreams', index, 'default'], `only one can be it, and upstreams.${first?.[0]} is`)
  }
}
