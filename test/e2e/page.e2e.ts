/** The dashboard in a real browser: it opens everywhere, says how it stands, and costs little. */
import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Browser } from 'playwright-core'

import { startBrowser, Tab } from './browser.ts'
import { NGINX, PageSite } from './page-site.ts'

/** Where pictures of every page are put, for whoever wants to look at them; absent: none are taken. */
const PICTURES = process.env['PAGE_PICTURES']
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
        await tab.settled()
        assert.equal(await tab.overflow(), 0, `${path} at ${width}`)
        await take(tab, `${path}-${width}-${theme}`)
      }
      assert.deepEqual(tab.complaints, [])
      assert.deepEqual(tab.foreign, [])
    }
  }
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
  await tab.hide(true)
  await tab.settled()
  let asked = 0
  page.on('request', () => asked++)
  await page.clock.runFor(600_000)
  assert.equal(asked, 0)
  const again = page.waitForRequest(/activity\?/)
  await tab.hide(false)
  await again
})

/** What a process has used so far, of all cores together. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

async function take({ page }: Tab, name: string): Promise<void> {
  if (PICTURES === undefined) return
  await mkdir(PICTURES, { recursive: true })
  const file = `${name.replaceAll(/[^a-z0-9-]+/gi, '_')}.png`
  await page.screenshot({ path: join(PICTURES, file), fullPage: true })
}
