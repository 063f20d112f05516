import type { CustodiansPlan } from "./custodians/plan.ts";
import type { Plan } from "./plan.ts";

/** A mistake that is put into the source while it is loaded. */
export interface SourceMutant {
  readonly name: string;
  /** One that noticed it, and is tried first. */
  readonly seed: number;
  /** What the plan of a seed must have for the mistake to be met at all. */
  readonly of?: Partial<Plan> | Partial<CustodiansPlan>;
  readonly patches: readonly {
    /** Below `src/`. */
    readonly file: string;
    /** Text that occurs there once. */
    readonly find: string;
    readonly replace: string;
  }[];
}

/** Code that runs only where another organisation writes through the home. */
const OF_MEMBERS = /^ledger\/elsewhere\//;

const mutant = (
  name: string,
  seed: number,
  ...patches: readonly (readonly [file: string, find: string, replace: string])[]
): SourceMutant => ({
  ...{ name, seed },
  ...(patches.some(([file]) => OF_MEMBERS.test(file)) && { of: { hasMember: true } }),
  patches: patches.map(([file, find, replace]) => ({ file, find, replace })),
});

const ofCustodians = (of: Partial<CustodiansPlan>, made: SourceMutant): SourceMutant => ({
  ...{ ...made, of },
});

/** No mistake: each record then has a page of its own. */
export const SMALL_PAGES: SourceMutant = mutant("small-pages", 1, [
  "ledger/disclosure/answer-pages.ts",
  "export const PAGE_ITEMS = 256;",
  "export const PAGE_ITEMS = 1;",
]);

/** Mistakes in how custodians are asked and answer. */
export const custodianMutants: readonly SourceMutant[] = [
  ofCustodians(
    {},
    mutant("retry-as-new-access", 2, [
      "ledger/disclosure/disclose.ts",
      "      (await context.kept?.answering(replayName)) ??\n" +
        "      (await replays.answered(replayName, request.time));\n    if (earlier",
      "      undefined;\n    if (earlier",
    ]),
  ),
  ofCustodians(
    {},
    mutant("retry-not-decided-anew", 5, [
      "ledger/disclosure/disclose.ts",
      "  const admitted = second.decided.filter(isPermitted).flatMap(({ record, decision }) => {",
      "  const admitted = second.decided.flatMap(({ record, decision }) => {",
    ]),
  ),
  ofCustodians(
    {},
    mutant("freshness-unread", 2, [
      "ledger/disclosure/freshness.ts",
      "if (maxAge === Infinity ||",
      "if (maxAge >= 0 ||",
    ]),
  ),
  ofCustodians(
    { hasProxy: true },
    mutant(
      "page-order-unbound",
      6,
      ...SMALL_PAGES.patches.map(({ file, find, replace }) => [file, find, replace] as const),
      [
        "ledger/disclosure/reply-pages.ts",
        'encode(["healthledger/answer/1", ledger, custodian, ask, page]);',
        'encode(["healthledger/answer/1", ledger, custodian, ask, 0 * page]);',
      ],
      [
        "ledger/disclosure/reply-pages.ts",
        "if (content.page !== page || !equalBytes(content.ask, ask))",
        "if (!equalBytes(content.ask, ask))",
      ],
    ),
  ),
  ofCustodians(
    {},
    mutant("filed-shown-at-hand-over", 3, [
      "ledger/disclosure/delivery-calls.ts",
      'if (reply.status === "held") return { ...what, status: "held" };',
      'if (reply.status === "held") return { ...what, status: "filed" };',
    ]),
  ),
  ofCustodians(
    { isForged: true },
    mutant("alias-not-checked", 6, [
      "ledger/disclosure/shown-entry.ts",
      "if (!isTheirs || decoded.kind !== kind || body?.equals(envelope) !== true) return undefined;",
      "if (!isTheirs || decoded.kind !== kind || body === undefined) return undefined;",
    ]),
  ),
  ofCustodians(
    {},
    mutant("alias-not-looked-up", 5, [
      "ledger/consents/file-consent.ts",
      "const already = before.find(({ aliases = [] }) => alias && aliases.includes(alias));",
      "const already = before.find(({ aliases = [] }) => alias && aliases.length > 99);",
    ]),
  ),
  ofCustodians(
    {},
    mutant("filed-without-being-vouched-for", 4, [
      "ledger/consents/file-consent.ts",
      "if (mayWait || witness?.doubted === true || !placed) {",
      "if (!placed) {",
    ]),
  ),
];

