import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { lightClient } from "../../src/network/light-client.ts";
import { publicPeer } from "../../src/transport/http.ts";
import { bundleExample } from "../support/bundle-example.ts";

const modules = fileURLToPath(new URL("./node_modules", import.meta.url));
const running: ChildProcess[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

describe.each(["express", "hono"])("examples/%s.mjs", (name) => {
  it("serves a ledger that a light client follows and a stranger cannot write to", async () => {
    const folder = await mkdtemp(join(modules, ".example-"));
    folders.push(folder);
    const program = await bundleExample(name, folder, ["express", "hono", "@hono/node-server"]);
    const child = spawn(process.execPath, [program, "0"], { stdio: ["ignore", "pipe", "inherit"] });
    running.push(child);
    const [line] = (await once(createInterface(child.stdout!), "line")) as [string];
    expect(line).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/ledger$/);
    const peer = publicPeer({ url: line, did: "did:key:home" });
    const trust = trustFromGenesis(await peer.genesis());
    const light = lightClient({ trust, peers: [peer] });
    const { size } = await light.sync();
    expect(size).toBeGreaterThan(0);
    let blocks = 0;
    for await (const _ of light.chain.readBlocks({ from: 0 })) blocks++;
    expect(blocks).toBe(size);
    expect((await light.state("sys/member/did:key:nobody")).value).toBeNull();
    const submitted = await fetch(`${line}/submit`, { method: "POST", body: new Uint8Array(9) });
    expect(submitted.status).toBe(401);
    expect((await fetch(`${line}/nothing`)).status).toBe(404);
  }, 60_000);
});
