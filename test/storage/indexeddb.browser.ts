import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { storageCases } from "../../src/testing/storage-kit.ts";
import {
  call,
  describeBrowser,
  serve,
  startChromium,
  temporaryFolder,
  type Browser,
  type Site,
} from "../browser/chromium.ts";
import { describeWith } from "../support/describe-with.ts";
import type * as module from "../browser/pages/indexeddb.ts";

type Module = typeof module;
const FEATURES: readonly string[] = ["chains", "blobs", "state", "commit", "tail", "reopen"];
const cases = storageCases.filter(({ requires = [] }) =>
  requires.every((feature) => FEATURES.includes(feature)),
);

describeBrowser("indexeddbStorage in Chromium", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let site: Site;
  let browser: Browser;
  let page: Page;
  const tab = () => browser.open(site.url("indexeddb"));

  beforeAll(async () => {
    [folder, site] = await Promise.all([temporaryFolder(), serve("indexeddb")]);
    browser = await startChromium(join(folder.path, "profile"));
    page = await tab();
  });
  afterAll(async () => {
    await browser?.kill();
    await site?.close();
    await folder?.remove();
  });

  it.each(cases)("$name", async ({ name }) => {
    expect(await call<Module, "runCase">(page, "runCase", name)).toBeUndefined();
  });

  it("runs a kit that fails every control", async () => {
    expect(await call<Module, "passingControls">(page, "passingControls")).toEqual([]);
  });

  it("promises durability through a loss of power where the browser flushes, else less", async () => {
    expect(await call<Module, "hold">(page, "hold", "caps")).toMatchObject({
      durability: "power",
      multiProcess: true,
      tail: true,
    });
    expect(await call<Module, "durabilities">(page, "durabilities", "caps")).toEqual({
      without: "process",
      asked: ["strict"],
    });
    await call<Module, "close">(page, "close");
  });

  it("lays data out as the specification says", async () => {
    const rows = await call<Module, "layout">(page, "layout", "layout");
    const spec = readFileSync(new URL("../../docs/spec/storage.md", import.meta.url), "utf8");
    const [, block] = /## IndexedDB[^]*?```text\n([^]*?)```/.exec(spec)!;
    const lines = Object.entries(rows).map(
      ([name, row]) => `${name}: ${row}
`,
    );
    expect(lines.join("")).toBe(block);
  });

  it("leaves a blob alone that is there already", async () => {
    await call<Module, "hold">(page, "hold", "again");
    expect(await call<Module, "putAgain">(page, "putAgain")).toBe("first");
    await call<Module, "close">(page, "close");
  });

  it("takes as many bytes at once as it says", async () => {
    await call<Module, "hold">(page, "hold", "large");
    expect(await call<Module, "commitBytes">(page, "commitBytes", (1 << 26) - 100)).toBe("done");
    await call<Module, "close">(page, "close");
  });

  it("does not report success if the transaction aborts after every request succeeded", async () => {
    const unknown =
      "ERR_STORAGE_AMBIGUOUS: whether the append happened is unknown: repeat the call to settle it";
    expect(await call<Module, "appendAborted">(page, "appendAborted", "aborted")).toEqual([
      unknown,
      unknown,
      "0",
      "0",
    ]);
  });

  it("says that nothing was written when a transaction ends before its commit", async () => {
    const [ended, size] = await call<Module, "appendInterrupted">(
      page,
      "appendInterrupted",
      "interrupted",
    );
    expect(ended).toBe("ERR_STORAGE_FAILED: the browser failed; nothing was written");
    expect(size).toBe("0");
  });

  it.each([
    ["upgrades", 2, ["upgradeneeded"]],
    ["deletes", "delete", []],
  ] as const)(
    "makes way when another tab %s the database, and says so",
    async (what, version, events) => {
      const [one, two] = await Promise.all([tab(), tab()]);
      const name = `changed ${what}`;
      await call<Module, "hold">(one, "hold", name);
      expect(await call<Module, "append">(one, "append", "r")).toBe("done");
      const following = call<Module, "outcomeOfFollow">(one, "outcomeOfFollow", 1);
      expect(await call<Module, "tamper">(two, "tamper", name, version)).toEqual(events);
      const lost =
        "ERR_STORAGE_CLOSED: another tab upgrades or deletes the database; reload this one";
      expect(await following).toBe(lost);
      expect(await call<Module, "append">(one, "append", "late")).toBe(lost);
      expect(await call<Module, "outcomeOfRead">(one, "outcomeOfRead")).toBe(lost);
      const opening = await call<Module, "outcomeOfOpening">(two, "outcomeOfOpening", name);
      expect(opening).toMatch(version === 2 ? /^ERR_INPUT_UNSUPPORTED: .*later version/ : /^done$/);
      await Promise.all([one.close(), two.close()]);
    },
  );

  it("gives up opening when told to, and gets through once the way is free", async () => {
    const [one, two] = await Promise.all([tab(), tab()]);
    await call<Module, "occupy">(one, "occupy", "occupied");
    await call<Module, "startDeleting">(two, "startDeleting", "occupied");
    expect(
      await call<Module, "outcomeOfOpening">(two, "outcomeOfOpening", "occupied", 300),
    ).toMatch(/timed out/);
    const opening = call<Module, "outcomeOfOpening">(two, "outcomeOfOpening", "occupied");
    await call<Module, "leave">(one, "leave");
    expect(await opening).toBe("done");
    await Promise.all([one.close(), two.close()]);
  });

  it("says that the browser closed the database when its data is cleared", async () => {
    await call<Module, "hold">(page, "hold", "cleared");
    expect(await call<Module, "append">(page, "append", "r")).toBe("done");
    const following = call<Module, "outcomeOfFollow">(page, "outcomeOfFollow", 1);
    const cdp = await page.context().newCDPSession(page);
    const { origin } = site;
    await cdp.send("Storage.clearDataForOrigin", { origin, storageTypes: "indexeddb" });
    // What is under way when the data goes away fails, and may do so before the news has come.
    expect(await following).toMatch(/^ERR_STORAGE_(CLOSED|FAILED)/);
    const lost =
      "ERR_STORAGE_CLOSED: the browser closed the database; its data may have been cleared";
    await expect.poll(() => call<Module, "append">(page, "append", "late")).toBe(lost);
    expect(await call<Module, "outcomeOfRead">(page, "outcomeOfRead")).toBe(lost);
  });

  it("refuses a database that belongs to something else", async () => {
    await call<Module, "tamper">(page, "tamper", "another program's", 1);
    expect(
      await call<Module, "outcomeOfOpening">(page, "outcomeOfOpening", "another program's"),
    ).toBe("ERR_INPUT_UNSUPPORTED: the database belongs to something else: use another name");
  });

  it.each(["gap", "head", "value", "short", "last"] as const)(
    "notices damage: %s",
    async (what) => {
      expect(await call<Module, "damage">(page, "damage", `damaged ${what}`, what)).toMatch(
        /^ERR_STORAGE_CORRUPT/,
      );
    },
  );

  it("hands a tail what another tab appends", async () => {
    const other = await tab();
    await call<Module, "hold">(page, "hold", "followed");
    await call<Module, "hold">(other, "hold", "followed");
    const following = call<Module, "follow">(page, "follow", 0);
    expect(await call<Module, "append">(other, "append", "from another tab")).toBe("done");
    expect(await following).toBe("from another tab");
    await call<Module, "close">(page, "close");
    await other.close();
  });
});

