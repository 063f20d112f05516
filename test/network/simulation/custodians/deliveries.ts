import { decode } from "@ipld/dag-cbor";
import type { SimulatedNetwork } from "../../../../src/testing/simulate-network.ts";
import { noteShown } from "./delivering.ts";
import type { Fact, PersonModel } from "./facts.ts";
import { identifierOf, PATIENTS, type Custodian, type CustodiansSetting } from "./programs.ts";

const MINUTE = 60_000;
/** Most times that each delivers what is not filed, once nothing goes wrong any more. */
const TURNS = 8;
const hex = (bytes: unknown): string => Buffer.from(bytes as Uint8Array).toString("hex");
const didOf = ({ keys }: Pick<Custodian, "keys">): string => keys.signer().actor;

/** What a custodian shows of directives at the end. */
export interface ShownAtLast {
  readonly of: string;
  /** `consent to status` of each delivery. */
  readonly deliveries: readonly string[];
  /** Ids of the directives about each person whom it knows, and of those that it holds about them. */
  readonly persons: readonly {
    readonly patient: string;
    readonly filed: readonly string[];
    readonly held: readonly string[];
  }[];
  /** Ids of what it holds about nobody known. */
  readonly strangers: readonly string[];
}

/** Lets custodians deliver what is not filed, until that changes nothing, and then looks what they show. */
export async function deliverAtLast(
  network: SimulatedNetwork,
  custodians: readonly Custodian[],
  setting: CustodiansSetting,
): Promise<readonly ShownAtLast[]> {
  const shown: ShownAtLast[] = [];
  let isOver = false;
  void (async () => {
    // One that is stale is busy until it hears of the home again; what another is filed behind may come later.
    let last = "";
    for (let turn = 0, told = "-"; turn < TURNS && told !== last; turn++) {
      last = told;
      told = "";
      for (const own of custodians) {
        const all = await own.hl!.deliverPending();
        noteShown(own, all, setting);
        const areThere = all.every(({ status }) => status === "filed" || status === "held");
        told += areThere ? `${all.map(({ status }) => status).join()};` : `${turn};`;
      }
    }
    for (const own of custodians) shown.push(await shownBy(own));
  })().finally(() => (isOver = true));
  await network.until(() => isOver, 20 * MINUTE);
  return shown;
}

async function shownBy({ name, hl }: Custodian): Promise<ShownAtLast> {
  const idsOf = (all: readonly { readonly id: string }[]): string[] => all.map(({ id }) => id);
  const persons = [];
  for (const patient of PATIENTS) {
    const person = await hl!.findSubject(identifierOf(patient));
    if (person === undefined) continue;
    const filed = (await hl!.directives(person)).map(({ entry }) => entry);
    persons.push({ patient, filed, held: idsOf(await hl!.held(person)) });
  }
  const deliveries = (await hl!.deliveries()).map(
    ({ consent, to, status }) => `${consent} ${to} ${status}`,
  );
  return { of: name, deliveries, persons, strangers: idsOf(await hl!.held(null)) };
}

interface Judging {
  readonly custodians: ReadonlyMap<string, Pick<Custodian, "keys" | "shown">>;
  readonly facts: ReadonlyMap<string, readonly Fact[]>;
  readonly models: ReadonlyMap<string, PersonModel>;
  readonly atLast: readonly ShownAtLast[];
  readonly problem: (what: string) => void;
}

/** Nothing is filed or called filed that its custodian did not file so, and nothing is shown otherwise than it is. */
export function judgeDeliveries(judging: Judging): void {
  for (const name of judging.facts.keys()) {
    judgeTaken(judging, name);
    judgeShown(judging, name);
  }
  for (const shown of judging.atLast) judgeAtLast(judging, shown);
}

/** What was delivered is filed once, as its custodian filed it and under that one's entry, if something vouches for it. */
function judgeTaken({ facts, custodians, problem }: Judging, name: string): void {
  const own = facts.get(name)!;
  const origins = new Set<string>();
  for (const { op, origin, content, height, local } of own) {
    if (origin === undefined) continue;
    const [from, original] = originalOf(facts, name, origin);
    const isSame = original !== undefined && hex(original.content) === hex(content);
    if (!isSame || original.height >= height)
      problem("a delivery is kept under an entry that is not its own");
    if (op !== "directive") continue;
    if (origins.has(origin)) problem("a delivery is filed twice");
    origins.add(origin);
    const known = own.filter((one) => one.height < height);
    const isVouched =
      isWitnessed(content) && from !== undefined
        ? witnessesIn(known).has(didOf(custodians.get(from)!))
        : known.some((one) => one.op === "attest" && one.local === local);
    if (!isVouched) problem("a delivery is filed for which nothing vouches");
  }
}

/** The directive of another custodian with this id. */
function originalOf(
  facts: Judging["facts"],
  name: string,
  id: string,
): readonly [from: string, original: Fact] | readonly [] {
  for (const [from, all] of facts) {
    const found = all.find((one) => one.id === id && one.op === "directive");
    if (from !== name && found !== undefined) return [from, found];
  }
  return [];
}

