/** The dashboard in a real browser, before a real Larder. */
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Browser } from 'playwright-core'

import { buildImage } from '../support/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { startBrowser, Tab } from './browser.ts'
import { HOSTILE, PageSite } from './page-site.ts'

/** Where pictures of every page are put, for whoever wants to look at them; absent: none are taken. */
const PICTURES = process.env['PAGE_PICTURES']
const NGINX = 'reg.test/library/nginx:v1.0.0'
const PAGES = [
  ['/', 'Overview'],
  ['/images', 'Images'],
  [`/images/${NGINX}`, NGINX],
  ['/images/reg.test/evil/image:v1', 'reg.test/evil/image:v1'],
  ['/upstreams', 'Upstreams'],
  ['/preload', 'Preload'],
  ['/storage', 'Storage'],
  ['/activity', 'Activity'],
  ['/activity/clients', 'Activity'],
  ['/nodes', 'Node set-up'],
  ['/settings', 'Settings'],
] as const

const WINDOW_SECONDS = 15
/** Of Linux, for what it says in /proc. */
const TICKS_PER_SECOND = 100
const TOKEN = 'the-right-token-of-this-test'

let browser: Browser

before(async () => {
  browser = await startBrowser()
})

after(async () => {
  await browser.close()
})

test('every page opens without a complaint and asks nobody else, at two widths, in both themes', async () => {
  await using site = await PageSite.start({ pulls: 40 })
  for (const width of [1280, 400]) {
    for (const theme of ['light', 'dark'] as const) {
      await using tab = await Tab.open(browser, site.url, { width, theme })
      for (const [path, title] of PAGES) {
        await tab.go(path)
        await tab.page.getByRole('heading', { level: 1, name: title }).waitFor()
        await settled(tab)
        assert.equal(await tab.overflow(), 0, `${path} at ${width}`)
        await take(tab, `${path}-${width}-${theme}`)
      }
      assert.deepEqual(tab.complaints, [])
      assert.deepEqual(tab.foreign, [])
    }
  }
})

