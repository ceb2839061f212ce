import type { Load } from './load.ts'
import type { Failure, Result } from './report.ts'
import { measureLoad, type Sample, type Series } from './sample.ts'
import type {
  Bench,
  LoadScenario,
  Progress,
  Scenario,
  StartScenario,
} from './scenarios/scenario.ts'

/** Who takes longer is measured once: the others would wait, and nothing close is decided by it. */
export const SLOW_SECONDS = 30

/** What was measured, and what could not be. */
export interface Outcome {
  readonly results: readonly Result[]
  readonly failures: readonly Failure[]
}

/** One scenario after the other. What was measured, and takes long, is not lost when another fails. */
export async function runScenarios(
  bench: Bench,
  scenarios: readonly Scenario[],
  rounds: number,
  progress: Progress,
): Promise<Outcome> {
  const results: Result[] = []
  const failures: Failure[] = []
  for (const scenario of scenarios) {
    try {
      results.push({ scenario, series: await runScenario(bench, scenario, rounds, progress) })
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      failures.push({ scenario, reason })
      progress(`${scenario.name} failed: ${reason}`)
    }
  }
  return { results, failures }
}

async function runScenario(
  bench: Bench,
  scenario: Scenario,
  rounds: number,
  progress: Progress,
): Promise<readonly Series[]> {
  switch (scenario.measures) {
    case 'blobs':
    case 'requests':
      return runLoads(bench, scenario, rounds, progress)
    case 'starts':
      return runStarts(bench, scenario, rounds, progress)
    default:
      return scenario satisfies never
  }
}

/** Measures the servers in turn, round after round, so that what drifts drifts for all of them. */
async function runLoads(
  bench: Bench,
  scenario: LoadScenario,
  rounds: number,
  progress: Progress,
): Promise<readonly Series[]> {
  const servers = scenario.isSecure ? bench.secure : bench.servers
  const turns = scenario.roles.flatMap((role) => {
    const server = servers.get(role)
    return server === undefined ? [] : [{ role, server, samples: [] as Sample[] }]
  })
  let images = await scenario.push(bench)
  for (let round = 0; round < rounds; round++) {
    if (round > 0 && scenario.cold) images = await scenario.push(bench)
    for (const { role, server, samples } of turns) {
      if (samples.some(({ seconds = 0 }) => seconds > SLOW_SECONDS)) continue
      if (round === 0 || scenario.cold) await scenario.prime(bench, role, server, images)
      const load = { ...scenario.load(bench, role, images), port: server.port }
      const run = scenario.run ?? ((one: Load) => bench.client.run(one))
      await using _crowd = await scenario.crowd?.(server, images)
      const isAlone = scenario.crowd === undefined
      samples.push(await measureLoad(bench, server, () => run(load), isAlone))
      progress(`${scenario.name} ${round + 1}/${rounds} ${role}`)
    }
  }
  return turns.map(({ role, samples }) => ({ role, samples }))
}

async function runStarts(
  bench: Bench,
  scenario: StartScenario,
  rounds: number,
  progress: Progress,
): Promise<readonly Series[]> {
  const [role] = scenario.roles
  if (!bench.servers.has(role)) return []
  const start = await scenario.prepare(bench, progress)
  const samples: Sample[] = []
  for (let round = 0; round < rounds; round++) {
    samples.push(await start())
    progress(`${scenario.name} ${round + 1}/${rounds} ${role}`)
  }
  return [{ role, samples }]
}
