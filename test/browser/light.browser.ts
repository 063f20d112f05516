import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { decodeForkEvidence, verifyForkEvidence } from "../../src/chain/fork-evidence.ts";
import { decodeTrust } from "../../src/chain/kept-trust.ts";
import { makeReceipt } from "../../src/chain/make-receipt.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { ledgerHandler } from "../../src/network/ledger-handler.ts";
import { publishLedger } from "../../src/network/publish-ledger.ts";
import { twins } from "../support/forks.ts";
import { signerFor, START } from "../support/ledger.ts";
import type { Home } from "../support/network.ts";
import { serve as serveHandler, type Served } from "../support/serve.ts";
import { flipBit } from "../support/small-ledger.ts";
import { staticHost } from "../support/static-host.ts";
import {
  call,
  describeBrowser,
  serve,
  startChromium,
  temporaryFolder,
  type Browser,
  type Site,
} from "./chromium.ts";
import type * as module from "./pages/light.ts";

type Module = typeof module;
const NOBODY = "did:key:nobody";

describeBrowser("healthledger/light in Chromium", () => {
  const host = staticHost();
  const served: Served[] = [];
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let site: Site;
  let browser: Browser;
  let page: Page;
  let homes: { readonly ours: Home; readonly theirs: Home };
  let url: string;
  let stop: () => void;
  let trust: string;

  beforeAll(async () => {
    [folder, site] = await Promise.all([temporaryFolder(), serve("light")]);
    browser = await startChromium(join(folder.path, "profile"));
    page = await browser.open(site.url("light"));
    // Longer than a tile, so that proofs need more than one.
    homes = await twins(300, 310, 320);
    // A static host of another origin, which admits pages of any.
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url!, "http://127.0.0.1");
      const found = host.files.get(decodeURIComponent(pathname).slice(1));
      response.setHeader("access-control-allow-origin", "*");
      response.writeHead(found === undefined ? 404 : 200).end(found);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    stop = () => {
      server.closeAllConnections();
      server.close();
    };
  }, 120_000);
  afterAll(async () => {
    await browser?.kill();
    await site?.close();
    stop?.();
    for (const one of served) await one.close();
    await folder?.remove();
  });

  it("verifies a ledger from static files of another origin, and finds each that is tampered with", async () => {
    const { ours } = homes;
    const { actor } = ours.signers["c"]!;
    const state = [`sys/member/${actor}`, `sys/member/${NOBODY}`];
    await publishLedger(ours.source, host.target, { state });
    const { note } = ours.source.newest!;
    const place = { height: 7, transaction: 0, entry: 0 };
    const receipt = toHex(await makeReceipt(ours.chain, place, { checkpoint: note }));
    const audit = () =>
      call<Module, "audit">(page, "audit", toHex(ours.genesis), url, receipt, [actor, NOBODY]);
    const result = (await audit()) as { readonly trust: string };
    expect(result).toMatchObject({
      ...{ size: 310, asOf: START, receipt: 7, roles: [["auditor"], null], entries: 310 },
    });
    trust = result.trust;
    expect(decodeTrust(fromHex(trust)).root).toEqual(ours.source.newest!.root);
    const read = [
      ...["state/sys/policy", `state/sys/member/${NOBODY}`, "tile/0/000", "tile/0/001.p/54"],
      ...["tile/1/000.p/1", "tile/blocks/000", "tile/blocks/001.p/54"],
    ];
    for (const path of read) {
      const whole = host.files.get(path)!;
      // The first header of a bundle, and the middle of anything else.
      const bit = path.includes("blocks") ? 8 * 100 : 4 * whole.length;
      host.files.set(path, flipBit(whole, bit));
      expect(await audit(), path).toMatch(/^ERR_(CHAIN|PROOF|TRANSPORT)_/);
      host.files.set(path, whole);
    }
    expect(await audit()).toEqual(result);
  }, 120_000);

  it("follows while records arrive, and reports a fork", async () => {
    const { ours, theirs } = homes;
    // The other home is heard of only later.
    let isShown = false;
    const handlers = [
      ledgerHandler({ source: ours.source, reads: "public" }),
      ledgerHandler({ source: theirs.source, reads: "public" }),
    ] as const;
    served.push(await serveHandler(handlers[0]));
    served.push(
      await serveHandler(async (request) =>
        isShown ? handlers[1](request) : handlers[0](request),
      ),
    );
    await call<Module, "follow">(
      page,
      "follow",
      trust,
      served.map((one) => one.url),
    );
    await ours.grow(3);
    await ours.source.look();
    const heights = Array.from({ length: 313 }, (_, i) => i);
    await expect.poll(() => call<Module, "got">(page, "got"), { timeout: 30_000 }).toEqual(heights);
    isShown = true;
    const { code, evidence } = await call<Module, "fork">(page, "fork");
    expect(code).toBe("ERR_CHAIN_FORKED");
    const key = noteKey("ledger.example/test", NOTE_ED25519, signerFor("checkpoint").publicKey);
    expect(verifyForkEvidence(decodeForkEvidence(fromHex(evidence)), key)).toMatchObject({
      ok: true,
      kind: "other-continuation",
    });
  }, 120_000);
});
