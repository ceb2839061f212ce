/** The dashboard in a real browser, before a real Larder. */
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Browser } from 'playwright-core'

import { startBrowser, Tab } from './browser.ts'
import { PageSite } from './page-site.ts'

/** Where pictures of every page are put, for whoever wants to look at them; absent: none are taken. */
const PICTURES = process.env['PAGE_PICTURES']
const NGINX = 'reg.test/library/nginx:v1.0.0'
const PAGES = [
  ['/', 'Overview'],
  ['/images', 'Images'],
  [`/images/${NGINX}`, NGINX],
  ['/images/reg.test/evil/image:v1', 'reg.test/evil/image:v1'],
  ['/preload', 'Preload'],
  ['/storage', 'Storage'],
  ['/activity', 'Activity'],
  ['/activity/clients', 'Activity'],
  ['/nodes', 'Node set-up'],
  ['/settings', 'Settings'],
] as const

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
        await tab.page.locator('[aria-busy=true]').waitFor({ state: 'detached' })
        assert.equal(await tab.overflow(), 0, `${path} at ${width}`)
        await take(tab, `${path}-${width}-${theme}`)
      }
      assert.deepEqual(tab.complaints, [])
      assert.deepEqual(tab.foreign, [])
    }
  }
})

async function take({ page }: Tab, name: string): Promise<void> {
  if (PICTURES === undefined) return
  await mkdir(PICTURES, { recursive: true })
  const file = `${name.replaceAll(/[^a-z0-9-]+/gi, '_')}.png`
  await page.screenshot({ path: join(PICTURES, file), fullPage: true })
}
