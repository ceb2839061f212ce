/** Preloads that go on by themselves: begun, watched, ended, tried again, and known after a restart. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { z } from 'zod'

import { JOB, JOB_DETAIL, JOB_EVENTS, JOBS, PASTED } from '../../src/admin/answers/jobs.ts'
import type { PreloadJob } from '../../src/config/config.ts'
import { TestClock } from '../access/clock.ts'
import { PreloadSite, type PreloadSiteOptions } from '../airgap/site.ts'
import { Barrier } from '../support/barrier.ts'
import { stall } from '../support/faults.ts'
import { send } from '../support/http-client.ts'
import { buildImage, type Image } from '../support/images.ts'
import { ServerEvents } from '../support/server-events.ts'
import { jsonOf } from './site.ts'

type Job = z.output<typeof JOB>
type JobDetail = z.output<typeof JOB_DETAIL>

const V1 = 'reg.test/team/app:v1'
const V2 = 'reg.test/team/app:v2'
/** Not there at first. */
const V3 = 'reg.test/team/app:v3'

class JobSite implements AsyncDisposable {
  readonly site: PreloadSite
  readonly images: readonly Image[]

  static async start(options: PreloadSiteOptions = {}): Promise<JobSite> {
    return new JobSite(await PreloadSite.start(options))
  }

