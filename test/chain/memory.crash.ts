import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, expect, it } from "vitest";

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "healthledger-memory-"));
  folders.push(path);
  return path;
}

const THOUSANDS = process.env["HEALTHLEDGER_EFFORT"] === "short" ? 60 : 120;
/** What caches may come and go by between two looks. */
const SLACK = 24e6;

it(`memory does not grow with ${THOUSANDS},000 keys, of whoever appends and of whoever verifies`, async () => {
  const child = fileURLToPath(new URL("memory-child.ts", import.meta.url));
  const flags = ["--expose-gc", "--import", "tsx", "--conditions=healthledger-source"];
  const what = [...flags, child, await folder(), await folder(), String(THOUSANDS)];
  const { stdout } = await promisify(execFile)(process.execPath, what);
  console.log(stdout.trim());
  const grown = JSON.parse(stdout) as Record<"running" | "withScratch" | "without", number>;
  const keys = (THOUSANDS * 1000 * 2) / 3;
  // What is documented of each key, where there is no store to put it into.
  expect(grown.without).toBeGreaterThan(SLACK);
  expect(grown.without).toBeLessThan(keys * 3000);
  expect(grown.running).toBeLessThan(SLACK);
  expect(grown.withScratch).toBeLessThan(SLACK);
  expect(grown).toMatchObject({ refused: "ERR_INPUT_TOO_LARGE" });
});