/** Mistakes in code of the network, each of which some seed must notice. */
export const networkMutants: readonly SourceMutant[] = [
  mutant(
    "no-root-check",
    103,
    [
      "network/fetch-blocks.ts",
      "if (!isBlockOf(bytes, hashes[at]!)) {",
      "if (isBlockOf === undefined) {",
    ],
    [
      "chain/ingest.ts",
      'return held ? staged : { reason: "not-under-the-checkpoint" };',
      "return held ? staged : staged;",
    ],
  ),
  mutant("append-before-acceptance", 2, [
    "network/accepted-heads.ts",
    "    const before = seen();",
    "    const before = seen();\n    target = checkpoint;",
  ]),
  mutant("witness-persists-after-signing", 276, [
    "chain/witness.ts",
    "if (!isKept && !(await heads.keep(read, { size, root }))) continue;",
    "if (!isKept) heads.keep(read, { size, root }).catch(() => undefined);",
  ]),
  mutant("quorum-off-by-one", 4, [
    "chain/trust.ts",
    "if (byWitnesses.length < cosignaturePolicy.witnesses.required) {",
    "if (byWitnesses.length < cosignaturePolicy.witnesses.required - 1) {",
  ]),
  mutant(
    "peers-size-believed",
    1,
    [
      "network/accepting.ts",
      "  if (judged.ok) return accepted(note, judged.checkpoint, trust, []);",
      "  const claimed = readCheckpoint(note);\n  if (claimed !== undefined) return accepted(note, claimed, trust, []);\n" +
        "  if (judged.ok) return accepted(note, judged.checkpoint, trust, []);",
    ],
    [
      "network/accepting.ts",
      'import { connectHeads, type TreeHead } from "../chain/connection.ts";',
      'import { readCheckpoint } from "../chain/checkpoint-note.ts";\n' +
        'import { connectHeads, type TreeHead } from "../chain/connection.ts";',
    ],
  ),
  mutant("range-ignored", 2, [
    "network/fetch-blocks.ts",
    "if (height >= first) yield { bytes, peer, tree };",
    "if (height >= 0) yield { bytes, peer, tree };",
  ]),
  mutant("fork-not-noticed", 21, [
    "network/accepted-heads.ts",
    "if (best !== undefined && (await takeFork(best)).frozen) throw forkedError();",
    "void best;",
  ]),
  mutant("acknowledged-before-durable", 3, [
    "chain/sequencer.ts",
    "    const head = await committing;",
    "    for (const [transaction, pending] of assembled.batch.entries()) {\n" +
      "      queue.succeed(pending, { height, transaction });\n    }\n    const head = await committing;",
  ]),
  mutant(
    "outbox-after-submit",
    143,
    [
      "ledger/elsewhere/outbox.ts",
      "      await storage.commit({ blobs, state });\n      return added.map(keep);",
      "      let kept;\n      const late = () => (kept ??= storage.commit({ blobs, state }));\n" +
        "      return added.map((item) => keep(Object.assign(item, { late })));",
    ],
    [
      "ledger/elsewhere/remote-sequencer.ts",
      "      delete item.error;\n      delete item.held;\n      item.said",
      "      delete item.error;\n      delete item.held;\n      await item.late?.();\n      item.said",
    ],
  ),
  mutant("peer-avoided-for-ever", 1, [
    "network/peer-list.ts",
    "state.pause = Math.min(LONGEST_PAUSE, 2 * state.pause);",
    "state.pause = 1e9;",
  ]),
  mutant("acknowledged-when-said", 7, [
    "ledger/elsewhere/remote-sequencer.ts",
    "      item.said = { place: { height, transaction }, at: elapsed() };",
    "      item.said = { place: { height, transaction }, at: elapsed() };\n      for (const caller of item.callers ?? []) caller.resolve(item.said.place);",
  ]),
  mutant("done-when-said", 7, [
    "ledger/elsewhere/remote-sequencer.ts",
    "      item.said = { place: { height, transaction }, at: elapsed() };",
    "      await outbox.complete(item);\n      item.place = { height, transaction };\n      finish(item);",
  ]),
  mutant("given-up-after-a-fault", 13, [
    "ledger/elsewhere/remote-sequencer.ts",
    "        note(error, batch);",
    "        note(error, batch);\n        for (const item of batch) await outbox.remove(item);",
  ]),
  mutant("outbox-lost-at-start", 8, [
    "ledger/elsewhere/outbox.ts",
    "    else keep({ order, row: row!, prepared });",
    "",
  ]),
  mutant("outbox-not-beside-blocks", 7, [
    "chain/ingest.ts",
    "...beside(staged.flatMap(({ applied }) => placed(applied)))",
    "...(placed === undefined ? beside([]) : [])",
  ]),
  mutant("refusal-forgotten", 7, [
    "ledger/elsewhere/settling.ts",
    "await outbox.replace(item, { refused: refused.reason });",
    "await outbox.remove(item);",
  ]),
  mutant("never-signed-anew", 56, [
    "ledger/elsewhere/settling.ts",
    "if (Math.abs(now() - time) > maxTxAge() / 2) await renew(item);",
    "if (time === undefined) await renew(item);",
  ]),
  mutant("signed-anew-unsure", 326, [
    "ledger/elsewhere/settling.ts",
    "    if (!(await isPassed(item))) {\n      return hold(",
    "    if (isPassed === undefined) {\n      return hold(",
  ]),
  mutant("acceptance-not-awaited", 46, [
    "network/accepted-heads.ts",
    "    await kept.keepAccepted(",
    "    void kept.keepAccepted(",
  ]),
];

/** All that the plugin can put into the source. */
export const sourceChanges: readonly SourceMutant[] = [
  ...networkMutants,
  ...custodianMutants,
  SMALL_PAGES,
];
