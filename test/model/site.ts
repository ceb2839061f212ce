import assert from 'node:assert/strict'
import { Agent } from 'node:http'

import type { TagRule } from '../../src/config/config.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { FailAt } from '../../src/store/failpoints.ts'
import { IMPATIENT, startTestApp, type TestApp } from '../support/app.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { answer, corrupt, cut, type Fault, hangUp, resize } from '../support/faults.ts'
import { type ClientRequest, type ClientResponse, open, send } from '../support/http-client.ts'
import { ModelClock } from './clock.ts'
import { Disk } from './disk.ts'
import type { RegistryFault, Start } from './steps.ts'

const MIB = 1024 * 1024
export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** Room for everything, for about half of it, and for the smallest images. */
export const CAPS = [16 * MIB, 2 * MIB, 256 * 1024] as const

const HOURLY: TagRule = {
  match: '*',
  repository: '**',
  pullPolicy: 'IfNotPresent',
  maxAgeMs: HOUR,
  refresh: 'blocking',
}
/** Tags that are fresh for an hour, are always asked for, are never fresh, are refreshed behind. */
export const POLICIES: readonly TagRule[] = [
  HOURLY,
  { ...HOURLY, pullPolicy: 'Always' },
  { ...HOURLY, maxAgeMs: -1 },
  { ...HOURLY, maxAgeMs: MINUTE, refresh: 'background' },
]

/** Longer than any circuit stays open, and than the rest that the registry asks for. */
const RECOVERY_MS = 5 * MINUTE
const TRACE_LINES = 60

/** Larder with a registry that misbehaves, a clock and a disk that are in the story's hands. */
export class Site implements AsyncDisposable {
  readonly registry: FaultRegistry
  readonly app: TestApp
  readonly clock: ModelClock
  readonly disk: Disk
  readonly trace: string[] = []
  readonly #refusal: { left: number | undefined }
  readonly #start: Start
  #agent = new Agent({ keepAlive: true })
  #fault: RegistryFault = 'none'
  #isOffline = false
  #probes = 0

  static async open(start: Start): Promise<Site> {
    const registry = await new FaultRegistry().start()
    const clock = new ModelClock()
    const refusal: { left: number | undefined } = { left: undefined }
    const failAt: FailAt = (point) => {
      // What is damaged is put aside by a rename, and is not here even where a disk refuses that.
      if (refusal.left === undefined || point.startsWith('scrub.')) return
      if (refusal.left-- <= 0) throw new Error(`the store refuses ${point}`)
    }
    const app = await startTestApp({
      upstreams: [upstreamOf(registry.origin, start, start.policy)],
      clock,
      failAt,
      maxBytes: CAPS[start.cap] ?? CAPS[0],
      chunkCacheBytes: start.chunkCacheBytes,
    })
    return new Site(start, registry, app, clock, refusal)
  }

  private constructor(
    start: Start,
    registry: FaultRegistry,
    app: TestApp,
    clock: ModelClock,
    refusal: { left: number | undefined },
  ) {
    this.#start = start
    this.registry = registry
    this.app = app
    this.clock = clock
    this.#refusal = refusal
    this.disk = new Disk(app.dataDir)
  }

  /** Whether the registry can be asked, and answers well. */
  get isUp(): boolean {
    return this.#fault === 'none' && !this.#isOffline
  }

  get isOffline(): boolean {
    return this.#isOffline
  }

  note(line: string): void {
    this.trace.push(line)
    if (this.trace.length > TRACE_LINES) this.trace.shift()
  }