  private constructor(site: PreloadSite) {
    this.site = site
    this.images = ['v1', 'v2'].map((tag) => {
      const image = buildImage({ seed: tag, layers: [20_000] })
      site.registry.add('team/app', image, tag)
      return image
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.site[Symbol.asyncDispose]()
  }

  get adminUrl(): string {
    return this.site.app.adminUrl
  }

  async begin(body: object): Promise<JobDetail> {
    const answer = await this.site.post('/jobs', body)
    assert.equal(answer.status, 200, answer.body.toString())
    return JOB_DETAIL.parse(jsonOf(answer))
  }

  async get(id: string): Promise<JobDetail> {
    return JOB_DETAIL.parse(jsonOf(await send(this.adminUrl, `/api/v1/jobs/${id}`)))
  }

  async list() {
    return JOBS.parse(jsonOf(await send(this.adminUrl, '/api/v1/jobs')))
  }

  watch(id: string, lastEventId?: string): Promise<ServerEvents> {
    const headers = lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId }
    return ServerEvents.open(this.adminUrl, `/api/v1/jobs/${id}/events`, headers)
  }

  /** Settles with how it has ended. */
  async ended(id: string): Promise<Job> {
    await using events = await this.watch(id)
    const { data } = await events.next('end')
    return JOB.parse(data)
  }

  /** A reload forgets what was not there. */
  async addThird(): Promise<void> {
    this.site.registry.add('team/app', buildImage({ seed: 'v3', layers: [20_000] }), 'v3')
    await this.site.app.reload({})
  }

  /** Lets a layer of the image stop in its middle. */
  stall(image: Image | undefined): Barrier {
    const barrier = new Barrier()
    const layer = [...(image?.blobs.keys() ?? [])].at(-1)
    this.site.registry.script({ path: new RegExp(`/blobs/${layer}`) }, stall(1024, barrier))
    return barrier
  }
}

test('a pasted list is fetched by itself, and watched from its first event to its last', async () => {
  await using site = await JobSite.start()
  const barrier = site.stall(site.images[1])
  const text = `# two images\n${V1}\n\nreg.test/team/app:v2\n`
  const begun = await site.begin({ text, pin: true, name: 'release' })
  assert.deepEqual(begun.images, { total: 2, done: 0, unchanged: 0, failed: 0 })
  assert.deepEqual(
    begun.rows.map(({ image }) => image),
    [V1, V2],
  )
  await using events = await site.watch(begun.id)
  assert.match(String(events.response.headers['content-type']), /^text\/event-stream/)
  const first = await events.next()
  assert.equal(first.event, 'job')
  const { data: progress } = await events.next('progress')
  assert.ok(JOB_EVENTS.parse({ event: 'progress', data: progress }))
  const { jobs } = await site.list()
  assert.deepEqual(
    jobs.map(({ id, state, origin }) => [id, state, origin]),
    [[begun.id, 'running', 'api']],
  )
  assert.equal(await site.site.app.metric('larder_preload_jobs', { state: 'running' }), 1)
  barrier.release()
  const end = await events.next('end')
  for (const event of events.seen) {
    JOB_EVENTS.parse({ event: event.event, data: event.data })
    assert.ok(event.id !== undefined)
  }
  assert.deepEqual(await events.rest(), [], 'the last event is the last')
  const job = JOB.parse(end.data)
  assert.equal(job.state, 'done')
  assert.deepEqual(job.images, { total: 2, done: 2, unchanged: 0, failed: 0 })
  assert.ok(job.bytes.fetched > 40_000 && job.bytes.here === job.bytes.fetched)
  assert.equal(job.bytes.total, job.bytes.here)
  const detail = await site.get(begun.id)
  assert.deepEqual(detail.rows.map(({ state }) => state).toSorted(), ['done', 'done'])
  const pins = jsonOf(await send(site.adminUrl, '/api/v1/pins')) as { pins: { owner: string }[] }
  assert.deepEqual(
    pins.pins.map(({ owner }) => owner),
    ['release', 'release'],
  )
  assert.equal(await site.site.app.metric('larder_preload_jobs', { state: 'done' }), 1)
})

test('who comes back is told how it stands, and who has had the end is told to stay away', async () => {
  await using site = await JobSite.start()
  const barrier = site.stall(site.images[0])
  const { id } = await site.begin({ images: [V1] })
  const before = await site.watch(id)
  const { id: seen } = await before.next('progress')
  before.response.destroy()
  await using again = await site.watch(id, seen)
  const { data } = await again.next()
  assert.equal(JOB_DETAIL.parse(data).state, 'running')
  barrier.release()
  const end = await again.next('end')
  await using late = await site.watch(id, seen)
  assert.deepEqual(
    (await late.rest()).map(({ event }) => event),
    ['job', 'end'],
  )
  const over = await site.watch(id, end.id)
  assert.equal(over.response.statusCode, 204)
  assert.deepEqual(await over.rest(), [])
  const head = await send(site.adminUrl, `/api/v1/jobs/${id}/events`, { method: 'HEAD' })
  assert.equal(head.status, 200)
})

test('a cancelled job stops asking, and what it had fetched is kept', async () => {
  await using site = await JobSite.start()
  const barrier = site.stall(site.images[1])
  const { id } = await site.begin({ images: [V1, V2] })
  await using events = await site.watch(id)
  for (;;) {
    const { data } = await events.next('image')
    const row = data as { image: string; state: string }
    if (row.image === V1 && row.state === 'done') break
  }
  const answer = await site.site.post(`/jobs/${id}/cancel`, {})
  assert.equal(answer.status, 200, answer.body.toString())
  assert.equal(JOB.parse((await events.next('end')).data).state, 'cancelled')
  barrier.release()
  const again = await site.site.post(`/jobs/${id}/cancel`, {})
  assert.equal(again.status, 409)
  assert.match(again.body.toString(), /it has ended already: cancelled/)
  const { done } = await site.site.preload([V1])
  assert.equal(done.images.unchanged, 1)
})

test('what has failed is tried again, and nothing else', async () => {
  await using site = await JobSite.start()
  const { id } = await site.begin({ images: [V1, V3, 'Not an image'] })
  const first = await site.ended(id)
  assert.equal(first.state, 'incomplete')
  assert.deepEqual(first.images, { total: 3, done: 1, unchanged: 0, failed: 2 })
  assert.deepEqual(first.failed.map(({ image }) => image).toSorted(), ['Not an image', V3])
  await site.addThird()
  const retry = JOB_DETAIL.parse(jsonOf(await site.site.post(`/jobs/${id}/retry`, {})))
  assert.equal(retry.retryOf, id)
  assert.equal(retry.images.total, 2)
  const second = await site.ended(retry.id)
  assert.deepEqual(second.images, { total: 2, done: 1, unchanged: 0, failed: 1 })
  const { id: whole } = await site.begin({ images: [V1] })
  await site.ended(whole)
  const none = await site.site.post(`/jobs/${whole}/retry`, {})
  assert.equal(none.status, 409)
  assert.match(none.body.toString(), /nothing of it has failed/)
})

test('history outlives a restart, and what was under way then was interrupted', async () => {
  await using site = await JobSite.start()
  const { id: whole } = await site.begin({ images: [V1] })
  await site.ended(whole)
  const { id: partly } = await site.begin({ images: [V1, V3] })
  await site.ended(partly)
  const barrier = site.stall(site.images[1])
  const { id: cut } = await site.begin({ images: [V2], pin: true })
  await using events = await site.watch(cut)
  await events.next('progress')
  const { id: queued } = await startTwoMore(site)
  await site.site.app.restart()
  barrier.release()
  site.site.registry.clearScripts()
  const { jobs } = await site.list()
  const stateOf = (wanted: string) => jobs.find(({ id }) => id === wanted)?.state
  assert.deepEqual([whole, partly, cut, queued].map(stateOf), [
    'done',
    'incomplete',
    'interrupted',
    'interrupted',
  ])
  const detail = await site.get(partly)
  assert.deepEqual(
    detail.rows.map(({ image, state }) => [image, state]),
    [[V3, 'failed']],
  )
  await site.addThird()
  for (const [id, total] of [
    [partly, 1],
    [cut, 1],
  ] as const) {
    const retry = JOB_DETAIL.parse(jsonOf(await site.site.post(`/jobs/${id}/retry`, {})))
    assert.equal(retry.images.total, total)
    assert.equal((await site.ended(retry.id)).state, 'done')
  }
})

/** Two are under way at a time: one of these waits. @returns it */
async function startTwoMore(site: JobSite): Promise<JobDetail> {
  await site.begin({ images: [V2] })
  const waiting = await site.begin({ images: [V1] })
  assert.equal((await site.get(waiting.id)).state, 'queued')
  return waiting
}

test('one that waits is ended without having begun, and the next takes its turn', async () => {
  await using site = await JobSite.start()
  const barrier = site.stall(site.images[1])
  const first = await site.begin({ images: [V2] })
  const waiting = await startTwoMore(site)
  const last = await site.begin({ images: [V1] })
  assert.equal((await site.site.post(`/jobs/${waiting.id}/cancel`, {})).status, 200)
  assert.equal((await site.get(waiting.id)).state, 'cancelled')
  barrier.release()
  assert.equal((await site.ended(last.id)).state, 'done')
  assert.equal((await site.ended(first.id)).state, 'done')
  assert.equal((await site.get(waiting.id)).startedAt, undefined)
})

test('what waits has an end too: more are refused', async () => {
  await using site = await JobSite.start()
  const barrier = site.stall(site.images[1])
  for (let i = 0; i < 52; i++) await site.begin({ images: [V2] })
  const { status, body } = await site.site.post('/jobs', { images: [V2] })
  assert.equal(status, 409)
  assert.match(body.toString(), /50 preloads wait already/)
  barrier.release()
})

test('a command’s preload is listed while it goes on, and an operator can end it', async () => {
  await using site = await JobSite.start()
  const barrier = site.stall(site.images[0])
  const response = await site.site.begin('/preload', { images: [V1] })
  const lines: Buffer[] = []
  response.on('data', (piece: Buffer) => void lines.push(piece))
  await site.site.registry.seen({ path: /\/blobs\// })
  const { jobs } = await site.list()
  const [job] = jobs
  assert.deepEqual([job?.origin, job?.state], ['command', 'running'])
  await site.site.post(`/jobs/${job?.id}/cancel`, {})
  await new Promise((resolve) => response.once('close', resolve))
  barrier.release()
  assert.match(Buffer.concat(lines).toString(), /"event":"failed".*cancelled by an operator/)
  assert.equal((await site.get(job?.id ?? '')).state, 'cancelled')
})

const NIGHTLY: PreloadJob = {
  name: 'nightly',
  sources: [V1, V2],
  schedule: '0 3 * * *',
  platforms: ['linux/amd64'],
  pin: true,
}

test('jobs of the configuration say when they are due and what they came to, and run when asked', async () => {
  const clock = new TestClock()
  await using site = await JobSite.start({
    app: { preload: [NIGHTLY, { ...NIGHTLY, name: 'asked', schedule: undefined }], clock },
  })
  const before = await site.list()
  const [nightly, asked] = before.configured
  const due = new Date(nightly?.nextRunAt ?? 0)
  assert.deepEqual([due.getUTCHours(), due.getUTCMinutes()], [3, 0])
  assert.ok(due.getTime() > clock.now() && due.getTime() <= clock.now() + 86_400_000)
  assert.equal(asked?.nextRunAt, undefined)
  assert.equal(nightly?.last, undefined)
  const { id, job, pin, platforms } = await site.begin({ job: 'nightly' })
  assert.deepEqual([job, pin, platforms], ['nightly', true, ['linux/amd64']])
  assert.equal((await site.ended(id)).state, 'done')
  await site.ended((await site.begin({ job: 'nightly', dryRun: true })).id)
  const after = (await site.list()).configured[0]
  assert.equal(after?.last?.id, id, 'a dry run is no result')
  assert.deepEqual(after?.last?.images, { total: 2, done: 2, unchanged: 0, failed: 0 })
  assert.ok((await site.site.app.metric('larder_preload_last_success_timestamp_seconds')) > 0)
  await site.site.app.restart()
  const known = await site.site.app.metric('larder_preload_last_success_timestamp_seconds', {
    preload: 'nightly',
  })
  assert.equal(
    Math.round(known),
    Math.round((after?.last?.endedAt ?? 0) / 1000),
    'no alert begins anew',
  )
  for (const [body, status] of [
    [{ job: 'none' }, 404],
    [{ job: 'nightly', pin: true }, 400],
    [{ job: 'nightly', images: [V1] }, 400],
    [{}, 400],
    [{ text: '# nothing' }, 400],
    [{ images: [] }, 400],
  ] as const) {
    assert.equal((await site.site.post('/jobs', body)).status, status, JSON.stringify(body))
  }
})

test('a job whose sources cannot all be read says so, and is not done', async () => {
  await using site = await JobSite.start()
  const yaml = `kind: Pod\napiVersion: v1\nspec:\n  containers:\n    - image: ${V1}\n    - image: "%%"\n`
  const { id } = await site.begin({ text: yaml })
  const job = await site.ended(id)
  assert.equal(job.images.done, 1)
  assert.equal(job.state, 'incomplete')
  assert.deepEqual(job.warnings, ['line 6: not an image such as ghcr.io/acme/app:v1'])
  const read = PASTED.parse(jsonOf(await site.site.post('/sources', { text: yaml })))
  assert.deepEqual(read.images, [V1])
  assert.deepEqual(read.problems, job.warnings)
  assert.equal((await send(site.adminUrl, '/api/v1/jobs/none')).status, 404)
  assert.equal((await send(site.adminUrl, '/api/v1/jobs/none/events')).status, 404)
  for (const change of ['cancel', 'retry']) {
    assert.equal((await site.site.post(`/jobs/none/${change}`, {})).status, 404)
  }
})
