import { describe, expect, it } from "vitest";
import { toHex } from "../../../src/bytes/hex.ts";
import { decode, encode } from "../../../src/codec/dag-cbor.ts";
import { cidOf, DAG_CBOR } from "../../../src/codec/cid.ts";
import type { When } from "../../../src/consent/model/model.ts";
import { ConsentError, EncodingError } from "../../../src/errors.ts";
import { signWith, type Signer } from "../../../src/identity/signer.ts";
import { signAttestation, type AttestedFact } from "../../../src/ledger/disclosure/attestation.ts";
import { keyEntry, memberEntry } from "../../support/forge.ts";
import { decodeSealedRequest } from "../../../src/ledger/disclosure/request.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { signerFor } from "../../support/ledger.ts";
import { ward, type Ward } from "../../support/ward.ts";

/** A ward with one record, which one rule opens: to oncologists, unless told otherwise. */
async function guarded(when: When = { roles: ["oncologist"] }, options = {}): Promise<Ward> {
  const w = await ward(options);
  await w.permit({
    default: "deny",
    root: { id: "root", effect: "permit", combine: "deny-overrides", when },
  });
  await w.hl.record(w.me, observation("bp-1"));
  return w;
}

/** What the institute says of Dr Lee of hospital B, for the hour around. */
const about = (w: Ward, change: Partial<Record<string, unknown>> = {}): AttestedFact =>
  ({
    ledger: w.hl.id,
    requester: w.b.signer.actor,
    user: "dr-lee",
    role: "oncologist",
    from: w.clock.now - 1000,
    to: w.clock.now + 3_600_000,
    ...change,
  }) as unknown as AttestedFact;

const bring = async (w: Ward, ...attestations: readonly Uint8Array[]): Promise<number> =>
  (await w.ask(w.b, { user: "dr-lee", attestations })).count;

/** The signed attestation with other content, signed by whoever under whatever key id. */
async function forged(
  signed: Uint8Array,
  change: Readonly<Record<string, unknown>>,
  signer: Signer,
  key: Uint8Array = signer.key,
): Promise<Uint8Array> {
  const { attestation } = decode(signed) as { attestation: Uint8Array };
  const said = encode({ ...(decode(attestation) as object), ...change });
  const sig = await signWith(signer, "attestation", said);
  return encode({ attestation: said, key, alg: signer.alg, sig });
}

