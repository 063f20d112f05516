import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  call,
  describeBrowser,
  serve,
  startChromium,
  temporaryFolder,
  type Browser,
  type Site,
} from "../browser/chromium.ts";
import type * as module from "../browser/pages/indexeddb-writer.ts";
import { effort } from "../support/effort.ts";

type Module = typeof module;

/** How often the browser is killed. */
const ROUNDS = effort("HEALTHLEDGER_BROWSER_KILLS", { full: 40, short: 3 });

describeBrowser("indexeddbStorage in several tabs", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let site: Site;
  let browser: Browser;
  const start = async () => {
    browser = await startChromium(join(folder.path, "profile"));
  };
  const tab = () => browser.open(site.url("indexeddb-writer"));
  const reported = async (count: number): Promise<void> => {
    while (site.reports.length < count) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  const countsOf = (labels: readonly string[]) => {
    const counts: Record<string, number> = {};
    for (const label of labels) counts[label] = (counts[label] ?? 0) + 1;
    return counts;
  };

  beforeEach(async () => {
    [folder, site] = await Promise.all([temporaryFolder(), serve("indexeddb-writer")]);
    await start();
  });
  afterEach(async () => {
    await browser.kill();
    await site.close();
    await folder.remove();
  });

  it("lets two tabs append to one chain: nothing is lost or there twice", async () => {
    const [one, two] = await Promise.all([tab(), tab()]);
    await Promise.all([
      call<Module, "write">(one, "write", "one", 60),
      call<Module, "write">(two, "write", "two", 60),
    ]);
    expect(await call<Module, "check">(one, "check", 0)).toEqual({
      size: 240,
      counts: { one: 60, two: 60 },
      wrong: [],
    });
  });

  it("loses nothing acknowledged and tears nothing when a page is loaded anew", async () => {
    const page = await tab();
    let size = 0;
    for (let round = 0; round < 10; round++) {
      site.reports.length = 0;
      const label = `${round}-reloaded`;
      // It does not come back: its page is gone.
      call<Module, "write">(page, "write", label, 1_000_000).catch(() => undefined);
      await reported(1 + ((round * 7) % 20));
      await new Promise((resolve) => setTimeout(resolve, (round * 3) % 11));
      await page.reload();
      const found = await call<Module, "check">(page, "check", size);
      const acknowledged = countsOf(site.reports)[label] ?? 0;
      expect(found.wrong).toEqual([]);
      // The last commit may have been durable and its report under way.
      expect([acknowledged, acknowledged + 1]).toContain(found.counts[label] ?? 0);
      ({ size } = found);
    }
    expect(size).toBeGreaterThanOrEqual(20);
  });

  it(`loses nothing acknowledged and tears nothing when the browser is killed ${ROUNDS} times`, async () => {
    let size = 0;
    for (let round = 0; round < ROUNDS; round++) {
      site.reports.length = 0;
      const labels = [`${round}-one`, `${round}-two`].slice(0, 1 + (round % 2));
      for (const label of labels) {
        const page = await tab();
        // It does not come back: the browser is killed.
        call<Module, "write">(page, "write", label, 1_000_000).catch(() => undefined);
      }
      await reported(1 + ((round * 17) % 40));
      await new Promise((resolve) => setTimeout(resolve, (round * 7) % 23));
      await browser.kill();
      const acknowledged = countsOf(site.reports);
      await start();
      const page = await tab();
      const found = await call<Module, "check">(page, "check", size);
      expect(found.wrong).toEqual([]);
      for (const label of labels) {
        // The last commit may have been durable and its report under way.
        const count = acknowledged[label] ?? 0;
        expect([count, count + 1]).toContain(found.counts[label] ?? 0);
      }
      ({ size } = found);
      await page.close();
    }
    const page = await tab();
    expect((await call<Module, "check">(page, "check", 0)).wrong).toEqual([]);
    expect(size).toBeGreaterThanOrEqual(2 * ROUNDS);
  });

  it("never hands out rotten bytes: it says so, or the browser begins anew", async () => {
    const one = await tab();
    await call<Module, "write">(one, "write", "one", 600);
    await browser.kill();
    const databases = join(folder.path, "profile", "Default", "IndexedDB");
    const tables = readdirSync(databases, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ldb"))
      .map((name) => join(databases, name));
    expect(tables.length).toBeGreaterThan(0);
    for (const table of tables) {
      const bytes = readFileSync(table);
      for (let i = 1; i < 20; i++) bytes[Math.floor((bytes.length * i) / 20)]! ^= 0x40;
      writeFileSync(table, bytes);
    }
    await start();
    const nothing = { size: 0, counts: {}, wrong: [] };
    const found = [];
    for (let tries = 0; tries < 3; tries++) {
      found.push(await call<Module, "checkDamaged">(await tab(), "checkDamaged"));
    }
    for (const what of found) {
      if (typeof what === "string") expect(what).toMatch(/^ERR_STORAGE_(FAILED|CORRUPT|CLOSED)$/);
      else expect(what).toEqual(nothing);
    }
  });
});