  async get(path: string, options: ClientRequest = {}): Promise<ClientResponse> {
    const { method = 'GET', range = '' } = options
    const response = await send(this.app.url, path, { agent: this.#agent, ...options })
    const { status, body, complete, headers } = response
    const how = complete ? '' : ' cut'
    const { 'cache-status': cache = '', 'content-length': length } = headers
    this.note(`  ${method} ${path} ${range} → ${status} ${body.length}/${length}${how} ${cache}`)
    return response
  }

  open(path: string): ReturnType<typeof open> {
    return open(this.app.url, path, { agent: this.#agent })
  }

  /** What the admin API answers to a change. */
  async change(method: string, path: string, input?: object): Promise<ClientResponse> {
    const body = input === undefined ? {} : { body: JSON.stringify(input) }
    const headers = { 'Content-Type': 'application/json' }
    const options = { method, headers, ...body }
    const response = await send(this.app.adminUrl, `/api/v1${path}`, options)
    this.note(`  ${method} ${path} ${body.body ?? ''} → ${response.status} ${response.body}`)
    return response
  }

  async setFault(fault: RegistryFault, byte: number): Promise<void> {
    const { registry } = this
    registry.clearScripts()
    this.#fault = fault
    if (fault !== 'none') {
      const bodies = fault === 'cut' || fault === 'wrong' || fault === 'short'
      registry.script(bodies ? { method: 'GET' } : {}, faultOf(fault, byte))
    }
    await this.recover()
  }

  async setOffline(offline: boolean): Promise<void> {
    this.#isOffline = offline
    await this.reload({ offline })
  }

  setPolicy(policy: number): Promise<void> {
    return this.reload({ upstreams: [upstreamOf(this.registry.origin, this.#start, policy)] })
  }

  async reload(changes: Parameters<TestApp['reload']>[0]): Promise<void> {
    const result = await this.app.reload(changes)
    assert.ok(result.ok, 'a right configuration is taken over')
    await this.recover()
  }

  /** From the `after`th step from now on, the disk refuses everything, until the next start. */
  refuse(after: number): void {
    this.#refusal.left ??= after
  }

  async restart(whileStopped: () => Promise<void>): Promise<void> {
    const agent = this.#agent
    this.#agent = new Agent({ keepAlive: true })
    await this.app.restart({}, async () => {
      agent.destroy()
      this.#refusal.left = undefined
      await whileStopped()
    })
    await this.#ready()
  }

  async kill(): Promise<void> {
    this.#agent.destroy()
    this.#agent = new Agent({ keepAlive: true })
    const killed = this.app.kill()
    // It was the dead one's.
    this.#refusal.left = undefined
    await killed
    await this.#ready()
  }

  async #ready(): Promise<void> {
    // It waits until it is known what is here.
    const { status } = await this.change('POST', '/gc', { dryRun: true })
    assert.equal(status, 200)
    await this.recover()
  }

  /** Settles when nothing is downloaded any more. */
  async settled(): Promise<void> {
    while ((await this.app.metric('larder_inflight_fetches')) > 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy()
    await this.app.close()
    await this.registry.close()
  }

  /** A registry that is well again is found to be so: what asks it next does not meet its past. */
  async recover(): Promise<void> {
    if (!this.isUp) return
    this.clock.pass(RECOVERY_MS)
    const nobodys = digestOf(Buffer.from(`nobody's ${this.#probes++}`))
    const { status } = await this.get(`/v2/library/probe/blobs/${nobodys}`)
    assert.equal(status, 404, 'a registry that is well again is asked')
  }
}

function upstreamOf(url: string, { access }: Start, policy: number) {
  const tags = [POLICIES[policy] ?? HOURLY]
  return { name: 'docker.io', url, default: true, access, limits: IMPATIENT, tags }
}

function faultOf(fault: Exclude<RegistryFault, 'none'>, byte: number): Fault {
  switch (fault) {
    case 'down':
      return hangUp('rst')
    case 'error':
      return answer(500)
    case 'limit':
      return answer(429, { 'retry-after': '60' })
    case 'cut':
      return cut(byte, byte % 2 === 0 ? 'fin' : 'rst')
    case 'wrong':
      return (delivery, request) => {
        if (delivery.body.length > 0) corrupt(byte % delivery.body.length)(delivery, request)
      }
    case 'short':
      return resize(-1 - (byte % 5))
    default:
      return fault satisfies never
  }
}