describe("a role that another member attests", () => {
  it("counts, is pinned by the snapshot, and is kept with the access", async () => {
    const w = await guarded();
    const signed = await signAttestation(about(w), w.c.signer);
    expect(await bring(w, signed)).toBe(1);
    expect(await bring(w)).toBe(0);
    const later = await signAttestation(about(w, { to: w.clock.now + 1 }), w.c.signer);
    expect(await bring(w, later)).toBe(1);
    const [first, second, third] = await w.audit();
    expect(first!.roles).toEqual(["oncologist"]);
    expect(first!.attestations.map(toHex)).toEqual([toHex(signed)]);
    expect(second!.roles).toEqual([]);
    expect(second!.attestations).toEqual([]);
    const snapshots = [first, second, third].map((one) =>
      one!.records[0]!.decision.snapshot.toString(),
    );
    expect(new Set(snapshots).size).toBe(3);
  });

  it("ends the decision when it ends", async () => {
    const w = await guarded();
    const to = w.clock.now + 10_000;
    const signed = await signAttestation(about(w, { to }), w.c.signer);
    const answer = await w.ask(w.b, { user: "dr-lee", attestations: [signed] });
    expect(answer.decision.expiresAt).toBe(to);
  });

  it("counts for everyone of an organisation, where it names no person", async () => {
    const w = await guarded();
    const { user: _, ...rest } = about(w);
    expect(await bring(w, await signAttestation(rest as AttestedFact, w.c.signer))).toBe(1);
  });

  it("counts among others that do not", async () => {
    const w = await guarded();
    const good = await signAttestation(about(w), w.c.signer);
    const other = await signAttestation(about(w, { user: "dr-may" }), w.c.signer);
    expect(await bring(w, other, new Uint8Array(3), good)).toBe(1);
    expect((await w.audit())[0]!.attestations.map(toHex)).toEqual([toHex(good)]);
  });

  const attacks: readonly (readonly [string, (w: Ward) => Promise<Uint8Array> | Uint8Array])[] = [
    ["bytes that are none", () => new Uint8Array(40).fill(0x40)],
    ["one that is over", (w) => signAttestation(about(w, { to: w.clock.now - 1 }), w.c.signer)],
    [
      "one before its time",
      (w) => signAttestation(about(w, { from: w.clock.now + 1 }), w.c.signer),
    ],
    ["another person's", (w) => signAttestation(about(w, { user: "dr-may" }), w.c.signer)],
    [
      "a namesake's at another organisation",
      (w) => signAttestation(about(w, { requester: w.hl.member }), w.c.signer),
    ],
    [
      "another ledger's",
      (w) => {
        const ledger = cidOf(encode("elsewhere"), DAG_CBOR);
        return signAttestation(about(w, { ledger }), w.c.signer);
      },
    ],
    ["a stranger's", (w) => signAttestation(about(w), signerFor("stranger"))],
    ["one by the person himself", (w) => signAttestation(about(w), w.patient)],
    [
      "one in a member's name by a key of somebody else",
      (w) => signAttestation(about(w), signerFor("stranger", w.c.signer.actor)),
    ],
    [
      "one in a member's name by the requester's key",
      async (w) =>
        forged(await signAttestation(about(w), w.c.signer), { by: w.c.signer.actor }, w.b.signer),
    ],
    [
      "one signed by the requester under the member's key id",
      async (w) => {
        const signed = await signAttestation(about(w), w.c.signer);
        return forged(signed, {}, w.b.signer, w.c.signer.key);
      },
    ],
    [
      "one that was altered",
      async (w) => {
        const signed = await signAttestation(about(w, { role: "nurse" }), w.c.signer);
        const { sig, ...rest } = decode(signed) as { sig: Uint8Array };
        const { attestation } = decode(await signAttestation(about(w), w.c.signer)) as {
          attestation: Uint8Array;
        };
        return encode({ ...rest, attestation, sig });
      },
    ],
    [
      "a signature with one bit flipped",
      async (w) => {
        const map = decode(await signAttestation(about(w), w.c.signer)) as { sig: Uint8Array };
        const sig = map.sig.slice();
        sig[40]! ^= 1;
        return encode({ ...map, sig });
      },
    ],
    [
      "a signature made for something else",
      async (w) => {
        const map = decode(await signAttestation(about(w), w.c.signer)) as {
          attestation: Uint8Array;
        };
        const sig = await signWith(w.c.signer, "directive", map.attestation);
        return encode({ ...map, sig });
      },
    ],
    [
      "one with a field too many",
      async (w) => forged(await signAttestation(about(w), w.c.signer), { x: 1 }, w.c.signer),
    ],
    [
      "one by a key that was retired since",
      async (w) => {
        const signed = await signAttestation(about(w), w.c.signer);
        const { actor } = w.c.signer;
        const second = signerFor("institute second", actor);
        await w.write(w.institute, [await keyEntry(w.hl.id, actor, "add", "sign", second)]);
        await w.write(w.institute, [await keyEntry(w.hl.id, actor, "retire", "sign", w.c.signer)]);
        return signed;
      },
    ],
    [
      "one by a key of the member's that is for something else",
      async (w) => {
        const { actor } = w.b.signer;
        const other = signerFor("hospital b checkpoints", actor);
        await w.write(w.hospitalB, [await keyEntry(w.hl.id, actor, "add", "checkpoint", other)]);
        return signAttestation(about(w), other);
      },
    ],
    [
      "one by who is no member any more",
      async (w) => {
        const signed = await signAttestation(about(w), w.c.signer);
        const change = [{ op: "remove" as const, actor: w.c.signer.actor }];
        const approvers = [w.hospitalA.signer(), w.hospitalB.signer()];
        await w.write(w.hospitalA, [await memberEntry(w.hl.id, change, approvers)]);
        return signed;
      },
    ],
  ];
  for (const [name, make] of attacks) {
    it(`does not count by ${name}`, async () => {
      const w = await guarded();
      expect(await bring(w, await signAttestation(about(w), w.c.signer))).toBe(1);
      expect(await bring(w, await make(w))).toBe(0);
      expect((await w.audit()).at(-1)).toMatchObject({ roles: [], attestations: [] });
    });
  }

  it("does not count by the requester's saying that another attests it", async () => {
    const w = await guarded();
    for (const [attestedBy, count] of [
      [w.c.signer.actor, 0],
      [w.hl.member, 0],
      [w.patient.actor, 0],
      ["", 0],
      [w.b.signer.actor, 1],
    ] as const) {
      const roles = [{ code: "oncologist", attestedBy }];
      expect((await w.ask(w.b, { user: "dr-lee", roles })).count, attestedBy).toBe(count);
    }
  });

  it("does not count as another role", async () => {
    const w = await guarded();
    expect(await bring(w, await signAttestation(about(w, { role: "nurse" }), w.c.signer))).toBe(0);
  });

  it("does not count when nobody says who asks", async () => {
    const w = await guarded();
    const attestations = [await signAttestation(about(w), w.c.signer)];
    expect((await w.ask(w.b, { attestations })).count).toBe(0);
    expect((await w.ask(w.b, { attestations, user: "dr-may" })).count).toBe(0);
  });

  it("does not count in another organisation's request", async () => {
    const w = await guarded();
    const attestations = [await signAttestation(about(w), w.c.signer)];
    expect((await w.ask(w.c, { attestations, user: "dr-lee" })).count).toBe(0);
  });

  it("does not count when its author leaves before anything is released", async () => {
    const w = await guarded();
    const signed = await signAttestation(about(w), w.c.signer);
    w.traps.before = async () => {
      const change = [{ op: "remove" as const, actor: w.c.signer.actor }];
      const approvers = [w.hospitalA.signer(), w.hospitalB.signer()];
      await w.write(w.hospitalA, [await memberEntry(w.hl.id, change, approvers)]);
    };
    expect(await bring(w, signed)).toBe(0);
    const [access] = await w.audit();
    expect(access!.records[0]).toMatchObject({ released: false });
    expect(access!.records[0]!.withdrawn!.outcome).not.toBe("permit");
  });

  it("opens what a privileged role may, for who breaks the glass", async () => {
    const w = await guarded({ purposes: ["HRESCH"] }, { breakGlass: { roles: ["oncologist"] } });
    const broken = async (...attestations: readonly Uint8Array[]) =>
      (
        await w.ask(w.b, {
          user: "dr-lee",
          purposes: ["BTG"],
          attestations,
          declaration: { reason: "unconscious", until: w.clock.now + 60_000 },
        })
      ).count;
    expect(await broken(await signAttestation(about(w), w.c.signer))).toBe(1);
    expect(await broken(await signAttestation(about(w, { user: "dr-may" }), w.c.signer))).toBe(0);
  });

  it("is not told to who reads the request on its way", async () => {
    const w = await guarded();
    const signed = await signAttestation(about(w, { role: "psychotherapist" }), w.c.signer);
    const bytes = await w.request({ attestations: [signed] });
    expect(toHex(bytes)).not.toContain(toHex(new TextEncoder().encode("psychotherapist")));
  });
});

