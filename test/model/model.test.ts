import { test } from 'node:test'
import fc from 'fast-check'

import { runs } from '../pull/runs.ts'
import { play } from './run.ts'
import { stories } from './steps.ts'
import { Universe } from './universe.ts'

test('whatever befalls it, Larder serves true bytes, keeps what is pinned, and heals', async () => {
  const universe = new Universe()
  await fc.assert(
    fc.asyncProperty(stories, (story) => play(story, universe)),
    runs(12),
  )
})
