import type { Scenario } from './scenarios/scenario.ts'

/** What both commands take, for `parseArgs`. */
export const OPTIONS = {
  rounds: { type: 'string' },
  only: { type: 'string' },
  'blob-mib': { type: 'string', default: '128' },
  seconds: { type: 'string', default: '2' },
  'warm-gib': { type: 'string', default: '4' },
  'access-log': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  write: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

/** What {@link OPTIONS} parse to. */
interface Values {
  readonly rounds?: string | undefined
  readonly only?: string | undefined
  readonly 'blob-mib': string
  readonly seconds: string
  readonly 'warm-gib': string
  readonly 'access-log': boolean
  readonly json: boolean
  readonly write: boolean
}

/** What to measure, and what to do with the figures. */
export interface Choice {
  readonly rounds: number
  readonly scenarios: readonly Scenario[]
  /** Whether there are others. */
  readonly isPart: boolean
  readonly blobMib: number
  readonly seconds: number
  readonly warmGib: number
  readonly accessLog: boolean
  readonly json: boolean
  readonly write: boolean
}

const DEFAULT_ROUNDS = '3'

/** @param section of RESULTS.md */
export function helpOf(all: readonly Scenario[], section: string): string {
  return `  --rounds N        measurements of each server, in turn (default ${DEFAULT_ROUNDS})
  --only A,B        only these scenarios: ${all.map(({ name }) => name).join(', ')}
  --blob-mib N      size of the blob (default ${OPTIONS['blob-mib'].default})
  --seconds N       length of a measurement of small answers (default ${OPTIONS.seconds.default})
  --warm-gib N      what a measurement of warm blobs moves (default ${OPTIONS['warm-gib'].default})
  --access-log      every server writes a line for each request (default: none does)
  --json            everything measured, as JSON (with \`npm run -s\`: nothing else)
  --write           the tables also into test/bench/RESULTS.md, in place of its ${section}
`
}

/** @throws {Error} which says what an option takes */
export function toChoice(values: Values, all: readonly Scenario[]): Choice {
  return {
    rounds: parseCount('--rounds', values.rounds ?? DEFAULT_ROUNDS),
    scenarios: values.only === undefined ? all : selectScenarios(values.only, all),
    isPart: values.only !== undefined,
    blobMib: parseCount('--blob-mib', values['blob-mib']),
    seconds: parseCount('--seconds', values.seconds),
    warmGib: parseCount('--warm-gib', values['warm-gib']),
    accessLog: values['access-log'],
    json: values.json,
    write: values.write,
  }
}

export function parseCount(option: string, text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1)
    throw new Error(`${option} takes a whole number from 1`)
  return count
}

function selectScenarios(only: string, all: readonly Scenario[]): readonly Scenario[] {
  return only.split(',').map((name) => {
    const found = all.find((scenario) => scenario.name === name)
    if (found === undefined) throw new Error(`no scenario ${name}; see --help`)
    return found
  })
}
