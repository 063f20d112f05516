import { memoryAgreement } from "../../src/identity/agreement.ts";
import type { KeyAgreement } from "../../src/identity/agreement.ts";
import { memorySigner, type Signer } from "../../src/identity/signer.ts";
import type { Capacity } from "../../src/consent/model/model.ts";
import { ownAccess } from "../../src/consent/own-access.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import type { AttestedKey } from "../../src/ledger/consents/attested-key.ts";
import type { Answer } from "../../src/ledger/disclosure/answer.ts";
import {
  askCustodian,
  type AskCustodianOptions,
} from "../../src/ledger/disclosure/ask-custodian.ts";
import type { Subject } from "../../src/ledger/entries/subjects.ts";
import { askingHospitals, type AskingHospitals } from "./asking.ts";
import { LABELLER, MRN } from "./hospital.ts";
import { bytesFor, START } from "./ledger.ts";

/** A person with keys of their own. */
export interface Person {
  readonly signer: Signer;
  readonly agreement: KeyAgreement;
}

/** A person whose keys are fixed by a name. */
export const person = (name: string, actor?: string): Person => ({
  signer: memorySigner({
    ...{ alg: "Ed25519", secret: bytesFor(name) },
    ...(actor === undefined ? {} : { actor }),
  }),
  agreement: memoryAgreement({ alg: "X25519", secret: bytesFor(`${name} receives`) }),
});

/** What a custodian attests of a person's two keys. */
export const keysOf = (
  { signer, agreement }: Person,
  capacity: Capacity,
  more: Partial<AttestedKey> = {},
): readonly [AttestedKey, AttestedKey] => {
  const { actor, alg, publicKey } = signer;
  const { from, to } = more;
  const term = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
  return [
    { actor, alg, publicKey, capacity, ...more },
    {
      ...{ actor, capacity, use: "agree", ...term },
      ...{ alg: agreement.alg, publicKey: agreement.publicKey },
    },
  ];
};

/** Two hospitals, and persons who ask the home over HTTP. */
export interface HospitalsWithPersons extends AskingHospitals {
  /** The patient, whose keys the home attested. */
  readonly self: Person;
  attest(who: Person, capacity: Capacity, more?: Partial<AttestedKey>, of?: Subject): Promise<void>;
  asks(who: Person, what?: Partial<AskCustodianOptions>): Promise<Answer>;
}

/** @param closing - what the test must close, in order of opening */
export async function hospitalsWithPersons(
  closing: (() => Promise<void>)[],
  options: {
    readonly capacities?: readonly Capacity[];
    readonly options?: Parameters<typeof askingHospitals>[1];
  } = {},
): Promise<HospitalsWithPersons> {
  const { capacities = ["self"] } = options;
  const policy = () => ownAccess({ organisation: "home", from: START - 1, capacities });
  const defaults = capacities.length === 0 ? [] : [policy()];
  const roles = ["emergency-physician"];
  const two = await askingHospitals(closing, {
    ...options.options,
    home: { policy: { labeller: LABELLER, defaults }, breakGlass: { roles } },
  });
  const { clock } = two;
  const self = person("patient");
  const attest: HospitalsWithPersons["attest"] = async (who, capacity, more, of = two.me) => {
    for (const key of keysOf(who, capacity, more)) await two.home.attest(of, key);
  };
  await attest(self, "self");
  return {
    ...{ ...two, self, attest },
    asks: ({ signer, agreement }, what = {}) =>
      askCustodian({
        ...{ peer: two.toHome, trust: trustFromGenesis(two.genesis), signer, agreement },
        ...{ custodianKey: two.homeKeys.agreement(), now: () => clock.now },
        ...{ patient: MRN, purposes: ["PATRQT"] },
        ...what,
      }),
  };
}
