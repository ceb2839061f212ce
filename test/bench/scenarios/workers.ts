import type { Load, LoadReport } from '../load.ts'
import { runSecure } from '../secure-client.ts'
import type { Comparison, LoadScenario, Scenario, Setup } from './scenario.ts'

/** How Larder runs, and on which processors it and the load client do. */
export interface Layout {
  readonly setup: Setup
  readonly workers: number
  /** As `taskset` takes them. */
  readonly cpus: string
}

/** Stored blobs, whole: what workers send by themselves. */
const SENT_BY_WORKERS = ['warm-blob-8', 'warm-blob-64', 'warm-large-8', 'tls']
const OTHERS = [
  'warm-ranges',
  'blob-20kb',
  'warm-manifest-digest',
  'cold-1',
  'cold-50',
  'cold-small-50',
  'rollout-cold',
]
/** Of one process, for each worker. */
const SHARE = 0.8
/** Of each connection, before it counts: enough that every worker has read what is asked for. */
const FIRST_REQUESTS = 4

/** The same as among other caches, of a Larder that runs in several ways. The last has the workers. */
export function createWorkersScenarios(
  scenarios: readonly Scenario[],
  layouts: readonly Layout[],
): readonly LoadScenario[] {
  return scenarios
    .filter((scenario) => scenario.measures !== 'starts')
    .filter(({ name }) => SENT_BY_WORKERS.includes(name) || OTHERS.includes(name))
    .map((scenario) => laidOut(scenario, layouts))
}

function laidOut(scenario: LoadScenario, layouts: readonly Layout[]): LoadScenario {
  const workers = Math.max(...layouts.map((layout) => layout.workers))
  const load: LoadScenario['load'] = (bench, role, images) => {
    const cpus = layouts.find(({ setup }) => setup === role)?.cpus
    return { ...scenario.load(bench, 'larder', images), ...(cpus !== undefined && { cpus }) }
  }
  // One thread of this client is no match for two workers.
  const secure = (one: Load) => runSecure(one, workers)
  return {
    ...scenario,
    roles: layouts.map(({ setup }) => setup),
    comparisons: compare(scenario, workers),
    load,
    ...(scenario.isSecure && { run: secure }),
    async prime(bench, role, server, images) {
      await scenario.prime(bench, 'larder', server, images)
      const run = scenario.isSecure ? secure : (one: Load) => bench.client.run(one)
      if (!scenario.cold) await warmUp(run, { ...load(bench, role, images), port: server.port })
    },
  }
}

async function warmUp(run: (load: Load) => Promise<LoadReport>, load: Load): Promise<void> {
  const { seconds: _seconds, requests = FIRST_REQUESTS, ...rest } = load
  await run({ ...rest, requests: Math.min(FIRST_REQUESTS, requests) })
}

function compare({ name, measures, comparisons }: LoadScenario, workers: number): Comparison[] {
  const rate = measures === 'blobs' ? 'gbPerSecond' : 'requestsPerSecond'
  const cost = measures === 'blobs' ? 'cpuPerGb' : 'usPerRequest'
  const target = SENT_BY_WORKERS.includes(name) ? { atLeast: SHARE * workers } : {}
  return [
    { figure: rate, versus: 'one process, one core', ...target },
    { figure: rate, versus: 'one process, all cores' },
    { figure: cost, versus: 'one process, all cores' },
    ...comparisons.filter(({ versus }) => versus === undefined),
  ]
}