describe("a membership", () => {
  const team = { actors: [{ type: "care-team" as const, id: "CareTeam/17" }] };
  const of = (w: Ward, memberOf: string): AttestedFact => about(w, { role: undefined, memberOf });
  const attested = async (when: When, by: (w: Ward) => Signer, memberOf: (w: Ward) => string) => {
    const w = await guarded(when);
    const said = { ...of(w, memberOf(w)) };
    delete (said as Record<string, unknown>)["role"];
    return bring(w, await signAttestation(said, by(w)));
  };

  it("of a group counts by the custodian's word", async () => {
    expect(
      await attested(
        team,
        (w) => w.hospitalA.signer(),
        () => "CareTeam/17",
      ),
    ).toBe(1);
  });

  it("of a group counts by nobody else's word, the requester's own least of all", async () => {
    for (const by of [(w: Ward) => w.c.signer, (w: Ward) => w.b.signer]) {
      expect(await attested(team, by, () => "CareTeam/17")).toBe(0);
    }
  });

  it("of an organisation, or of a group that bears its name, counts by its own word", async () => {
    const world = await ward();
    const board = `${world.c.signer.actor}#tumour-board`;
    const group = (id: string): When => ({ actors: [{ type: "group", id }] });
    const organisation = (id: string): When => ({ actors: [{ type: "organisation", id }] });
    const c = (w: Ward) => w.c.signer;
    const b = (w: Ward) => w.b.signer;
    expect(await attested(group(board), c, () => board)).toBe(1);
    expect(await attested(group(board), b, () => board)).toBe(0);
    const { actor } = world.c.signer;
    expect(await attested(organisation(actor), c, () => actor)).toBe(1);
    expect(await attested(organisation(actor), b, () => actor)).toBe(0);
    // A name that only begins alike.
    expect(await attested(group(`${actor}2`), c, () => `${actor}2`)).toBe(0);
  });

  it("is not had by bearing the name of a group or an organisation", async () => {
    const w = await guarded(team);
    expect((await w.ask(w.b, { user: "CareTeam/17" })).count).toBe(0);
    const signed = await signAttestation(
      {
        ledger: w.hl.id,
        requester: w.b.signer.actor,
        memberOf: w.c.signer.actor,
        from: 0,
        to: w.clock.now + 1000,
      },
      w.c.signer,
    );
    const attestations = [signed];
    expect((await w.ask(w.b, { user: "CareTeam/17", attestations })).count).toBe(0);
    const { actor } = w.c.signer;
    const other = await guarded({ actors: [{ type: "organisation", id: actor }] });
    expect((await other.ask(other.b, { user: actor })).count).toBe(0);
    expect((await other.ask(other.c)).count).toBe(1);
  });
});

