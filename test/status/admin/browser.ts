import type { TestContext } from 'node:test';
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { lacks } from '../../e2e/harness/index.js';

/** Debian's. */
const CHROMIUM = '/usr/bin/chromium';

/** Why tests with a browser are left out, or false. */
export const noBrowser: string | false = lacks('chromium');

/** Nothing but what the page asks for may leave it; root needs no-sandbox, and containers have no GPU. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface Opened {
  readonly page: Page;
  /** What went wrong in the page: errors, and what its console said of them. */
  readonly errors: string[];
  /** All that it asked for. */
  readonly requests: string[];
}

/** A page in a browser of its own, which ends with the test. */
export async function openPage(t: TestContext, url: string, options: BrowserContextOptions = {}): Promise<Opened> {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  t.after(() => browser.close());
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const errors: string[] = [];
  const requests: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text());
  });
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(url);
  return { page, errors, requests };
}

/** How much wider than the window the page is. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate('document.documentElement.scrollWidth - window.innerWidth');
}
