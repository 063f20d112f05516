import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { signDescription } from "../../src/chain/description.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { openAsk } from "../../src/ledger/disclosure/ask-format.ts";
import { openMessagePage, sealMessagePage } from "../../src/ledger/disclosure/message-pages.ts";
import { decodePullPage, encodePullPage } from "../../src/ledger/disclosure/pull-format.ts";
import type { PullPage } from "../../src/ledger/disclosure/pull-format.ts";
import { pullFromCustodian, type Pulled } from "../../src/ledger/disclosure/read-pull.ts";
import { askingHospitals, fill, patient, TREAT, type AskingHospitals } from "../support/asking.ts";
import { away, codeOf } from "../support/elsewhere.ts";
import { NONCE, organisation, WRITER } from "../support/founders.ts";
import { LABELLER, treatmentOnly } from "../support/hospital.ts";
import { collect, readable } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** Two hospitals of which the second audits the first, and an institute that has only trust in the ledger. */
async function audited(): Promise<
  AskingHospitals & { readonly institute: () => Promise<Pulled[]> }
> {
  const [homeKeys, awayKeys, keys] = await Promise.all(
    ["home", "away", "institute"].map((name) => organisation(name)),
  );
  const describe = (of: typeof keys, name: string, roles: typeof WRITER) =>
    signDescription(of!, { name, roles, for: NONCE });
  const two = await askingHospitals(closing, {
    genesis: {
      members: [
        await describe(homeKeys!, "home", WRITER),
        await describe(awayKeys!, "away", away),
        await describe(keys!, "institute", ["auditor"]),
      ],
    },
    home: { policy: { labeller: LABELLER, auditors: [awayKeys!.signer().actor] } },
  });
  const institute = () =>
    collect(
      pullFromCustodian({
        ...{ peer: two.toHome, trust: trustFromGenesis(two.genesis), now: () => two.clock.now },
        ...{ custodianKey: two.homeKeys.agreement(), sleep: async () => undefined },
        ...{ signer: keys!.signer(), agreement: keys!.agreement() },
      }),
    );
  return { ...two, institute };
}

const pulled = (two: AskingHospitals, options: object = {}): Promise<Pulled[]> =>
  collect(two.away.pull(two.home.member, { peer: two.toHome, ...options }));

/** Asks the home for the person's records. */
const ask = (two: AskingHospitals) => two.away.ask(two.home.member, TREAT, { peer: two.toHome });

describe("hl.pull", () => {
  it("gives an auditor every access and erasure, opened and proved", async () => {
    const two = await audited();
    const denied = await ask(two);
    await two.permit();
    await fill(two, 2);
    const given = await ask(two);
    const erased = await two.home.erase(two.me, { all: true, reason: "asked for" });
    const items = await pulled(two);
    expect(items).toMatchObject([
      { number: 1, kind: "access", entry: denied.access, access: { records: [] } },
      { number: 2, kind: "access", entry: given.access },
      { number: 3, kind: "erase", entry: erased.id, class: "clinical", reason: "asked for" },
    ]);
    const [, access, erasure] = items;
    if (access?.kind !== "access" || erasure?.kind !== "erase") throw new Error("other kinds");
    expect(access.access).toEqual((await readable(two.home.audit(two.me)))[1]);
    expect(erasure.erased).toEqual(erased.erased);
    for (const item of items) {
      if (item.kind === "erased") throw new Error("nothing was erased");
      expect(verifyReceipt(item.receipt, trustFromGenesis(two.genesis))).toMatchObject({
        ...{ ok: true, author: two.home.member, id: item.entry },
      });
    }
  });

  it("gives a named custodian a directive, by trust in the ledger alone, and nobody else", async () => {
    const two = await audited();
    await two.permit();
    const keys = await organisation("institute");
    const custodians = [keys.signer().actor];
    const directive = treatmentOnly(patient, { lineage: "for the institute" });
    const filed = await two.home.consent(two.me, directive, { signer: patient, custodians });
    expect(await two.institute()).toMatchObject([
      { number: 1, kind: "consent", entry: filed.id, cid: filed.cid, signed: filed.signed },
    ]);
    expect(await pulled(two)).toEqual([]);
    await ask(two);
    expect(await two.institute()).toHaveLength(1);
    expect(await pulled(two)).toHaveLength(1);
  });

  it("goes on after the last entry, in pieces of any size, and says if that has moved", async () => {
    const two = await audited();
    for (let i = 0; i < 3; i++) await ask(two);
    const all = await pulled(two);
    const first = await pulled(two, { limit: 2 });
    expect(first).toEqual(all.slice(0, 2));
    expect(await pulled(two, { after: first[1], limit: 1 })).toEqual(all.slice(2));
    expect(await pulled(two, { after: all[2] })).toEqual([]);
    await ask(two);
    const rest = await pulled(two, { after: JSON.parse(JSON.stringify(all[2])) as object });
    expect(rest).toMatchObject([{ number: 4 }]);
    const moved = { number: 2, entry: all[2]!.entry };
    expect(await codeOf(pulled(two, { after: moved }))).toBe("ERR_INPUT_INVALID");
    const beyond = { number: 9, entry: all[2]!.entry };
    expect(await codeOf(pulled(two, { after: beyond }))).toBe("ERR_INPUT_INVALID");
  });

  it("keeps the number of what was erased, and tells nothing of it", async () => {
    const two = await audited();
    await ask(two);
    const second = await ask(two);
    await ask(two);
    const what = { class: "audit", accesses: [second.access], reason: "ten years on" } as const;
    const { id } = await two.home.erase(two.me, what);
    expect(await pulled(two)).toMatchObject([
      { number: 1, kind: "access" },
      { number: 2, kind: "erased", entry: second.access, by: id },
      { number: 3, kind: "access" },
      { number: 4, kind: "erase", erased: [second.access] },
    ]);
  });

  it("makes grants to the key in force, and none to one that is retired", async () => {
    const two = await audited();
    await ask(two);
    const old = two.awayKeys.agreement();
    const { key } = await two.awayKeys.generate({ use: "agree" });
    await two.away.governance.changeKey({ op: "add", key });
    await two.away.governance.changeKey({ op: "retire", key: old.key });
    expect(await pulled(two)).toMatchObject([{ number: 1, kind: "access" }]);
    const stale = pullFromCustodian({
      ...{ peer: two.toHome, trust: trustFromGenesis(two.genesis), now: () => two.clock.now },
      ...{ custodianKey: two.homeKeys.agreement(), sleep: async () => undefined },
      ...{ signer: two.awayKeys.signer(), agreement: old },
    });
    expect(await codeOf(collect(stale))).toBe("ERR_TRANSPORT_REFUSED");
  });
});

