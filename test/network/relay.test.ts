import { afterEach, describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { sleep } from "../../src/storage/sleep.ts";
import type { CustodianPeer } from "../../src/transport/types.ts";
import { longObservation, patient, TREAT } from "../support/asking.ts";
import { codeOf } from "../support/elsewhere.ts";
import type { ResourceLabels } from "../../src/consent/model/resource.ts";
import { organisation } from "../support/founders.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { isPoll, posted, relayed } from "../support/relaying.ts";
import { collect, opened, readable, texts } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const send = (peer: CustodianPeer, bytes: Uint8Array): Promise<string> =>
  codeOf(collect(peer.ask(bytes)));

describe("a relay", () => {
  it("passes asks to a member that polls, and its answers back; ask is unchanged", async () => {
    const two = await relayed(closing);
    for (let i = 0; i < 6; i++) await two.away.record(two.patientHere, longObservation(`l-${i}`));
    await two.there();
    const answer = await two.home.ask(two.away.member, TREAT, { peer: two.peer });
    expect(await texts(answer)).toEqual([
      observation("bp-relayed"),
      ...Array.from({ length: 6 }, (_, i) => longObservation(`l-${i}`)),
    ]);
    expect(await readable(two.away.audit(two.patientHere))).toMatchObject([
      { id: answer.access, requester: two.home.member, purposes: ["TREAT"] },
    ]);
    // A message, too: nothing is filed there for the home.
    expect(await collect(two.home.pull(two.away.member, { peer: two.peer }))).toEqual([]);
    // The custodian's refusal arrives as such.
    expect(await send(two.peer, Uint8Array.of(1))).toBe("ERR_TRANSPORT_REFUSED");
    expect(two.errors).toMatchObject([{ code: "ERR_CONSENT_REQUEST" }]);
  });

  it("passes directives, pulls and ciphertext as it passes asks", async () => {
    const [did, homeDid] = await Promise.all(
      ["away", "home"].map(async (name) => (await organisation(name)).signer().actor),
    );
    const wire: { peer?: CustodianPeer } = {};
    const byRelay: CustodianPeer = {
      did: did!,
      ask: (sealed, options) => wire.peer!.ask(sealed, options),
    };
    const two = await relayed(
      closing,
      {},
      {},
      {
        home: { custodians: [byRelay] },
        away: { policy: { auditors: [homeDid!] } },
      },
    );
    const { home, away, patientHere: me } = two;
    wire.peer = two.peer;
    const scan = new Uint8Array(1_500_000).map((_, at) => (at * 31 + (at >> 8) * 7) & 255);
    const labels: ResourceLabels = {
      codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "N" }],
      stamp: { labeller: "the record office", version: "1" },
    };
    const attachments = [{ mediaType: "application/dicom", source: scan }];
    await away.record(me, observation("scan"), { attachments, labels });
    await two.there();

    const answer = await home.ask(away.member, TREAT);
    const items = await opened(answer);
    const read = items.flatMap((item) => item.attachments)[0]!;
    const asks = () => two.seen.paths.filter((path) => path.endsWith("/ask")).length;
    const before = asks();
    expect(await read.range(1_000_000, 1_000_100)).toEqual(scan.subarray(1_000_000, 1_000_100));
    expect(asks()).toBeGreaterThan(before);

    const pulled = await collect(home.pull(away.member));
    expect(pulled).toMatchObject([{ number: 1, kind: "access", entry: answer.access }]);

    const refusal = treatmentOnly(patient, {
      lineage: "later",
      root: { id: "no", effect: "deny", combine: "deny-overrides", when: {} },
    });
    const { id } = await home.consent(two.me, refusal, { signer: patient });
    const [told] = await home.deliver(id, { to: [away.member] });
    expect(told).toMatchObject({ status: "filed" });
    expect((await away.directives(me)).map(({ entry }) => entry)).toContain(told!.entry);
    expect(await home.ask(away.member, TREAT)).toMatchObject({ count: 0 });
    expect(await codeOf(read.range(0, 9))).toBe("ERR_TRANSPORT_REFUSED");
    expect(two.errors).toEqual([]);
  });

  it("sees sizes, times and whom an ask is for, and nothing else", async () => {
    const two = await relayed(closing);
    await two.there();
    const user = "Dr. Ottilie Brandstetter";
    const answer = await two.home.ask(two.away.member, { ...TREAT, user }, { peer: two.peer });
    expect(await texts(answer)).toEqual([observation("bp-relayed")]);
    const seen = concatBytes(...two.seen.bytes, utf8ToBytes(two.seen.paths.join(" ")));
    const all = bytesToLatin(seen);
    expect(seen.length).toBeGreaterThan(10_000);
    const values = [
      "TREAT",
      MRN.value,
      MRN.system,
      user,
      "Observation",
      "8480-6",
      "107.50",
      "bp-relayed",
    ];
    for (const value of [...values, "http://loinc.org", patient.actor]) {
      expect(formsOf(value).filter((form) => all.includes(form))).toEqual([]);
    }
    // What it must see is found by the same search.
    expect(formsOf(two.away.member).filter((form) => all.includes(form))).toHaveLength(1);
    expect(two.errors).toEqual([]);
  });

  it("gives asks to nobody but the member, and takes replies from nobody else", async () => {
    const two = await relayed(closing, {}, "nobody");
    const { home, url, handler, theirs, tokenOf } = two;
    expect((await handler(new Request(`${theirs}?wait=0`))).status).toBe(401);
    const [other, own] = [
      await tokenOf(two.homeKeys.signer()),
      await tokenOf(two.awayKeys.signer()),
    ];
    const poll = (headers: Record<string, string>, wait = 0) =>
      handler(new Request(`${theirs}?wait=${wait}`, { headers }));
    expect((await poll(other)).status).toBe(403);
    expect((await poll(own)).status).toBe(200);
    const asking = handler(posted(`${theirs}/ask`, "sealed"));
    await sleep(5);
    expect((await poll(other)).status).toBe(403);
    const taken = new Uint8Array(await (await poll(own)).arrayBuffer());
    expect(new TextDecoder().decode(taken.subarray(16))).toBe("sealed");
    // Once, even for the member itself.
    expect((await (await poll(own)).arrayBuffer()).byteLength).toBe(0);
    const reply = `reply/${toHex(taken.subarray(0, 16))}?status=200`;
    expect((await handler(posted(`${theirs}/${reply}`, "forged", other))).status).toBe(403);
    const elsewhere = `${url}/relay/${home.member}/${reply}`;
    expect((await handler(posted(elsewhere, "forged", other))).status).toBe(404);
    const replying = handler(posted(`${theirs}/${reply}`, "true", own));
    expect(await (await asking).text()).toBe("true");
    expect((await replying).status).toBe(200);
    expect((await handler(posted(`${theirs}/${reply}`, "again", own))).status).toBe(404);
  });
});

