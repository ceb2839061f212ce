/** What an operator changes from the dashboard: each is said before it is done, and watched. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Browser } from 'playwright-core'

import { makeTempDir } from '../support/temp-dir.ts'
import { startBrowser, Tab } from './browser.ts'
import { HOSTILE, NGINX, PageSite } from './page-site.ts'

const TOKEN = 'the-right-token-of-this-test'

let browser: Browser

before(async () => {
  browser = await startBrowser()
})

after(async () => {
  await browser.close()
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
  await page.getByText(/is not here; larder ls, or GET .* lists what is/).waitFor()
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