describe("the reply to a pull", () => {
  /** Lets a home that lies change what it says. */
  async function lying(change: (page: PullPage) => PullPage): Promise<string> {
    const two = await audited();
    for (let i = 0; i < 3; i++) await ask(two);
    const { proxy } = two.toHome;
    const address = { ledger: two.home.id, custodian: two.home.member };
    const mine = two.awayKeys.agreement();
    proxy.swap = async ([frame]) => {
      const sealed = (await openAsk(proxy.asks.at(-1)!, address, [two.homeKeys.agreement()]))!;
      const asked = sha256(sealed.signed);
      const { content } = await openMessagePage(frame!, address, asked, 0, mine);
      const said = encodePullPage(change(decodePullPage(content.content)));
      const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
      const how = { signer: two.homeKeys.signer(), padding: "stepped", random } as const;
      return [await sealMessagePage({ ...content, content: said }, address, mine, how)];
    };
    return codeOf(pulled(two));
  }

  const INVALID = "ERR_ENVELOPE_INVALID";
  it.each<[string, string, (page: PullPage) => PullPage]>([
    ["says nothing else", "resolved", (page) => page],
    ["leaves one out", INVALID, ({ items: [a, , c], ...page }) => ({ ...page, items: [a!, c!] })],
    [
      "leaves the last out",
      INVALID,
      ({ items, ...page }) => ({ ...page, items: items.slice(0, 2) }),
    ],
    [
      "gives one twice, renumbered",
      INVALID,
      ({ items: [a, b], ...page }) => ({ ...page, items: [a!, b!, { ...b!, number: 3 }] }),
    ],
    [
      "gives them in another order",
      INVALID,
      ({ items: [a, b, c], ...page }) => ({
        ...page,
        items: [a!, { ...c!, number: 2 }, { ...b!, number: 4 }],
      }),
    ],
    [
      "gives one under another name",
      INVALID,
      ({ items: [a, b, c], ...page }) => ({ ...page, items: [a!, { ...b!, entry: c!.entry }, c!] }),
    ],
    ["gives more than it says", INVALID, (page) => ({ ...page, last: 2 })],
    ["says that there are more", INVALID, (page) => ({ ...page, last: 4 })],
    [
      "leaves out ciphertext",
      "ERR_ENVELOPE_MISSING",
      (page) => ({ ...page, blobs: page.blobs.slice(1) }),
    ],
  ])("is believed or refused if the custodian %s", async (_, code, change) => {
    expect(await lying(change)).toBe(code);
  });

  it("is refused if a page is dropped, repeated, swapped or of another pull", async () => {
    const two = await audited();
    await ask(two);
    const { proxy } = two.toHome;
    await pulled(two);
    const other = proxy.answers.at(-1)!;
    proxy.swap = () => [];
    expect(await codeOf(pulled(two))).toBe("ERR_TRANSPORT_MALFORMED");
    proxy.swap = (frames) => [...frames, ...frames];
    expect(await codeOf(pulled(two))).toBe(INVALID);
    proxy.swap = () => [other.subarray(4)];
    expect(await codeOf(pulled(two))).toBe("ERR_ENVELOPE_DECRYPT");
  });
});
