import { equalBytes } from "../../bytes/compare.ts";
import { memberKey } from "../../chain/state.ts";
import { entryIdBytes, type EntryId } from "../../codec/ids.ts";
import { InputError, LedgerError, TransportError } from "../../errors.ts";
import { CONSENT_PARTS, openParts, type ConsentReader } from "../consents/read-consents.ts";
import type { LedgerContext } from "../context.ts";
import { deliveriesLocal, type CatalogueItem } from "../entries/catalogue-item.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { sealEntry, type Filing } from "../entries/filing.ts";
import type { Manifest } from "../entries/manifest.ts";
import type { Operation } from "../entries/operations.ts";
import { personName, type Turns } from "../turns.ts";
import type { Delivering, Delivery } from "./delivering.ts";
import {
  decodeDeliverReply,
  decodeOutcome,
  decodeQueued,
  encodeDeliver,
  encodeOutcome,
  encodeQueued,
  MAX_AFTER,
  MAX_RECIPIENTS,
  type OutcomeContent,
} from "./delivery-format.ts";
import type { Reach } from "./reach.ts";
import { sendMessage } from "./send-ask.ts";
import { openShown, showEntry } from "./shown-entry.ts";
import { FILED_PARTS } from "./take-delivery.ts";

const invalid = (what: string): InputError => new InputError("ERR_INPUT_INVALID", what);
const notHere = (): InputError => invalid("there is no such directive here");
/** Says of a delivery that no custodian would take what else can be done. */
function orTooLong(error: unknown): never {
  if (!(error instanceof InputError) || error.code !== "ERR_INPUT_TOO_LARGE") throw error;
  throw new InputError(
    "ERR_INPUT_TOO_LARGE",
    "the directive is never delivered, since it does not fit into the 512 KiB of an ask: let its grantor give a " +
      "shorter one, or bring `signed` and `salt` of it to the custodian otherwise, for its `receive`",
    { cause: error },
  );
}
/** Failures to reach a custodian, one after another, after which the rest waits for the next call. */
const UNREACHED = 2;
const nameOf = (consent: EntryId, to: string): string => `${consent} ${to}`;