describe("a relay that lies", () => {
  it("makes no second access by giving an ask twice", async () => {
    let kept: Uint8Array | undefined;
    let times = 0;
    const two = await relayed(
      closing,
      {},
      {
        async fetch(url, init) {
          if (!isPoll(url)) return fetch(url, init);
          if (kept !== undefined && times++ < 3) return new Response(kept.slice());
          const body = new Uint8Array(await (await fetch(url, init)).arrayBuffer());
          if (body.length > 0) kept = body;
          return new Response(body);
        },
      },
    );
    await two.there();
    await two.home.ask(two.away.member, TREAT, { peer: two.peer });
    while (times < 3) await sleep(5);
    expect(await readable(two.away.audit(two.patientHere))).toHaveLength(1);
  });

  it("is noticed when it swaps two replies", async () => {
    const ids: string[] = [];
    const two = await relayed(
      closing,
      {},
      {
        async fetch(url, init) {
          if (isPoll(url)) {
            const body = new Uint8Array(await (await fetch(url, init)).arrayBuffer());
            if (body.length > 0) ids.push(toHex(body.subarray(0, 16)));
            return new Response(body);
          }
          const own = ids.findIndex((id) => url.includes(id));
          if (own < 0) return fetch(url, init);
          while (ids.length < 2) await sleep(5);
          return fetch(url.replace(ids[own]!, ids[1 - own]!), init);
        },
      },
    );
    await two.there();
    const asks = [1, 2].map(() => two.home.ask(two.away.member, TREAT, { peer: two.peer }));
    expect(await Promise.all(asks.map(codeOf))).toEqual([
      ...["ERR_ENVELOPE_DECRYPT", "ERR_ENVELOPE_DECRYPT"],
    ]);
  });

  it("is noticed when it drops a page, and asked again when it cuts a reply", async () => {
    const two = await relayed(closing);
    for (let i = 0; i < 6; i++) await two.away.record(two.patientHere, longObservation(`l-${i}`));
    await two.there();
    const ask = () => two.home.ask(two.away.member, TREAT, { peer: two.peer });
    two.seen.change = async function* (body, path) {
      const whole = concatBytes(...(await collect(body)));
      if (!path.includes("/reply/")) return yield whole;
      const length = new DataView(whole.buffer).getUint32(0);
      yield whole.subarray(4 + length);
    };
    expect(await codeOf(ask())).toBe("ERR_ENVELOPE_DECRYPT");
    let cuts = 1;
    two.seen.change = async function* (body, path) {
      for await (const piece of body) {
        yield piece;
        if (path.includes("/reply/") && cuts-- > 0) throw new Error("cut");
      }
    };
    const answer = await ask();
    expect(answer.count).toBe(7);
    expect(cuts).toBeLessThan(1);
    const audit = await readable(two.away.audit(two.patientHere));
    expect(audit.map(({ id }) => id)).toContain(answer.access);
    expect(audit).toHaveLength(2);
  });
});

/** How a value may stand in bytes. */
function formsOf(value: string): string[] {
  const bytes = utf8ToBytes(value);
  // Base64 without its end, which depends on what follows.
  const base64 = Buffer.from(bytes).toString("base64").slice(0, -4);
  return [bytesToLatin(bytes), toHex(bytes), ...(base64.length > 7 ? [base64] : [])];
}

const bytesToLatin = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
