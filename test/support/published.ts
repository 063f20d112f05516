import type { Directive } from "../../src/consent/model/model.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import type { Answer } from "../../src/ledger/disclosure/answer.ts";
import type { FiledDirective } from "../../src/ledger/consents/file-consent.ts";
import { collect, type Ward } from "./ward.ts";

/** How a hospital comes by a directive: signed with the person's key, or taken down by itself. */
export const WAYS = ["signed", "witnessed"] as const;

/** Files what `fromConsent` gave: witnessed as it is, or signed in the grantor's own name. */
export async function fileAs(
  way: (typeof WAYS)[number],
  w: Ward,
  directive: Directive,
  takenAt: number,
): Promise<FiledDirective> {
  const { capacity, actor } = directive.grantor;
  const { alg, publicKey } = w.patient;
  if (way === "witnessed") {
    if (capacity !== "self") await w.hl.attest(w.me, { actor, capacity });
    const witness = { user: "registrar-1", form: "paper" as const, takenAt };
    return w.hl.consent(w.me, directive, { witness });
  }
  const grantor = { ...directive.grantor, actor: w.patient.actor };
  if (capacity !== "self") {
    await w.hl.attest(w.me, { actor: w.patient.actor, alg, publicKey, capacity });
  }
  return w.hl.consent(w.me, { ...directive, grantor }, { signer: w.patient });
}

/** What of an answer is of a type, by name, sorted. */
export async function namesOf(answer: Answer, ...types: readonly string[]): Promise<string[]> {
  return (await collect(answer.items()))
    .map(({ text }) => JSON.parse(bytesToUtf8(text!)) as { resourceType: string; id: string })
    .filter(({ resourceType }) => types.includes(resourceType))
    .map(({ resourceType, id }) => `${resourceType}/${id}`)
    .sort();
}

/** A decision that IHE publishes for one of its consents. */
export interface PcfCase {
  readonly id: string;
  readonly consent: string;
  readonly asOf: string;
  readonly request: {
    readonly actor: string;
    readonly actorGroups: readonly string[];
    readonly purpose: string;
  };
  readonly expected: { readonly perResource: Readonly<Record<string, "permit" | "forbid">> };
}
