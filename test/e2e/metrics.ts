import { setTimeout as delay } from 'node:timers/promises'

import { send } from '../support/http-client.ts'
import type { RunningLarder } from '../support/larder.ts'
import { type Sample, samplesOf, sumOf } from '../support/samples.ts'

/** Long enough for a slow machine; a test that waits for what never comes fails, and ends. */
const WAIT_MS = 30_000
const LOOK_MS = 10

type Labels = Readonly<Record<string, string>>

/** Sum of the samples that carry `labels`. */
export async function metric(larder: RunningLarder, name: string, labels?: Labels) {
  return sumOf(await samples(larder), name, labels)
}

/** Settles once `metric` has reached `atLeast`; throws when it does not for long. */
export async function until(
  larder: RunningLarder,
  name: string,
  atLeast: number,
  labels?: Labels,
): Promise<void> {
  const endsAt = performance.now() + WAIT_MS
  while ((await metric(larder, name, labels)) < atLeast) {
    if (performance.now() > endsAt) throw new Error(`waited in vain for ${name} ${atLeast}`)
    await delay(LOOK_MS)
  }
}

async function samples(larder: RunningLarder): Promise<readonly Sample[]> {
  const { body } = await send(larder.adminUrl, '/metrics')
  return samplesOf(body.toString())
}