/** Makes the calls. */
export function deliveryCalls(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly filing: Filing;
    readonly readConsents: ConsentReader;
    readonly turns: Turns;
    readonly reach: Reach;
    readonly bring: () => Promise<void>;
  },
): Delivering {
  const { chain, signer, now } = context;
  const { catalogue, filing, readConsents, turns, reach, bring } = options;
  /** What this process last learned of deliveries that are not filed. */
  const attempts = new Map<string, Pick<Delivery, "error"> & { readonly handedAt?: number }>();

  /**
   * Files something that names a directive, unless it was erased meanwhile: that must not outlive it.
   *
   * @returns whether it was filed
   */
  async function file(
    op: Operation,
    consent: EntryId,
    { manifest: { local } }: CatalogueItem,
    content: Uint8Array,
  ): Promise<boolean> {
    return turns.shared(personName({ local }), async () => {
      if ((await consentOf(consent)) === undefined) return false;
      const parts = [{ id: "content", bytes: content }];
      const manifest: Manifest = { v: 1, op, local };
      const sealed = await sealEntry(context, { kind: "link", manifest, parts });
      catalogue.remember(sealed);
      await filing.file([sealed]);
      return true;
    });
  }

  /** The consent entry here with this id. */
  async function consentOf(id: EntryId): Promise<CatalogueItem | undefined> {
    await catalogue.catchUp();
    const found = await catalogue.find(entryIdBytes(id));
    return found.status === "present" && found.item.kind === "consent" ? found.item : undefined;
  }

  /** A directive and the earlier ones of its lineage that count, in order. */
  async function lineageUpTo(item: CatalogueItem, id: EntryId): Promise<readonly EntryId[]> {
    const kinds = ["consent", "erase", "link"] as const;
    const items = await catalogue.itemsOf(item.manifest.local, kinds);
    const { directives } = await readConsents(items, chain.size - 1);
    const at = directives.findIndex(({ entry }) => entry === id);
    const own = directives[at];
    if (own === undefined || own.standing !== "valid") {
      throw invalid("the directive is void here: nothing of it is delivered");
    }
    const { lineage } = own.directive;
    const before = directives.slice(0, at).filter(({ standing, directive, unreadable }) => {
      return standing === "valid" && directive.lineage === lineage && unreadable !== true;
    });
    if (before.length > MAX_AFTER)
      throw invalid(`the lineage has more than ${MAX_AFTER} directives`);
    return [...before.map(({ entry }) => entry), id];
  }

  async function list(): Promise<readonly Delivery[]> {
    await catalogue.catchUp();
    const told = new Map<string, Delivery>();
    for (const item of await catalogue.itemsOf(deliveriesLocal(context), ["erase", "link"])) {
      const parts = await openParts(context, catalogue, item, ["content"]);
      if (parts === undefined) continue;
      const content = parts.get("content")!;
      const since = item.recordedAt;
      if (item.manifest.op === "deliver") {
        const { consents, to } = decodeQueued(content);
        for (const consent of consents) {
          for (const one of to) {
            const name = nameOf(consent, one);
            if (!told.has(name)) told.set(name, { consent, to: one, status: "queued", since });
          }
        }
      } else {
        const { consent, to, status, entry } = decodeOutcome(content);
        const proved = entry === undefined ? {} : { entry };
        told.set(nameOf(consent, to), { consent, to, status, since, ...proved });
      }
    }
    for (const [name, { consent, status }] of told) {
      // What was erased here is delivered no more.
      if (status !== "filed" && (await consentOf(consent)) === undefined) told.delete(name);
    }
    return [...told].map(([name, one]) => {
      const { error, handedAt } = attempts.get(name) ?? {};
      if (one.status === "filed") return one;
      return {
        ...one,
        ...(handedAt === undefined ? {} : { status: "handed" as const, since: handedAt }),
        ...(error === undefined ? {} : { error }),
      };
    });
  }

  /** Delivers one directive to one custodian. */
  async function send({ consent, to, status }: Delivery, signal?: AbortSignal): Promise<void> {
    const name = nameOf(consent, to);
    const item = await consentOf(consent);
    if (item === undefined) return;
    const after = (await lineageUpTo(item, consent)).slice(0, -1);
    const entry = await showEntry(context, item, CONSENT_PARTS);
    if (entry === undefined) return;
    const reached = await reach(to, signal === undefined ? {} : { signal });
    const content = encodeDeliver({ entry, after });
    const message = { kind: "deliver", content } as const;
    const pages = await sendMessage(reached.to, reached.checks, message).catch(orTooLong);
    let reply: Uint8Array | undefined;
    for await (const { content: page } of pages) reply ??= page;
    const outcome = await judge(item, { consent, to }, decodeDeliverReply(reply!));
    if (outcome === undefined) {
      attempts.set(name, { handedAt: now() });
      return;
    }
    attempts.delete(name);
    if (outcome.status !== status) await file("delivered", consent, item, encodeOutcome(outcome));
  }

  /** What a reply proves; `undefined` if that is nothing. */
  async function judge(
    item: CatalogueItem,
    what: Pick<OutcomeContent, "consent" | "to">,
    reply: ReturnType<typeof decodeDeliverReply>,
  ): Promise<OutcomeContent | undefined> {
    if (reply.status === "held") return { ...what, status: "held" };
    if (reply.status !== "filed" || reply.entry === undefined) return undefined;
    const whose = { author: what.to, kind: "consent", parts: FILED_PARTS };
    const shown = await openShown(context, reply.entry, whose, bring);
    const own = await openParts(context, catalogue, item, FILED_PARTS);
    const [theirs, ours] = [shown?.parts.get("content"), own?.get("content")];
    if (shown === undefined || theirs === undefined || ours === undefined) return undefined;
    return equalBytes(theirs, ours) ? { ...what, status: "filed", entry: shown.id } : undefined;
  }

  /**
   * Delivers what is not filed, to several custodians at a time: what failed before goes last, so that nothing else
   * waits behind it. A custodian keeps what comes before an earlier directive of its lineage.
   */
  async function sendAll(
    wanted: (one: Delivery) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const waiting = (await list()).filter((one) => one.status !== "filed" && wanted(one));
    const inOrder = [
      ...waiting.filter(({ error }) => error === undefined),
      ...waiting.filter(({ error }) => error !== undefined),
    ];
    await Promise.all(
      [...new Set(waiting.map(({ to }) => to))].map((to) =>
        turns.exclusive(`deliveries ${to}`, async () => {
          let unreached = 0;
          for (const one of inOrder) {
            if (one.to !== to || unreached === UNREACHED) continue;
            unreached = (await isReached(one, signal)) ? 0 : unreached + 1;
          }
        }),
      ),
    );
  }

  /** Delivers one directive to one custodian; keeps what it failed with. */
  async function isReached(one: Delivery, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      await send(one, signal);
      return true;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof LedgerError)) throw error;
      attempts.set(nameOf(one.consent, one.to), { error });
      return !(error instanceof TransportError) || error.code === "ERR_TRANSPORT_REFUSED";
    }
  }

  return {
    async deliver(consent, { to, signal }) {
      await assertRecipients(to);
      const item = await consentOf(consent);
      if (item === undefined) throw notHere();
      const consents = await lineageUpTo(item, consent);
      if (!(await file("deliver", consent, item, encodeQueued({ consents, to })))) throw notHere();
      const isWanted = (one: Delivery) => to.includes(one.to) && consents.includes(one.consent);
      await sendAll(isWanted, signal);
      return (await list()).filter((one) => isWanted(one) && one.consent === consent);
    },
    deliveries: list,
    async deliverPending({ signal } = {}) {
      await sendAll(() => true, signal);
      return list();
    },
  };

  async function assertRecipients(to: readonly string[]): Promise<void> {
    if (!Array.isArray(to) || to.length === 0 || to.length > MAX_RECIPIENTS) {
      throw invalid(`\`to\` must name 1 to ${MAX_RECIPIENTS} custodians`);
    }
    await chain.refresh();
    await chain.state.load(to.map((did) => memberKey(did)));
    for (const did of to) {
      const member = chain.state.member(did);
      const isCustodian = member?.until === null && member.roles.includes("custodian");
      if (did === signer.actor || !isCustodian) {
        throw invalid("directives are delivered to other custodians in force");
      }
    }
  }
}
