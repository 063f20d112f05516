import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium, type Page } from "playwright-core";
import { describeWith } from "../support/describe-with.ts";

/** Debian's Chromium, or what `HEALTHLEDGER_CHROMIUM` names. */
const EXECUTABLE = process.env["HEALTHLEDGER_CHROMIUM"] ?? "/usr/bin/chromium";
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // two tabs are both worked in
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--remote-debugging-port=0",
];

/** A `describe` that is skipped, saying so, where Chromium is absent (in CI that fails). */
export function describeBrowser(name: string, body: () => void): void {
  describeWith(name, existsSync(EXECUTABLE) ? undefined : `no Chromium at ${EXECUTABLE}`, body);
}

/** A folder for profiles and traces, removed by `remove`. */
export async function temporaryFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "healthledger-browser-"));
  // processes of a browser that was killed may still write for a moment
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 20 }) };
}

export interface Browser {
  /** Opens a tab on a page. */
  open(url: string): Promise<Page>;
  /** Kills all its processes at once, with SIGKILL. */
  kill(): Promise<void>;
}

/**
 * Starts a headless Chromium.
 *
 * @param profile - its `--user-data-dir`
 * @param under - a command to start it with, like strace
 */
export async function startChromium(
  profile: string,
  under: readonly string[] = [],
): Promise<Browser> {
  const line = [...under, EXECUTABLE, ...FLAGS, `--user-data-dir=${profile}`, "about:blank"];
  const [command, ...args] = line as [string, ...string[]];
  // its own group, so that one signal reaches every process of it
  const child = spawn(command, args, { detached: true, stdio: ["ignore", "ignore", "pipe"] });
  const closed = once(child, "close");
  const kill = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, "SIGKILL");
    await closed;
  };
  const endpoint = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (chunk) => {
      said += chunk;
      const found = /DevTools listening on (ws:\S+)/.exec(said);
      if (found) resolve(found[1]!);
    });
    child.once("exit", () => reject(new Error(`Chromium ended early: ${said}`)));
  });
  const browser = await chromium.connectOverCDP(endpoint);
  return {
    async open(url) {
      const page = await browser.contexts()[0]!.newPage();
      await page.goto(url);
      return page;
    },
    kill,
  };
}

/** Serves pages on an origin of its own, and takes what they report. */
export interface Site {
  readonly origin: string;
  /** The address of a page that runs a module of `test/browser/pages`, exported as `page`. */
  url(module: string): string;
  /** What pages sent to `/report`, in order. */
  readonly reports: string[];
  close(): Promise<void>;
}

/** Bundles the modules as a browser application would, and serves a page for each. */
export async function serve(...modules: readonly string[]): Promise<Site> {
  const scripts = new Map<string, string>();
  for (const module of modules) {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL(`pages/${module}.ts`, import.meta.url))],
      bundle: true,
      write: false,
      format: "iife",
      globalName: "page",
      platform: "browser",
      conditions: ["healthledger-source"],
      target: "es2022",
      // an optional peer that no page uses
      external: ["jose"],
      logLevel: "error",
    });
    scripts.set(`/${module}.js`, outputFiles[0]!.text);
  }
  const reports: string[] = [];
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url!, "http://127.0.0.1");
    if (pathname === "/report") reports.push(searchParams.get("line")!);
    const script = scripts.get(pathname);
    const type = script === undefined ? "text/html" : "text/javascript";
    response.setHeader("content-type", `${type}; charset=utf-8`);
    response.end(script ?? `<!doctype html><script src="${searchParams.get("run")}.js"></script>`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    url: (module) => `${origin}/?run=${module}`,
    reports,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Calls what a page's module exports; arguments and result go as JSON. */
export async function call<Module, Name extends keyof Module & string>(
  page: Page,
  name: Name,
  ...args: Module[Name] extends (...args: infer Args) => unknown ? Args : never
): Promise<Module[Name] extends (...args: never[]) => infer Result ? Awaited<Result> : never> {
  return page.evaluate(
    async ([name, args]) => {
      const { page } = globalThis as unknown as {
        page: Record<string, (...args: unknown[]) => Promise<never>>;
      };
      return page[name]!(...args);
    },
    [name, args] as const,
  );
}