const isWitnessed = (content: Uint8Array | undefined): boolean =>
  Object.hasOwn(decode<object>(content!), "witness");

/** Whose witnessed directives count by the last list. */
function witnessesIn(facts: readonly Fact[]): ReadonlySet<string> {
  const list = facts.findLast(({ op }) => op === "witnesses");
  return new Set(
    list === undefined ? [] : decode<{ witnesses: string[] }>(list.content!).witnesses,
  );
}

/** What is shown as filed, or said so on the ledger, was filed by the recipient by then, byte by byte. */
function judgeShown(judging: Judging, name: string): void {
  const { custodians, facts, problem } = judging;
  const own = facts.get(name)!;
  const nameOf = (did: string): string => [...custodians].find(([, one]) => didOf(one) === did)![0];
  function isFiled(consent: string, to: string, entry: string | undefined, below: number): boolean {
    const ours = own.find(({ id, op }) => id === consent && op === "directive");
    const theirs = facts.get(to)!.find(({ id, op }) => id === entry && op === "directive");
    const isThere = ours !== undefined && theirs !== undefined && theirs.height < below;
    return isThere && hex(ours.content) === hex(theirs.content);
  }
  for (const { consent, to: did, status, entry, sizes } of custodians.get(name)!.shown) {
    const to = nameOf(did);
    if (status === "filed" && !isFiled(consent, to, entry, sizes.get(to)!))
      problem("a delivery is shown as filed that the recipient has not filed");
    const isKept = facts.get(to)!.some(({ origin, height }) => {
      return origin === consent && height < sizes.get(to)!;
    });
    if (status === "held" && !isKept)
      problem("a delivery is shown as held that the recipient does not hold");
  }
  for (const { op, content, height } of own) {
    if (op !== "delivered") continue;
    const { consent, to, status, entry } = decode<Outcome>(content!);
    const id = entry === undefined ? undefined : hex(entry);
    if (status === "filed" && !isFiled(hex(consent), nameOf(to), id, height))
      problem("a delivery is recorded as filed that the recipient has not filed");
  }
}

interface Outcome {
  readonly consent: Uint8Array;
  readonly to: string;
  readonly status: string;
  readonly entry?: Uint8Array;
}

/** At last, all is filed that something vouches for; and what is shown is what is on the ledger. */
function judgeAtLast(judging: Judging, shown: ShownAtLast): void {
  const { custodians, facts, models, atLast, problem } = judging;
  const own = facts.get(shown.of)!;
  const sorted = (all: readonly string[]): string => all.toSorted().join();
  for (const { patient, filed, held } of shown.persons) {
    const about = own.filter(({ local }) => local === models.get(shown.of)!.locals.get(patient));
    const directives = about.filter(({ op }) => op === "directive");
    const contents = new Set(directives.map(({ content }) => hex(content)));
    const kept = about.filter(({ op, content }) => op === "held" && !contents.has(hex(content)));
    if (sorted(filed) !== sorted(directives.map(({ id }) => id)))
      problem("other directives are shown than are filed");
    if (sorted(held) !== sorted(kept.map(({ id }) => id)))
      problem("other directives are shown than are held");
  }
  if (!shown.strangers.every((id) => own.some((one) => one.id === id && one.op === "held")))
    problem("more is held about strangers than there is");

  const expected = new Map<string, string | undefined>();
  for (const { op, content } of own) {
    if (op !== "deliver") continue;
    const { consents, to } = decode<{ consents: Uint8Array[]; to: string[] }>(content!);
    for (const consent of consents.map(hex)) {
      for (const did of to) {
        const [name] = [...custodians].find(([, one]) => didOf(one) === did)!;
        const isUp = atLast.some(({ of }) => of === name);
        expected.set(`${consent} ${did}`, isUp ? outcomeAt(judging, shown.of, name, consent) : "");
      }
    }
  }
  const told = new Map(
    shown.deliveries.map((one) => [one.slice(0, one.lastIndexOf(" ")), one.split(" ")[2]!]),
  );
  if (sorted([...expected.keys()]) !== sorted([...told.keys()]))
    problem("deliveries are forgotten, or made up");
  for (const [one, status] of expected) {
    if (status !== "" && told.get(one) !== status)
      problem(`a delivery that should be ${status} is ${told.get(one)} at last`);
  }
}

/** What should become of a directive at another custodian, by what that one knows and vouches for. */
function outcomeAt(judging: Judging, by: string, to: string, consent: string): string {
  const { custodians, facts, models } = judging;
  const own = facts.get(by)!.find(({ id }) => id === consent)!;
  const [patient] = [...models.get(by)!.locals].find(([, local]) => local === own.local)!;
  const local = models.get(to)!.locals.get(patient);
  const theirs = facts.get(to)!;
  if (local === undefined) return "held";
  const isVouched = isWitnessed(own.content)
    ? witnessesIn(theirs).has(didOf(custodians.get(by)!))
    : theirs.some((one) => one.op === "attest" && one.local === local);
  return isVouched ? "filed" : "held";
}
