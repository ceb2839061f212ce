/** Chromium as an operator uses it, and what it says of itself meanwhile. */
import {
  type Browser,
  type BrowserContext,
  chromium,
  type Page,
  type Request,
} from 'playwright-core'

const EXECUTABLE = '/usr/bin/chromium'
/** Without a screen, in a container, and asking nobody anything by itself. */
const ARGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export interface TabOptions {
  readonly width?: number
  readonly theme?: 'light' | 'dark'
}

export async function startBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: EXECUTABLE, args: ARGS })
}

/** A browser's window of its own: no other's storage, no other's theme. */
export class Tab implements AsyncDisposable {
  readonly page: Page
  readonly #context: BrowserContext
  readonly #origin: string
  /** Errors and warnings of the console, exceptions, and what the policy has refused. */
  readonly complaints: string[] = []
  /** URLs of other origins that were asked for. */
  readonly foreign: string[] = []

  static async open(browser: Browser, origin: string, options: TabOptions = {}): Promise<Tab> {
    const { width = 1280, theme = 'light' } = options
    const context = await browser.newContext({
      viewport: { width, height: 900 },
      colorScheme: theme,
      reducedMotion: 'reduce',
    })
    return new Tab(context, await context.newPage(), origin)
  }

  private constructor(context: BrowserContext, page: Page, origin: string) {
    this.#context = context
    this.#origin = origin
    this.page = page
    page.on('console', (message) => {
      if (!['error', 'warning'].includes(message.type())) return
      this.complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`)
    })
    page.on('pageerror', (error) => this.complaints.push(`exception: ${error.message}`))
    page.on('request', (request: Request) => {
      if (new URL(request.url()).origin !== origin) this.foreign.push(request.url())
    })
  }

  /** Goes to a page by what follows `#`, and waits for its heading. */
  async go(path = '/'): Promise<void> {
    await this.page.goto(`${this.#origin}/#${path}`)
    await this.page.locator('h1').first().waitFor()
  }

  /** By how much the page is wider than the window, in pixels. */
  overflow(): Promise<number> {
    return this.page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
  }

  /** Settles once nothing of the page is on its way any more. */
  async settled(): Promise<void> {
    const waiting = this.page.locator('[aria-busy=true]')
    while ((await waiting.count()) > 0) await waiting.first().waitFor({ state: 'detached' })
  }

  /** As when another window comes before this one, or goes. */
  async hide(isHidden: boolean): Promise<void> {
    const property = `{ value: ${isHidden}, configurable: true }`
    await this.page.evaluate(`Object.defineProperty(document, 'hidden', ${property})`)
    await this.page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`)
  }

  /** The text of what has the focus. */
  async focused(): Promise<string> {
    return String(await this.page.evaluate('document.activeElement?.textContent?.trim()'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.close()
  }
}
