import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { cidFromBytes, cidOf, RAW } from "../../src/codec/cid.ts";
import { openEnvelope } from "../../src/envelope/index.ts";
import type { SignatureCase } from "../node-versions/accepted.ts";
import { describeVectors } from "../support/vectors.ts";
import {
  call,
  describeBrowser,
  serve,
  startChromium,
  temporaryFolder,
  type Browser,
  type Site,
} from "./chromium.ts";
import type * as module from "./pages/core.ts";

type Module = typeof module;

describeBrowser("the core in Chromium", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let site: Site;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    [folder, site] = await Promise.all([temporaryFolder(), serve("core")]);
    browser = await startChromium(join(folder.path, "profile"));
    page = await browser.open(site.url("core"));
  });
  afterAll(async () => {
    await browser?.kill();
    await site?.close();
    await folder?.remove();
  });

  describeVectors("signatures", "ed25519", (path) => {
    it("accepts 43 of 914, as on Node.js, and WebCrypto the same ones", async () => {
      const file = readFileSync(join(path, "ed25519vectors.json"), "utf8");
      const cases = JSON.parse(file) as readonly SignatureCase[];
      expect(cases).toHaveLength(914);
      expect(await call<Module, "signatures">(page, "signatures", cases)).toEqual({
        backend: "noble",
        accepted: 43,
        same: true,
      });
    });
  });

  it("verifies what WebCrypto signed, and the reverse", async () => {
    expect(await call<Module, "crossSigned">(page, "crossSigned", 20)).toBe(80);
  });

  it.each(
    (["chacha", "aes-gcm"] as const).flatMap((suite) =>
      [100, 65_536 * 15 + 1, 3_000_000].map((length) => [length, suite] as const),
    ),
  )(
    "seals and opens web streams of %d bytes with %s, and stops at an altered one",
    async (length, suite) => {
      expect(await call<Module, "streams">(page, "streams", length, suite)).toEqual({
        same: true,
        end: true,
        altered: "ERR_ENVELOPE_INVALID",
      });
    },
  );

  it("seals with aes-gcm what node:crypto opens", async () => {
    const sealed = await call<Module, "sealHere">(page, "sealHere", 1_100_000);
    const blocks = new Map(
      sealed.blocks.map((hex) => [cidOf(fromHex(hex), RAW).toString(), fromHex(hex)]),
    );
    const ledger = cidFromBytes(fromHex(sealed.context.ledger));
    const { parts } = await openEnvelope({
      envelope: cidFromBytes(fromHex(sealed.cid)),
      header: fromHex(sealed.header),
      keys: { cek: fromHex(sealed.cek) },
      context: { ...sealed.context, ledger },
      author: { alg: "Ed25519", publicKey: fromHex(sealed.publicKey) },
      read: async (cid) => blocks.get(cid.toString()),
    });
    expect(toHex(parts.get("study")!)).toBe(sealed.content);
  });

  it("hands out nothing of an attacked stream of aes-gcm but what stood before", async () => {
    expect(await call<Module, "attackStreams">(page, "attackStreams")).toEqual({
      unaltered: "32 whole",
      slowReader: "32 whole",
      exchanged: "18 ERR_ENVELOPE_DECRYPT",
      repeated: "18 ERR_ENVELOPE_DECRYPT",
      blocksExchanged: "0 ERR_ENVELOPE_DECRYPT",
      flipped: "22 ERR_ENVELOPE_DECRYPT",
      // The last segment is opened first.
      truncated: "0 ERR_ENVELOPE_DECRYPT",
      finalFlagDropped: "0 ERR_ENVELOPE_DECRYPT",
      aborted: "4 enough",
    });
  });

  describe("keeps a ledger in IndexedDB with keys that no script can read", () => {
    let secret: string;

    it("records, asks for consent, discloses, audits and proves", async () => {
      await call<Module, "found">(page, "found");
      const { observation } = await import("../support/hospital.ts");
      expect(await call<Module, "firstSession">(page, "firstSession")).toEqual({
        released: [observation("bp-1")],
        releasedToResearch: 0,
        audited: ["TREAT", "HRESCH"],
        receipt: true,
      });
      secret = await call<Module, "shardSecret">(page, "shardSecret");
    });

    it("opens it again in a page loaded anew, and erases", async () => {
      await page.reload();
      expect(await call<Module, "secondSession">(page, "secondSession")).toEqual({
        same: true,
        verified: true,
        erased: true,
        left: "ERR_RECORD_ERASED",
        warned: true,
      });
    });

    it("seals records and attachments with aes-gcm", async () => {
      expect(await call<Module, "nativeSession">(page, "nativeSession")).toBe(true);
    });

    it("leaves no shard key from before the erasure in any file of the browser", async () => {
      const now = await call<Module, "shardSecret">(page, "shardSecret");
      const profile = join(folder.path, "profile");
      const files = readdirSync(profile, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
      const found = (hex: string): boolean => {
        const bytes = Buffer.from(hex, "hex");
        expect(bytes.length).toBeGreaterThan(100_000);
        // every eighth shard, so that a part that was left is found too
        for (let at = 0; at + 16 <= bytes.length; at += 256) {
          const piece = bytes.subarray(at, at + 16);
          if (!now.includes(piece.toString("hex")) || hex === now) {
            if (files.some((file) => file.includes(piece))) return true;
          }
        }
        return false;
      };
      expect(now).not.toBe(secret);
      expect(found(now)).toBe(true);
      expect(found(secret)).toBe(false);
    });
  });
});