/** Mounts a small file system of its own for a profile; only root may. */
async function smallDisk(): Promise<
  { path: string; free(): number; unmount(): Promise<void> } | undefined
> {
  const { path, remove } = await temporaryFolder();
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=100m", "none", path]);
  if (mount.status !== 0) {
    await remove();
    return undefined;
  }
  return {
    path,
    free: () => {
      const { bavail, bsize } = statfsSync(path);
      return bavail * bsize;
    },
    async unmount() {
      // processes of a browser that was killed may hold files for a moment
      for (let tries = 0; spawnSync("umount", [path]).status !== 0 && tries < 50; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      await remove();
    },
  };
}

describeBrowser("indexeddbStorage without room", () => {
  async function onSmallDisk(
    run: (page: Page, disk: { path: string; free(): number }) => Promise<void>,
  ): Promise<void> {
    const disk = await smallDisk();
    if (disk === undefined) {
      const missing = "a full disk: mounting a tmpfs is not allowed";
      if (process.env["CI"] !== undefined) throw new Error(missing);
      console.warn(`skipped: ${missing}`);
      return;
    }
    const site = await serve("indexeddb");
    const browser = await startChromium(join(disk.path, "profile"));
    try {
      const page = await browser.open(site.url("indexeddb"));
      await call<Module, "hold">(page, "hold", "full");
      await run(page, disk);
    } finally {
      await browser.kill();
      await site.close();
      await disk.unmount();
    }
  }

  it("says that the quota is used up, writes nothing of what did not fit, and goes on", () =>
    onSmallDisk(async (page) => {
      // The quota is three fifths of the disk.
      const full =
        "ERR_STORAGE_FAILED: this site's storage quota is exhausted; nothing was written";
      expect(await call<Module, "fill">(page, "fill", 100)).toBe(full);
      const { records, blobs, whole } = await call<Module, "sizes">(page, "sizes");
      expect(records).toBeGreaterThan(10);
      expect([blobs, whole]).toEqual([records, true]);
      expect(await call<Module, "commitBytes">(page, "commitBytes", 3_000_000)).toBe(full);
      expect(await call<Module, "sizes">(page, "sizes")).toEqual({ records, blobs, whole });
      expect(await call<Module, "deleteBlobs">(page, "deleteBlobs")).toBe("done");
      expect(await call<Module, "commitBytes">(page, "commitBytes", 1_000_000)).toBe("done");
    }));

  it("says that the disk is full, and tears nothing", () =>
    onSmallDisk(async (page, disk) => {
      expect(await call<Module, "fill">(page, "fill", 5)).toBe("done");
      writeFileSync(join(disk.path, "ballast"), new Uint8Array(disk.free()));
      const ended = await call<Module, "fill">(page, "fill", 20);
      expect(ended).toMatch(/^ERR_STORAGE_(FAILED|AMBIGUOUS|CLOSED)/);
      rmSync(join(disk.path, "ballast"));
      await call<Module, "hold">(page, "hold", "full");
      const { records, blobs, whole } = await call<Module, "sizes">(page, "sizes");
      expect([records, whole]).toEqual([blobs, true]);
      expect(records).toBeGreaterThanOrEqual(5);
      expect(await call<Module, "commitBytes">(page, "commitBytes", 1_000_000)).toBe("done");
    }));
});

const strace = spawnSync("strace", ["-f", "-o", "/dev/null", "true"]).status === 0;

describeWith("indexeddbStorage under the sync probe", strace ? undefined : "no strace", () => {
  describeBrowser("in Chromium", () => {
    it("flushes for every acknowledgement, and not for what need not be synced", async () => {
      const folder = await temporaryFolder();
      const site = await serve("indexeddb");
      const trace = join(folder.path, "trace");
      const under = ["strace", "-f", "-y", "--seccomp-bpf", "-o", trace];
      const browser = await startChromium(join(folder.path, "profile"), [
        ...under,
        "-e",
        "trace=fsync,fdatasync",
      ]);
      const flushes = (): number =>
        readFileSync(trace, "utf8").split(/\n.*sync\(.*IndexedDB.*= 0/).length - 1;
      const page = await browser.open(site.url("indexeddb"));
      await call<Module, "hold">(page, "hold", "probed");
      await call<Module, "appendMany">(page, "appendMany", 1);
      const before = flushes();
      await call<Module, "appendMany">(page, "appendMany", 30);
      const strict = flushes() - before;
      await call<Module, "batchMany">(page, "batchMany", 30, true);
      const batches = flushes() - before - strict;
      await call<Module, "batchMany">(page, "batchMany", 30, false);
      const relaxed = flushes() - before - strict - batches;
      await browser.kill();
      await site.close();
      await folder.remove();
      expect(strict).toBeGreaterThanOrEqual(30);
      expect(batches).toBeGreaterThanOrEqual(30);
      expect(relaxed).toBeLessThan(10);
    });
  });
});
