import { describe, expect, it } from "vitest";
import { bytesToUtf8, utf8ToBytes } from "../../src/bytes/utf8.ts";
import { takeArgument } from "../../src/ledger/take-arguments.ts";
import { signDirective } from "../../src/ledger/consents/signed-directive.ts";
import { bytesFor } from "../support/ledger.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { collect, texts, ward } from "../support/ward.ts";

/** Fills everything in an argument with something else, once the call has returned. */
function spoil(value: unknown): void {
  if (value instanceof Uint8Array) value.fill(0);
  else if (typeof value === "object" && value !== null) {
    for (const [name, field] of Object.entries(value)) {
      spoil(field);
      if (typeof field === "string" || typeof field === "number") {
        (value as Record<string, unknown>)[name] = "spoilt";
      }
    }
  }
}

describe("arguments that are changed once a call has returned", () => {
  it("change nothing of what is recorded, amended, asked, erased or held", async () => {
    const w = await ward();
    const subject = () => ({ local: w.me.local.slice() });

    const [whose, bytes] = [subject(), utf8ToBytes(observation("bytes"))];
    const recording = w.hl.record(whose, bytes);
    spoil([whose, bytes]);
    const { id } = await recording;
    expect(bytesToUtf8(await w.hl.read(id))).toBe(observation("bytes"));

    const resource = JSON.parse(observation("object")) as { resourceType: string };
    const options = { labels: { codes: [], stamp: null } };
    const amending = w.hl.amend(id, resource, options);
    spoil(resource);
    options.labels = { codes: [{ system: "s", code: "c" }], stamp: null } as never;
    const amended = await amending;
    expect(JSON.parse(bytesToUtf8(await w.hl.read(id)))).toEqual(JSON.parse(observation("object")));
    expect(amended.labels).toEqual({ codes: [], stamp: null });

    const bundle = {
      resourceType: "Bundle",
      type: "collection",
      entry: [{ resource: JSON.parse(observation("in a bundle")) as unknown }],
    };
    const bundling = w.hl.recordBundle(w.me, bundle);
    spoil(bundle);
    expect((await bundling).recorded).toHaveLength(1);

    const { actor, alg, publicKey } = w.patient;
    const key = { actor, alg, publicKey: publicKey.slice(), capacity: "self" as const };
    const attesting = w.hl.attest(w.me, key);
    spoil(key);
    await attesting;
    const directive = treatmentOnly(w.patient);
    const salt = bytesFor("salt");
    const bound = { ledger: w.hl.id, person: MRN, salt };
    const signed = await signDirective(directive, w.patient, bound);
    const given = { signed: signed.slice(), salt: salt.slice() };
    const consenting = w.hl.consent(w.me, directive, given);
    spoil(given);
    await consenting;

    const mrn = { ...MRN };
    const finding = w.hl.findSubject(mrn);
    spoil(mrn);
    expect(await finding).toEqual(w.me);

    const what = { patient: { ...MRN }, purposes: ["TREAT"] };
    const asking = w.hl.request(w.b, what);
    spoil(what);
    // The other one has labels that tell nothing.
    const released = await texts(await asking);
    expect(released).toEqual([JSON.stringify(JSON.parse(observation("in a bundle")))]);

    const bytesAsked = await w.request();
    const disclosing = w.hl.disclose(bytesAsked);
    spoil(bytesAsked);
    expect(await disclosing).toMatchObject({ ok: true });

    const looking = subject();
    const accesses = w.hl.audit(looking);
    spoil(looking);
    expect(await collect(accesses)).toHaveLength(2);

    const erasing = { records: [id], reason: "asked for" };
    const erased = w.hl.erase(w.me, erasing);
    spoil(erasing);
    expect((await erased).erased).toHaveLength(2);
    await expect(w.hl.read(id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    expect(await w.hl.records(w.me)).toHaveLength(1);
  });

  it("are changed while a ledger is opened, and it is the one that was named", async () => {
    const w = await ward();
    const genesis = w.genesis.slice();
    const opening = w.again({ genesis });
    genesis.fill(0);
    expect((await opening).id.equals(w.hl.id)).toBe(true);
  });
});

describe("takeArgument", () => {
  it("copies data to the bottom, and hands on what does something", () => {
    const signer = { actor: "a", sign: () => undefined };
    const bytes = Buffer.from("bytes");
    const source = new Uint8Array(3);
    const stream = { async *[Symbol.asyncIterator]() {} };
    const given = { signer, bytes, deep: [{ bytes, n: 1n }], source, stream, date: new Date(0) };
    const taken = takeArgument(given) as typeof given;
    expect(taken).not.toBe(given);
    expect(taken.signer).toBe(signer);
    expect(taken.source).toBe(source);
    expect(taken.stream).toBe(stream);
    expect(taken.date).toBe(given.date);
    expect(taken.bytes).toEqual(new Uint8Array(bytes));
    expect(taken.bytes).not.toBeInstanceOf(Buffer);
    bytes.fill(0);
    expect(Buffer.from(taken.deep[0]!.bytes).toString()).toBe("bytes");
    expect(takeArgument(undefined)).toBeUndefined();
    expect(takeArgument(null)).toBeNull();
  });

  it("keeps calls with progress apart from what they are told", () => {
    const onProgress = (): void => {};
    const records = [new Uint8Array(32)];
    const taken = takeArgument({ onProgress, records }) as { records: Uint8Array[] };
    expect(taken).toEqual({ onProgress, records });
    expect(taken.records[0]).not.toBe(records[0]);
  });

  it("ends, however circular what it is given, and copies what is shared once", () => {
    const circle: Record<string, unknown> = {};
    for (const name of ["one", "two", "three"]) circle[name] = circle;
    const taken = takeArgument({ circle, again: [circle] }) as typeof circle;
    expect(taken["circle"]).not.toBe(circle);
    expect((taken["again"] as unknown[])[0]).toBe(taken["circle"]);
  });
});
