import { createColdScenarios } from './scenarios/cold.ts'
import { createCrowdScenario } from './scenarios/crowd.ts'
import { createManifestScenarios } from './scenarios/manifests.ts'
import { createRolloutScenarios } from './scenarios/rollout.ts'
import type { Scenario } from './scenarios/scenario.ts'
import { createSecureScenario } from './scenarios/secure.ts'
import { createStartScenario } from './scenarios/start.ts'
import { createWarmScenarios } from './scenarios/warm.ts'

/** What a short run measures: one of each kind. */
export const QUICK: readonly string[] = ['cold-1', 'cold-50', 'warm-blob-8', 'warm-manifest-digest']

export function createScenarios(): readonly Scenario[] {
  return [
    // First: what those after it leave in the chunk cache is not what its readers hold.
    createCrowdScenario(),
    ...createColdScenarios(),
    ...createWarmScenarios(),
    ...createManifestScenarios(),
    ...createRolloutScenarios(),
    createSecureScenario(),
    createStartScenario(),
  ]
}
