import { decode } from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { decodeTrust, encodeTrust } from "../../src/chain/kept-trust.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { lightClient } from "../../src/network/light-client.ts";
import { publicPeer } from "../../src/transport/http.ts";
import { specHex } from "../support/spec-blocks.ts";
import { specSource } from "./network-source.ts";
import { specPage } from "./spec-page.ts";

const hex = specHex("receipt.md");

describe("docs/spec/receipt.md, kept trust", () => {
  it("has the bytes of a reader before and after the example's checkpoint", async () => {
    const { genesis, ask } = await specSource();
    const peer = publicPeer({
      ...{ url: "http://ledger.example", did: "did:key:home" },
      fetch: (url) => ask(new URL(url).pathname.slice(1)),
    });
    const trust = trustFromGenesis(genesis);
    expect(encodeTrust(trust)).toEqual(hex("trust from genesis"));
    const light = lightClient({ trust, peers: [peer] });
    await light.sync();
    expect(encodeTrust(light.trust)).toEqual(hex("trust after a checkpoint"));
  });

  it("has the fields of its table, and no others", () => {
    const { text } = specPage("receipt.md");
    const section = text.split("## Kept trust")[1]!.split("\n## ")[0]!;
    const rows = [...section.matchAll(/^\| `(\w+\??)`/gm)].map(([, name]) => name!);
    const always = rows.filter((name) => !name.endsWith("?"));
    const fields = (label: string) => Object.keys(decode<object>(hex(label))).sort();
    expect(fields("trust from genesis")).toEqual([...always].sort());
    const maybe = rows.filter((name) => name.endsWith("?")).map((name) => name.slice(0, -1));
    const seen = fields("trust after a checkpoint");
    for (const name of seen) expect([...always, ...maybe]).toContain(name);
    expect(maybe).toEqual(["policyHeight", "root", "checkpoint", "distrusted"]);
    expect(decodeTrust(hex("trust after a checkpoint"))).toMatchObject({ size: 1 });
  });
});
