/** What the dashboard shows is what is there, as text, and everything of it is reached by keys. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Browser } from 'playwright-core'

import { buildImage } from '../support/images.ts'
import { startBrowser, Tab } from './browser.ts'
import { HOSTILE, NGINX, PageSite } from './page-site.ts'

let browser: Browser

before(async () => {
  browser = await startBrowser()
})

after(async () => {
  await browser.close()
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
  assert.equal(await tab.focused(), 'Skip to the content')
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
  for (let tabs = 0; (await tab.focused()) !== NGINX; tabs++) {
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