describe("signAttestation", () => {
  it.each<[string, Record<string, unknown>]>([
    ["says both", { memberOf: "CareTeam/1" }],
    ["says neither", { role: undefined }],
    ["ends before it begins", { from: 2, to: 1 }],
    ["names nobody", { user: "" }],
    ["names no role", { role: "" }],
    ["names what is too long", { role: "x".repeat(513) }],
  ])("refuses what %s", async (_, change) => {
    const w = await ward();
    const said = Object.fromEntries(
      Object.entries({ ...about(w), ...change }).filter(([, value]) => value !== undefined),
    );
    await expect(signAttestation(said as unknown as AttestedFact, w.c.signer)).rejects.toThrow(
      EncodingError,
    );
  });

  it("is brought at most sixteen times with a request", async () => {
    const w = await guarded();
    const signed = await signAttestation(about(w), w.c.signer);
    expect(await bring(w, ...Array<Uint8Array>(16).fill(signed))).toBe(1);
    await expect(bring(w, ...Array<Uint8Array>(17).fill(signed))).rejects.toThrow(ConsentError);
    const sealed = { patient: MRN, attestations: Array<Uint8Array>(17).fill(signed) };
    expect(() => decodeSealedRequest(encode(sealed))).toThrow(EncodingError);
    expect(() => decodeSealedRequest(encode({ patient: MRN, attestations: ["x"] }))).toThrow(
      EncodingError,
    );
  });
});
