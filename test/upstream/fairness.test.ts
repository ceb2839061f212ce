import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'

import { formatReference, parseReference } from '../../src/oci/reference.ts'
import type { UpstreamError } from '../../src/upstream/errors.ts'
import type { RemoteBlob } from '../../src/upstream/ports.ts'
import { Barrier } from '../support/barrier.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { answer, hangUp, stall } from '../support/faults.ts'
import { buildImage } from '../support/images.ts'
import { AS_LARDER, type Client, createClient, failure, LATEST, REPOSITORY } from './client.ts'
import { Sleepers } from './sleepers.ts'

const IMAGE = buildImage('fairness', { layers: [20_000] })
const [LAYER] = IMAGE.layers
const BACKGROUND = { ...AS_LARDER, urgency: 'background' } as const

async function startRegistry(options = {}): Promise<FaultRegistry> {
  const registry = await new FaultRegistry(options).start()
  registry.add(REPOSITORY, IMAGE, 'latest', 'a', 'b', 'c')
  return registry
}

function createPatient(registry: FaultRegistry, connections: number, mirrors: string[] = []) {
  const sleepers = new Sleepers()
  const { sleep } = sleepers
  const config = { limits: { connections }, mirrors }
  return { sleepers, client: createClient(registry.origin, config, { sleep }) }
}