test('a preload runs from the page to 100 %, and is watched on its way there', async () => {
  await using site = await PageSite.start()
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await tab.go('/preload')
  await page.getByText('No preload has run yet').waitFor()
  const text = page.getByRole('textbox', { name: /^Images, one a line/ })
  await text.fill('reg.test/library/redis:v1.0.0\nreg.test/library/redis:latest\n')
  await page.getByRole('button', { name: 'Dry run' }).click()
  await page.getByText('To be fetched').first().waitFor()
  assert.equal(site.registry.countBlobs(), 0)

  await tab.go('/preload')
  await text.fill('reg.test/library/redis:v1.0.0\nreg.test/library/redis:latest\n')
  const barrier = site.registry.hold({ path: /^\/v2\/library\/redis\/blobs\// }, { skip: 2 })
  await page.getByRole('button', { name: 'Preload' }).click()
  await barrier.arrived()
  const bar = page.getByRole('progressbar', { name: 'Preloaded' })
  await page.getByText('Under way').waitFor()
  assert.ok(Number(await bar.getAttribute('aria-valuenow')) < 100)
  await page
    .getByRole('progressbar', { name: /is on its way of/ })
    .first()
    .waitFor()
  barrier.release()
  await page.getByRole('heading', { level: 2, name: '100 %' }).waitFor()
  assert.equal(await bar.getAttribute('aria-valuenow'), '100')
  await page.getByText('2 of 2 images').waitFor()
  await page.getByRole('link', { name: 'reg.test/library/redis:latest' }).click()
  await page.getByRole('heading', { level: 1, name: 'redis:latest' }).waitFor()
  assert.equal((await site.ask('/images/reg.test/library/redis:latest')).body.complete, true)
  assert.deepEqual([tab.complaints, tab.foreign], [[], []])
})

test('a preload is cancelled, and what it left is tried again', async () => {
  await using site = await PageSite.start()
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  const barrier = site.registry.hold({ path: /\/blobs\// })
  await tab.go('/preload')
  const text = page.getByRole('textbox', { name: /^Images, one a line/ })
  await text.fill('reg.test/library/nginx:latest\nreg.test/library/none:v1\n')
  await page.getByRole('button', { name: 'Preload' }).click()
  await barrier.arrived()
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByText('Cancelled', { exact: true }).waitFor()
  barrier.release()
  site.registry.clearScripts()
  await page.getByRole('button', { name: 'Try again what is missing' }).click()
  await page.getByText('Not all of it').waitFor()
  const [job] = (await site.ask('/jobs')).body.jobs
  const failed = job.failed.map(({ image }: { image: string }) => image)
  assert.deepEqual(failed, ['reg.test/library/none:v1'], JSON.stringify(job))
  await page
    .getByText(/library\/none/)
    .first()
    .waitFor()
  await page.getByText('1 failed').waitFor()
  assert.equal((await site.ask('/images/reg.test/library/nginx:latest')).body.complete, true)
})

test('a purge says what would go, and only then does it', async () => {
  await using site = await PageSite.start({ pulls: 8 })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await tab.go(`/images/${NGINX}`)
  const isThere = async () => (await site.ask(`/images/${NGINX}`)).status === 200
  await page.getByRole('button', { name: 'Purge…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Purge this image?' })
  await dialog.getByText(/would go: 1\stag, 1\smanifest, 3\sother contents/).waitFor()
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  assert.equal(await isThere(), true)
  assert.equal(await page.evaluate('document.activeElement?.textContent?.trim()'), 'Purge…')

  await page.getByRole('button', { name: 'Purge…' }).click()
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  assert.equal(await isThere(), true)
  await page.getByRole('button', { name: 'Purge…' }).click()
  await dialog.getByRole('button', { name: /^Purge \d/ }).click()
  await page.getByText(/is not here: GET \/images lists what is/).waitFor()
  assert.equal(await isThere(), false)
})

test('what is pinned says so, stays in a purge, and is unpinned', async () => {
  await using site = await PageSite.start({ pulls: 8 })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await tab.go(`/images/${NGINX}`)
  await page.getByRole('button', { name: 'Pin…' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Pin' }).click()
  await page.getByText('pinned: eviction leaves it alone').waitFor()
  await page.getByRole('button', { name: 'Purge…' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('Nothing would go.').waitFor()
  assert.equal(await dialog.getByRole('button', { name: 'Purge' }).isDisabled(), true)
  await dialog.getByRole('checkbox', { name: 'Also what is pinned' }).check()
  await dialog.getByText(/would go: 1\stag/).waitFor()
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('button', { name: 'Unpin' }).click()
  await page.getByText('until room is needed').waitFor()
  assert.deepEqual((await site.ask('/pins')).body.pins, [])
})

test('a registry is tested step by step, blocked with a reason, and unblocked', async () => {
  await using site = await PageSite.start({ pulls: 8 })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await tab.go('/upstreams')
  const card = page.getByRole('region', { name: 'reg.test' })
  await card.getByText('Answers').waitFor()
  await card.getByRole('button', { name: 'Test…' }).click()
  const test = page.getByRole('dialog', { name: 'Test reg.test' })
  await test.getByRole('button', { name: 'Test' }).click()
  await test.getByText('It can be pulled from.').waitFor()
  await page.keyboard.press('Escape')
  await page
    .getByRole('region', { name: 'dead.test' })
    .getByRole('button', { name: 'Test…' })
    .click()
  const dead = page.getByRole('dialog', { name: 'Test dead.test' })
  await dead.getByRole('button', { name: 'Test' }).click()
  await dead.getByText('It cannot be pulled from.').waitFor()
  await page.keyboard.press('Escape')

  await card.getByRole('button', { name: 'Block…' }).click()
  const block = page.getByRole('dialog', { name: 'Block reg.test?' })
  await block.getByLabel('Why, for whoever comes after you').fill(HOSTILE)
  await block.getByRole('button', { name: 'Block' }).click()
  await card.getByText(`Blocked by an operator: ${HOSTILE}`).waitFor()
  assert.equal((await site.ask('/upstreams')).body.upstreams[0].blocked.reason, HOSTILE)
  await tab.go('/')
  await page.getByRole('region', { name: 'Needs a look' }).waitFor()
  await tab.go('/upstreams')
  await card.getByRole('button', { name: 'Unblock' }).click()
  await card.getByRole('button', { name: 'Block…' }).waitFor()
  assert.equal((await site.ask('/upstreams')).body.upstreams[0].blocked, undefined)
})

test('storage is tidied, verified and made room in, each after a look at what would go', async () => {
  await using site = await PageSite.start({ pulls: 8 })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await tab.go('/storage')
  await page.getByText(/of 100\sGiB used/).waitFor()
  await page.getByRole('meter', { name: 'reg.test' }).waitFor()
  await page.getByRole('button', { name: 'By repository' }).click()
  await page.getByRole('meter', { name: 'reg.test/library/nginx' }).waitFor()
  await page.getByRole('button', { name: 'Collect…' }).click()
  const collect = page.getByRole('dialog', { name: 'Collect garbage?' })
  await collect.getByText('There is none').waitFor()
  await collect.getByRole('button', { name: 'Close' }).click()

  await page.getByRole('button', { name: 'Verify', exact: true }).click()
  await page.getByText(/^All \d+\scontents are right$/).waitFor()

  await page.getByLabel('Remove').selectOption('pattern')
  await page.getByLabel(/^such as ghcr/).fill('reg.test/library/nginx:*')
  await page.getByRole('button', { name: 'Show what would go…' }).click()
  const room = page.getByRole('dialog', { name: 'Make room?' })
  await room.getByText(/would go: 4\stags/).waitFor()
  assert.equal((await site.ask(`/images/${NGINX}`)).status, 200)
  await room.getByRole('button', { name: /^Purge \d/ }).click()
  await room.waitFor({ state: 'detached' })
  assert.equal((await site.ask(`/images/${NGINX}`)).status, 404)
  assert.deepEqual([tab.complaints, tab.foreign], [[], []])
})

test('requests appear as they are made, and can be told apart', async () => {
  await using site = await PageSite.start({ pulls: 4 })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await tab.go('/activity')
  await page.getByRole('table', { name: 'Requests' }).waitFor()
  await page.getByLabel('Search').fill('late/comer')
  await page.getByText('None of the latest requests is like that').waitFor()
  const image = buildImage({ seed: 'late' })
  site.registry.content.add('late/comer', image, 'v1')
  await site.pull('late/comer', image, 'v1')
  await page.getByText('reg.test/late/comer:v1').waitFor()
  await page.getByLabel('Search').fill('')
  await page.getByLabel('Result').selectOption('error')
  await page.getByText('dead.test/a/b:v1').waitFor()
  await page.getByText('reg.test/late/comer:v1').waitFor({ state: 'detached' })
  assert.match(page.url(), /result=error/)
  await tab.go('/')
  await page
    .getByRole('region', { name: 'Latest failures' })
    .getByText('dead.test/a/b:v1')
    .waitFor()
})

test('the sums of the charts are those of the API, and what is copied is what is shown', async () => {
  await using site = await PageSite.start({ pulls: 8 })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: site.url })
  await tab.go('/')
  const { last24Hours } = (await site.ask('/overview')).body
  const { hit, revalidated, stale, coalesced, negative } = last24Hours.requests.byResult
  const expected = hit + revalidated + stale + coalesced + negative
  const pulls = page.getByRole('region', { name: 'Pulls', exact: true })
  await pulls.getByText(new RegExp(`^From the cache\\s${expected}$`)).waitFor()
  await tab.go('/nodes?runtime=crio')
  const block = page.locator('.block').first()
  await block.getByRole('button', { name: /^Copy/ }).click()
  await page.getByText('Copied').first().waitFor()
  const copied = await page.evaluate<string>('navigator.clipboard.readText()')
  assert.equal(copied, await block.locator('pre').textContent())
  assert.match(copied, /\[\[registry\]\]/)
})

test('images are searched, sorted and paged', async () => {
  await using site = await PageSite.start({ pulls: 12 })
  for (let at = 0; at < 60; at++) {
    const image = buildImage({ seed: `many/${at}`, layers: [100 + at] })
    site.registry.content.add(`many/image-${at}`, image, 'v1')
    await site.pull(`many/image-${at}`, image, 'v1')
  }
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  const rows = page.getByRole('table', { name: 'Images' }).getByRole('row')
  await tab.go('/images')
  await page.getByRole('link', { name: 'reg.test/many/image-59:v1' }).waitFor()
  assert.equal(await rows.count(), 51)
  await page.getByRole('button', { name: 'Next' }).click()
  await page.getByText('Page 2').waitFor()
  await page.getByRole('link', { name: NGINX, exact: true }).waitFor()
  await page.getByRole('button', { name: 'Previous' }).click()
  await page.getByRole('link', { name: 'reg.test/many/image-59:v1' }).waitFor()
  await page.getByRole('columnheader', { name: 'Pulls' }).getByRole('button').click()
  await page
    .getByRole('columnheader', { name: 'Pulls' })
    .and(page.locator('[aria-sort=descending]'))
    .waitFor()
  const { images } = (await site.ask('/images?sort=pulls&limit=50')).body
  await rows.nth(1).getByText(images[0].repository.split('/').at(-1)).first().waitFor()
  await page.getByRole('searchbox').fill('many/image-1')
  await page.getByRole('link', { name: NGINX, exact: true }).waitFor({ state: 'detached' })
  assert.equal(await rows.count(), 12)
})

test('what strangers wrote is text, wherever it is shown', async () => {
  await using site = await PageSite.start({ pulls: 8 })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  const isText = async (times: number) => {
    await page
      .getByText(HOSTILE)
      .nth(times - 1)
      .waitFor()
    assert.equal(await page.evaluate('window.hacked'), undefined)
    assert.equal(await page.locator('img:not([src="/ui/icon.svg"]), main b > b').count(), 0)
  }
  await tab.go('/images/reg.test/evil/image:v1')
  // As an annotation, as the name of one, and as the type of what refers to it.
  await isText(3)
  await tab.go('/activity/clients')
  await isText(1)
  await tab.go(`/images?search=${encodeURIComponent(HOSTILE)}`)
  await page.getByText('No image is like that').waitFor()
  assert.equal(await page.getByRole('searchbox').inputValue(), HOSTILE)
  await tab.go(`/images/${encodeURIComponent(HOSTILE)}`)
  await isText(2)
  await tab.go(`/${HOSTILE}`)
  await page.getByText('There is no such page').waitFor()
  assert.equal(await page.evaluate('window.hacked'), undefined)
  // The browser itself refuses what would make HTML of a text.
  await assert.rejects(page.evaluate(`document.body.innerHTML = '<b>x</b>'`), /TrustedHTML/)
})

test('everything is reached by keys alone', async () => {
  await using site = await PageSite.start({ pulls: 12 })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await tab.go('/')
  await page.keyboard.press('Tab')
  assert.equal(await focused(tab), 'Skip to the content')
  await page.keyboard.press('Enter')
  assert.equal(await page.evaluate('document.activeElement.id'), 'content')
  await page.keyboard.press('g')
  await page.keyboard.press('i')
  await page.getByRole('heading', { level: 1, name: 'Images' }).waitFor()
  await page.getByRole('table', { name: 'Images' }).waitFor()
  await page.keyboard.press('/')
  await page.keyboard.type('nginx')
  await page.getByText('redis').first().waitFor({ state: 'detached' })
  assert.match(page.url(), /search=nginx/)
  for (let tabs = 0; (await focused(tab)) !== NGINX; tabs++) {
    assert.ok(tabs < 20, 'the first image is not reached')
    await page.keyboard.press('Tab')
  }
  const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')
  assert.equal(outline, 'solid')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { level: 1, name: NGINX }).waitFor()
  await page.keyboard.press('?')
  await page.getByRole('dialog', { name: 'Keys' }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.keyboard.press('g')
  await page.keyboard.press('n')
  await page.getByRole('heading', { level: 1, name: 'Node set-up' }).waitFor()
})

test('a change asks for the token, which this tab alone keeps', async () => {
  await using dir = await makeTempDir()
  const tokenFile = join(dir.path, 'token')
  await writeFile(tokenFile, `${TOKEN}\n`, { mode: 0o600 })
  await using site = await PageSite.start({ pulls: 8, larder: { admin: { tokenFile } } })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  const openPin = async () => {
    await page.getByRole('button', { name: 'Pin…' }).click()
    await page
      .getByRole('dialog', { name: 'Keep this image' })
      .getByRole('button', { name: 'Pin' })
      .click()
  }
  await tab.go(`/images/${NGINX}`)
  await openPin()
  const asked = page.getByRole('dialog', { name: 'This change needs the admin token' })
  await asked.getByLabel('Token').fill('wrong-token')
  await asked.getByRole('button', { name: 'Go on' }).click()
  await asked.getByText('the admin token is wrong').waitFor()
  await asked.getByLabel('Token').fill(TOKEN)
  await asked.getByRole('button', { name: 'Go on' }).click()
  await page.getByText('pinned: eviction leaves it alone').waitFor()
  // And is not asked for again.
  await page.getByRole('button', { name: 'Unpin' }).click()
  await page.getByText('until room is needed').waitFor()
  assert.equal(await page.evaluate('JSON.stringify(localStorage).includes("token")'), false)
  assert.equal(await page.evaluate('document.cookie'), '')
  await using other = await Tab.open(browser, site.url)
  await other.go(`/images/${NGINX}`)
  await other.page.getByRole('button', { name: 'Purge…' }).click()
  await other.page.getByRole('dialog', { name: 'This change needs the admin token' }).waitFor()
  await other.page.keyboard.press('Escape')
  await other.page.getByText(/the admin token is needed/i).waitFor()
})

test('before the first pull it says how a node gets there, by the name it was reached by', async () => {
  await using site = await PageSite.start()
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await tab.go('/')
  await page.getByText('No pulls yet').waitFor()
  const server = `[host."${site.larder.url}"]`
  await page.getByText(server).waitFor()
  await page.getByText('/etc/containerd/certs.d/_default/hosts.toml').first().waitFor()
  await tab.go('/nodes')
  for (const runtime of ['CRI-O', 'Docker', 'k3s', 'Talos', 'BuildKit']) {
    await page.getByRole('button', { name: runtime, exact: true }).click()
    await page
      .locator('pre', { hasText: String(site.larder.port) })
      .first()
      .waitFor()
  }
  await page.getByLabel('Where nodes reach this Larder').fill('https://larder.example')
  await page.locator('pre', { hasText: 'larder.example' }).first().waitFor()
  await page.getByLabel('Where nodes reach this Larder').fill('larder.example')
  await page.getByText(/the URL of Larder has to be http/i).waitFor()
})

test('the theme is the system’s until somebody chooses, and stays chosen', async () => {
  await using site = await PageSite.start()
  await using tab = await Tab.open(browser, site.url, { theme: 'dark' })
  const { page } = tab
  const ground = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
  await tab.go('/')
  const dark = await ground()
  await page.getByRole('button', { name: /^Theme: system/ }).click()
  const light = await ground()
  assert.notEqual(light, dark)
  await page.reload()
  await page.getByRole('button', { name: /^Theme: light/ }).waitFor()
  assert.equal(await ground(), light)
  await page.getByRole('button', { name: /^Theme: light/ }).click()
  assert.equal(await ground(), dark)
})

test('while Larder does not answer that is said, with what was known', async () => {
  await using site = await PageSite.start({ pulls: 8 })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await tab.go('/')
  await page.getByText('From the cache, 24 h').waitFor()
  await page.route('**/api/**', (route) => route.abort())
  await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`)
  await page.getByText('Larder does not answer.').first().waitFor()
  await page.getByText('Does not answer', { exact: true }).waitFor()
  await page.getByText('From the cache, 24 h').waitFor()
  await page.unroute('**/api/**')
  await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`)
  await page.getByText('Working').waitFor()
  await page.getByText('Larder does not answer.').first().waitFor({ state: 'detached' })
})

test('a first look costs little', async (t) => {
  await using site = await PageSite.start({ pulls: 40 })
  const times: number[] = []
  for (let round = 0; round < 5; round++) {
    await using tab = await Tab.open(browser, site.url)
    const session = await tab.page.context().newCDPSession(tab.page)
    let bytes = 0
    session.on('Network.loadingFinished', ({ encodedDataLength }) => {
      bytes += encodedDataLength
    })
    await session.send('Network.enable')
    const startedAt = performance.now()
    await tab.go('/')
    await tab.page.locator('canvas').first().waitFor()
    times.push(performance.now() - startedAt)
    assert.ok(bytes > 50_000 && bytes < 200_000, `${bytes} bytes`)
  }
  const median = times.toSorted((one, other) => one - other)[2] ?? 0
  // On a quiet machine it is less than one second.
  t.diagnostic(`${Math.round(median)} ms until the first chart is drawn`)
  assert.ok(median < 5_000, `${Math.round(median)} ms`)
})

test('a page that is left open costs less than a hundredth of a core', async () => {
  await using site = await PageSite.start({ pulls: 40 })
  await using tab = await Tab.open(browser, site.url)
  await tab.go('/')
  await tab.page.locator('canvas').first().waitFor()
  const shares: number[] = []
  for (let round = 0; round < 3; round++) {
    const before = await cpuSeconds(site.larder.pid)
    // The measurement is one of time.
    await delay(WINDOW_SECONDS * 1000)
    shares.push(((await cpuSeconds(site.larder.pid)) - before) / WINDOW_SECONDS)
  }
  const least = Math.min(...shares)
  assert.ok(least < 0.01, `${shares.map((share) => (100 * share).toFixed(2))} % of a core`)
})

test('a hidden page asks nothing', async () => {
  await using site = await PageSite.start({ pulls: 8 })
  await using tab = await Tab.open(browser, site.url)
  const { page } = tab
  await page.clock.install()
  await tab.go('/activity')
  await page.getByRole('table', { name: 'Requests' }).waitFor()
  for (let round = 0; round < 5; round++) {
    const answer = page.waitForResponse(/activity\?/)
    await page.clock.runFor(3_100)
    await answer
  }
  await hide(tab, true)
  await settled(tab)
  let asked = 0
  page.on('request', () => asked++)
  await page.clock.runFor(600_000)
  assert.equal(asked, 0)
  const again = page.waitForRequest(/activity\?/)
  await hide(tab, false)
  await again
})

/** What a process has used so far, of all cores together. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** As when another tab comes to the front. */
async function hide({ page }: Tab, isHidden: boolean): Promise<void> {
  const property = `{ value: ${isHidden}, configurable: true }`
  await page.evaluate(`Object.defineProperty(document, 'hidden', ${property})`)
  await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`)
}

/** Settles once nothing of the page is on its way any more. */
async function settled({ page }: Tab): Promise<void> {
  const waiting = page.locator('[aria-busy=true]')
  while ((await waiting.count()) > 0) await waiting.first().waitFor({ state: 'detached' })
}

/** What is named by what has the focus. */
async function focused({ page }: Tab): Promise<string> {
  return String(await page.evaluate('document.activeElement?.textContent?.trim()'))
}

async function take({ page }: Tab, name: string): Promise<void> {
  if (PICTURES === undefined) return
  await mkdir(PICTURES, { recursive: true })
  const file = `${name.replaceAll(/[^a-z0-9-]+/gi, '_')}.png`
  await page.screenshot({ path: join(PICTURES, file), fullPage: true })
}
