import type { SimulatedNetwork } from "../../../../src/testing/simulate-network.ts";
import { readable } from "../../../support/ward.ts";
import type { PersonModel } from "./facts.ts";
import { identifierOf, PATIENTS, type Custodian } from "./programs.ts";

/** What a custodian's own audit says of one person, or of those whom it does not know. */
interface Audit {
  readonly of: string;
  readonly lines: readonly string[];
}

const MINUTE = 60_000;

/** Reads the audits of custodians while the network stands still. */
export async function auditsOf(
  network: SimulatedNetwork,
  custodians: readonly Custodian[],
): Promise<readonly Audit[]> {
  const audits: Audit[] = [];
  let isRead = false;
  void (async () => {
    for (const { name: of, hl } of custodians) {
      const persons = [];
      for (const patient of PATIENTS) {
        const person = await hl!.findSubject(identifierOf(patient));
        if (person !== undefined) persons.push(person);
      }
      const lines: string[] = [];
      for (const person of [...persons, null]) {
        for (const { id, requester, records } of await readable(hl!.audit(person))) {
          lines.push(lineOf(id, requester, records.filter(({ released }) => released).length));
        }
      }
      audits.push({ of, lines });
    }
  })().finally(() => (isRead = true));
  await network.until(() => isRead, MINUTE);
  return audits;
}

const lineOf = (id: string, requester: string, released: number): string =>
  `${id} ${requester} ${released}`;

/** Each access that is on the ledger is in its custodian's audit, once and as it is there. */
export function judgeAudits(
  audits: readonly Audit[],
  models: ReadonlyMap<string, PersonModel>,
  problem: (what: string) => void,
): void {
  for (const { of, lines } of audits) {
    const expected = models.get(of)!.accesses.map(({ id, requester, permitted, withheld }) => {
      const released = [...permitted].filter((entry) => !withheld.has(entry));
      return lineOf(id, requester, released.length);
    });
    if (lines.toSorted().join() !== expected.toSorted().join())
      problem("an audit is not what the ledger says");
  }
  if (audits.length === 0) problem("nobody has an audit");
}
