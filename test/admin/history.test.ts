/** A day of minutes: it outlives restarts, and nothing of it is lost, doubled or turned back. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import Database from 'better-sqlite3'

import { HISTORY, OVERVIEW } from '../../src/admin/answers/overview.ts'
import { History, type MinuteTally, NOTHING } from '../../src/metrics/history.ts'
import type { HistoryColumns } from '../../src/metrics/history-columns.ts'
import { PreloadSite } from '../airgap/site.ts'
import { send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { SkippingClock } from '../support/skipping-clock.ts'
import { jsonOf } from './site.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

async function overview({ app }: PreloadSite) {
  // What has ended is counted a moment after its client has seen that.
  await app.metric('larder_requests_total')
  return OVERVIEW.parse(jsonOf(await send(app.adminUrl, '/api/v1/overview')))
}

async function history({ app }: PreloadSite, query = ''): Promise<HistoryColumns> {
  await app.metric('larder_requests_total')
  const answer = await send(app.adminUrl, `/api/v1/overview/history${query}`)
  assert.equal(answer.status, 200, answer.body.toString())
  return HISTORY.parse(jsonOf(answer)) as unknown as HistoryColumns
}

function sumOf(column: readonly (number | null)[]): number {
  return column.reduce<number>((sum, value) => sum + (value ?? 0), 0)
}

test('what was pulled is in its minute, also over a restart, which is no minute of its own', async () => {
  const clock = new SkippingClock()
  await using site = await PreloadSite.start({ app: { clock } })
  const image = buildImage({ layers: [50_000] })
  site.registry.add('team/app', image, 'v1')
  await site.pull('team/app', image, 'v1')
  clock.skip(2 * HOUR_MS)
  const ofFirst = await overview(site)
  assert.equal(ofFirst.last5Minutes.requests.total, 0)
  assert.equal(ofFirst.last24Hours.requests.total, ofFirst.requests.total)
  await site.pull('team/app', image, 'v1')
  await overview(site)
  await site.app.restart()
  const empty = await overview(site)
  assert.equal(empty.requests.total, 0)
  assert.equal(empty.last24Hours.requests.total, 2 * ofFirst.requests.total)
  await site.pull('team/app', image, 'v1')
  clock.skip(5 * HOUR_MS)
  // As the turn of each minute does.
  await overview(site)
  await site.pull('team/app', image, 'v1')

  const { requests, bytes, last5Minutes, last24Hours, now } = await overview(site)
  assert.equal(requests.total, 2 * ofFirst.requests.total)
  assert.equal(last5Minutes.requests.total, ofFirst.requests.total)
  assert.equal(last5Minutes.requests.hitRatio, 1)
  assert.equal(last24Hours.requests.total, 4 * ofFirst.requests.total)
  assert.equal(last24Hours.bytes.served, 2 * bytes.served)
  assert.equal(last24Hours.bytes.fetched, ofFirst.bytes.fetched)
  assert.ok(last24Hours.since <= now - 7 * HOUR_MS && last24Hours.since >= now - 8 * HOUR_MS)
  assert.equal(last24Hours.requests.byResult['miss'], ofFirst.requests.byResult['miss'])
})

test('columns are of one length, aligned with the clock, and have gaps where Larder did not run', async () => {
  const clock = new SkippingClock()
  await using site = await PreloadSite.start({ app: { clock } })
  const image = buildImage({ layers: [50_000] })
  site.registry.add('team/app', image, 'v1')
  await site.pull('team/app', image, 'v1')
  const { last24Hours } = await overview(site)
  await site.app.restart({}, async () => clock.skip(3 * HOUR_MS))
  await site.pull('team/app', image, 'v1')

  const day = await history(site)
  const { stepSeconds, times, results, ...columns } = day
  assert.equal(stepSeconds, 300)
  assert.equal(times.length, 288)
  for (const column of [...Object.values(results), ...Object.values(columns)]) {
    assert.equal(column.length, 288)
  }
  for (const [index, at] of times.entries()) {
    assert.equal(at % 300_000, 0)
    if (index > 0) assert.equal(at - (times[index - 1] ?? 0), 300_000)
  }
  const { now } = await overview(site)
  const last = times.at(-1) ?? 0
  assert.ok(last >= now && last <= now + 2 * 300_000)
  const total = Object.values(results).reduce((sum, column) => sum + sumOf(column), 0)
  assert.equal(total, 2 * last24Hours.requests.total)
  assert.equal(sumOf(columns.servedBytes), 2 * last24Hours.bytes.served)
  const known = columns.servedBytes.filter((value) => value !== null)
  assert.ok(known.length >= 2 && known.length <= 4, `${known.length} steps`)
  assert.ok(columns.usedBytes.at(-1) !== null)
  assert.ok(columns.hitRatio.includes(1), 'all of the last step were hits')

  const hour = await history(site, '?over=1h')
  assert.deepEqual([hour.stepSeconds, hour.times.length], [60, 60])
  assert.equal(sumOf(hour.results.miss), 0, 'the misses are three hours ago')
  const coarse = await history(site, '?over=24h&step=1h')
  assert.equal(coarse.times.length, 24)
  assert.equal(sumOf(coarse.servedBytes), sumOf(columns.servedBytes))
  for (const query of ['?over=25h', '?step=90s', '?over=0s', '?step=2h', '?since=1h']) {
    const { status } = await send(site.app.adminUrl, `/api/v1/overview/history${query}`)
    assert.equal(status, 400, query)
  }
})

test('a day is kept, and no more of it', async () => {
  const clock = new SkippingClock()
  await using site = await PreloadSite.start({ app: { clock } })
  const image = buildImage({ layers: [50_000] })
  site.registry.add('team/app', image, 'v1')
  await site.pull('team/app', image, 'v1')
  await overview(site)
  clock.skip(23 * HOUR_MS)
  assert.ok((await overview(site)).last24Hours.bytes.served > 0)
  clock.skip(2 * HOUR_MS)
  await overview(site)
  await site.app.restart({}, async () => {
    const database = new Database(join(site.app.dataDir, 'larder.db'))
    const oldest = database.prepare<[], number>('select min(minute) from samples').pluck().get()
    database.close()
    assert.ok((oldest ?? 0) > (clock.now() - 25 * HOUR_MS) / MINUTE_MS, 'what is older is gone')
  })
  const { last24Hours, bytes } = await overview(site)
  assert.equal(last24Hours.bytes.served, 0)
  assert.equal(bytes.served, 0)
})

class Kept {
  now = 1_000 * MINUTE_MS
  hits = 0
  refuses = false
  readonly rows = new Map<number, MinuteTally>()
  readonly history = new History({
    totals: async () => [
      {
        upstream: 'a',
        type: 'blob',
        results: new Map([['hit', this.hits] as const]),
        servedBytes: 10 * this.hits,
        fetchedBytes: 0,
        preloadedBytes: 0,
      },
    ],
    usedBytes: () => 7,
    now: () => this.now,
    put: async (minutes, from) => {
      if (this.refuses) throw new Error('disk')
      for (const one of minutes) {
        assert.ok(!this.rows.has(one.minute), 'written once')
        this.rows.set(one.minute, one)
      }
      for (const minute of this.rows.keys()) if (minute < from) this.rows.delete(minute)
    },
    list: async (from) => [...this.rows.values()].filter(({ minute }) => minute >= from),
    onError: () => {},
  })

  async hitsOf(minutes: number): Promise<readonly number[]> {
    return (await this.history.last(minutes)).map(({ results }) => results.hit)
  }
}

test('what a disk refuses is shown all the same, and written once it takes it', async () => {
  const kept = new Kept()
  kept.refuses = true
  for (const hits of [3, 8, 8]) {
    kept.hits = hits
    kept.now += MINUTE_MS
    await kept.history.last(60)
  }
  assert.deepEqual(await kept.hitsOf(60), [3, 5, 0, 0])
  assert.equal(kept.rows.size, 0)
  kept.refuses = false
  kept.now += MINUTE_MS
  assert.deepEqual(await kept.hitsOf(60), [3, 5, 0, 0, 0])
  assert.equal(kept.rows.size, 4)
  assert.deepEqual(await kept.hitsOf(2), [0, 0, 0])
})

test('a counter that begins anew adds what it has, and takes nothing away', async () => {
  const kept = new Kept()
  kept.hits = 100
  await kept.history.last(60)
  kept.now += MINUTE_MS
  await kept.history.last(60)
  kept.hits = 4
  kept.now += MINUTE_MS
  assert.deepEqual(await kept.hitsOf(60), [100, 4, 0])
})

test('many who ask at once, at the turn of a minute too, count nothing twice', async () => {
  const kept = new Kept()
  kept.hits = 5
  const asked: Promise<readonly number[]>[] = []
  for (let round = 0; round < 20; round++) {
    asked.push(kept.hitsOf(60))
    kept.now += MINUTE_MS / 3
  }
  for (const hits of await Promise.all(asked)) {
    assert.equal(
      hits.reduce((sum, one) => sum + one, 0),
      5,
    )
  }
  assert.equal(
    [...kept.rows.values()].reduce((sum, { results }) => sum + results.hit, 0),
    5,
  )
  assert.deepEqual(NOTHING.results.hit, 0)
})
