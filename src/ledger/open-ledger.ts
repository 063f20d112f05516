import { randomBytes } from "#crypto";
import { MAX_LANES } from "../block/limits.ts";
import { openChain } from "../chain/open-chain.ts";
import { checkedClock } from "../chain/clock.ts";
import { openCheckpoints } from "../chain/checkpoints.ts";
import { signerFor } from "../chain/key-change.ts";
import { readingChain } from "../chain/reading-chain.ts";
import { createSequencer } from "../chain/sequencer.ts";
import { verifyLedger } from "../chain/verify-ledger.ts";
import { toEntryId } from "../codec/ids.ts";
import { assertKnownJurisdictions } from "../consent/terminology/known-codes.ts";
import { assertPadding } from "../envelope/padding.ts";
import { usableSuite } from "../envelope/suite.ts";
import { StorageError } from "../errors.ts";
import { memoryOf } from "../identity/signed-heads.ts";
import { sleep as platformSleep } from "../storage/sleep.ts";
import { platformTimers, repeatWrites, SETTLE_WITHIN } from "../storage/settle.ts";
import { auditOf } from "./disclosure/audit.ts";
import { openCatalogue } from "./entries/catalogue.ts";
import { checkedMembers } from "./entries/entitlements.ts";
import { cosigningTimes } from "./cosigning-times.ts";
import { checkpointKeysOf } from "./own-signers.ts";
import { createConsenting } from "./consents/file-consent.ts";
import { consentReader } from "./consents/read-consents.ts";
import { gateCommits } from "./vault/commit-gate.ts";
import { type LedgerContext, ownSigningKey } from "./context.ts";
import { createGovernance } from "./governance.ts";
import { hasFiled } from "./index/has-filed.ts";
import { decideQuestion } from "./disclosure/question.ts";
import type { DiscloseContext } from "./disclosure/disclose.ts";
import { disclosureCalls } from "./disclosure/disclosure-calls.ts";
import { checkCompactionTime } from "./erasure/erase-options.ts";
import { createCarryingOut } from "./erasure/carry-out.ts";
import { createErasing } from "./erasure/erase.ts";
import { readEvidence } from "./consents/evidence.ts";
import { readHeld, readStrangers } from "./consents/held.ts";
import { createFiling, type Filing } from "./entries/filing.ts";
import { readOnlyError, whyReadOnly } from "./read-only.ts";
import { listRecords } from "./records/list-records.ts";
import { createRecordContents } from "./records/record-content.ts";
import { createRecording } from "./records/recording.ts";
import { relabelStale } from "./records/relabelling.ts";
import { checkedDefaults, namedOverlays } from "./policies.ts";
import { contractCalls } from "./contract-calls.ts";
import { appendsUnlessForked, forkCalls, openForks, unlessForked } from "./fork-calls.ts";
import { openReplays } from "./disclosure/replays.ts";
import { openSubjects } from "./entries/subjects.ts";
import { createReviews } from "./disclosure/reviews.ts";
import { personCalls } from "./persons/person-calls.ts";
import { openProposals } from "./persons/proposals.ts";
import { createTurns } from "./turns.ts";
import { readOnlyStorage } from "./read-only-storage.ts";
import { openSources } from "./records/sources.ts";
import { createUploads } from "./records/uploads.ts";
import { openVault } from "./vault/vault.ts";
import { verifyBlobs } from "./verify-blobs.ts";
import { assertRemembered, assertTrusted } from "./check-store.ts";
import type { Ledger } from "./ledger.ts";
import { type OpenLedgerOptions, takeOptions } from "./options.ts";
import type { PendingWork } from "./pending-work.ts";
import { proofCalls } from "./proof-calls.ts";
import { ledgerStorage } from "./storage.ts";
import { assertPlace, copyOf, keepHome, neverBack, openPlace } from "./elsewhere/open-elsewhere.ts";
import { keptEntries } from "./elsewhere/kept-entries.ts";
import { following } from "./elsewhere/follow.ts";
import { transactionSink } from "./transaction-sink.ts";
import { untilClosed } from "./until-closed.ts";
import { openLabelling } from "./workers.ts";

/**
 * Opens a ledger as one of its members.
 *
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the store's ledger is invalid or is not the trusted one
 * @throws {ChainError} `ERR_CHAIN_GENESIS` when the store holds another ledger but none with this genesis
 *   record; `ERR_CHAIN_READ_ONLY` when entries that this member files would be invalid and `readOnly` is
 *   not set; `ERR_CHAIN_CLOCK` when the clock gives no time
 * @throws {ChainError} `ERR_CHAIN_LOST` when the store lacks blocks that this member's keys signed,
 *   `ERR_CHAIN_MEMORY` when the memory of signed heads is missing or damaged
 * @throws {LedgerError} when a home's `peers` do not all answer; nothing was written then
 * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE` when a key is missing
 * @throws {InputError} `ERR_INPUT_INVALID` when `policy.auditors` names no did:key
 * @throws {TypeError} for an unknown option or padding, or when neither the options nor the key store have
 *   `signedHeads`
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` when there is no such suite, or this platform has no
 *   native implementation of it
 * @example
 * const storage = await lmdbStorage({ path: "data/ledger" });
 * const hl = await openLedger({ storage, keys, genesis });
 * const patient = await hl.ensureSubject({ system: "urn:oid:1.2.3", value: "MRN-0012345" });
 * const { id } = await hl.record(patient, resource);
 * await hl.close();
 */
export async function openLedger(given: OpenLedgerOptions): Promise<Ledger> {
  const options = takeOptions(given);
  assertPlace(options);
  const { keys, genesis, shardKeys, lane, policy = {}, breakGlass = {}, repair = {} } = options;
  if (lane !== undefined && !(Number.isInteger(lane) && lane >= 0 && lane < MAX_LANES)) {
    throw new RangeError(`lane must be an integer from 0 to ${MAX_LANES - 1}`);
  }
  const { sleep = platformSleep, home } = options;
  const times = cosigningTimes(options, sleep);
  const signedHeads = options.signedHeads ?? keys.signedHeads;
  if (signedHeads === undefined) {
    throw new TypeError(
      "this key store does not remember what it signs: pass signedHeads to openLedger, for example " +
        'fileSignedHeads(path) of healthledger/keys/file, or signedHeads: "store"',
    );
  }
  const suite = usableSuite(options.suite ?? "chacha");
  const padding = options.padding ?? "stepped";
  assertPadding(padding);
  assertKnownJurisdictions(policy.jurisdictions ?? []);
  const overlays = namedOverlays(policy.overlays ?? []);
  const defaults = checkedDefaults(policy.defaults ?? []);
  const auditors = checkedMembers(policy.auditors ?? [], "policy.auditors");
  const { terminology, labeller, workers } = await openLabelling(policy, options.workers);
  const compaction = options.compaction ?? "now";
  checkCompactionTime(compaction);
  const within = options.settleWithin ?? SETTLE_WITHIN;
  const now = checkedClock(options.now ?? Date.now);
  now();
  // Whoever gives the waits gives the clock that they move.
  const timers = options.sleep === undefined ? platformTimers : { now: neverBack(now), sleep };
  const reliable = repeatWrites(ledgerStorage(options.storage), { within, timers });
  const beneath = options.readOnly === true ? readOnlyStorage(reliable) : reliable;
  const gate = shardKeys === undefined ? undefined : gateCommits(beneath);
  const storage = gate?.storage ?? beneath;
  const random = options.random ?? randomBytes;
  const newest = keys.signer("sign", options.member);
  const chain = await openChain({
    storage,
    genesis,
    now,
    timers,
    anchor: newest,
    rebuild: repair.derived ?? false,
    beside: options.beside ?? false,
    acceptLoss: repair.acceptLostBlocks ?? false,
    ...(options.kinds === undefined ? {} : { kinds: options.kinds }),
    ...(options.contracts === undefined ? {} : { contracts: options.contracts }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const trust = options.trust === undefined ? {} : { trust: options.trust };
  const elsewhere = await openPlace(chain, storage, { ...options, patience: within, now, sleep });
  const closed = new AbortController();
  const signer = await signerFor(chain, keys, newest.actor, "sign");
  await assertTrusted(chain, options.trust);
  const forks = elsewhere?.replica.forks ?? (await openForks(chain, storage.state, options.trust));
  const memory = memoryOf(signedHeads, chain.ledger);
  await assertRemembered({ chain, chains: storage.chains, memory }, keys, repair);
  const readOnly = await whyReadOnly(chain, signer, keys, home !== undefined);
  if (readOnly !== undefined && options.readOnly !== true) throw readOnlyError(readOnly);
  if (options.readOnly !== true && elsewhere === undefined) await keepHome(chain, storage);
  const vault = await openVault({
    storage,
    keys,
    ledger: chain.ledger,
    actor: signer.actor,
    random,
    readOnly: options.readOnly ?? false,
    hasFiled: async () => {
      elsewhere?.assertSynced();
      return hasFiled(chain, signer.actor);
    },
    signingKey: (key) => ownSigningKey(chain, signer.actor, key),
    ...(gate === undefined || shardKeys === undefined ? {} : { shards: { keys: shardKeys, gate } }),
  });
  const context: LedgerContext = {
    ...{ chain, storage, vault, keys, signer, memory },
    ...{ now, random, suite, padding, workers, auditors },
  };
  // Up to 32 ms, for when others append to the same ledger.
  const backoff = (): Promise<void> => sleep(random(1)[0]! / 8, closed.signal);
  const remote = elsewhere?.sequencer(context, () => catalogue);
  const sequencer = unlessForked(
    remote ??
      createSequencer({
        ...{ chain, storage: appendsUnlessForked(storage, forks), signer, now, backoff, timers },
        settleWithin: within,
      }),
    forks,
  );
  const filing: Filing = await createFiling(context, sequencer, lane);
  const turns = createTurns();
  // Does not know the catalogue; the catalogue passes it every erase entry that it reads.
  const carryingOut = createCarryingOut(context);
  const catalogue = openCatalogue(context, carryingOut);
  const subjects = openSubjects(context, { catalogue, filing, turns });
  const erasing = createErasing(context, {
    ...{ catalogue, filing, carryingOut, subjects },
    retention: policy.retention ?? {},
    turns,
    compaction,
  });
  // With shard keys this process is the only one.
  const uploads = createUploads(context, lane ?? (shardKeys === undefined ? undefined : 0));
  const contents = createRecordContents(context, { catalogue, subjects, uploads });
  const { abandon } = erasing;
  const sources = openSources(context, { catalogue });
  const proposals = openProposals(context, { catalogue, filing, subjects, turns });
  const recording = createRecording(context, {
    ...{ catalogue, filing, subjects, sources, proposals, labeller, turns, contents, abandon, now },
  });
  const readConsents = consentReader(context, catalogue);
  const consenting = createConsenting(context, {
    catalogue,
    filing,
    subjects,
    readConsents,
    turns,
  });
  const kept = elsewhere && keptEntries({ ...context, catalogue }, elsewhere.outbox);
  const reviews = createReviews(context, { catalogue, filing, turns, kept });
  const { maxRequestLifetime = 600_000 } = policy;
  const disclosing: DiscloseContext = {
    ...context,
    catalogue,
    filing,
    subjects,
    readConsents,
    turns,
    defaults,
    overlays,
    terminology,
    supportedObligations: policy.supportedObligations ?? [],
    ...(policy.jurisdictions === undefined ? {} : { jurisdictions: policy.jurisdictions }),
    labeller,
    freshen: recording.freshen,
    maxRequestLifetime,
    replays: openReplays(context, { catalogue, maxRequestLifetime }),
    kept,
    privilegedRoles: breakGlass.roles ?? [],
    maxBreakGlass: breakGlass.maxDuration ?? 3_600_000,
  };
  if (repair.index === true) await catalogue.rebuild();
  // Work that cannot be completed stays pending, and does not prevent reading anything else.
  const unresumed: PendingWork[] = [];
  const mayFile = options.readOnly !== true && forks.fork === undefined;
  if (mayFile) {
    await erasing.resume().catch((error: unknown) => unresumed.push({ what: "erasure", error }));
    for (const error of await uploads.resume()) unresumed.push({ what: "upload", error });
  }

  const checkpoints = openCheckpoints({
    chain,
    chains: storage.chains,
    keys: () =>
      elsewhere === undefined
        ? checkpointKeysOf(keys, { chain, chains: storage.chains, memory })
        : [],
    ...(elsewhere && { accepted: () => elsewhere.replica.newest }),
    cosigners: options.cosigners ?? [],
    cosigningTimes: times,
    distrusted: () => forks.distrusted,
    ...(options.readOnly === true || elsewhere ? {} : { seal: () => sequencer.seal() }),
  });
  if (mayFile) {
    await checkpoints.followPolicy();
    remote?.start();
  }

  const writing = new Set<Promise<unknown>>();
  let closing: Promise<void> | undefined;
  async function finishAndClose(): Promise<void> {
    // Calls that have begun and still have entries to file must end before the sequencer closes.
    while (writing.size > 0) await Promise.allSettled(writing);
    await filing.idle();
    await workers?.close();
    await sequencer.close();
    try {
      await catalogue.finish();
    } catch (error) {
      // The store takes no writes. Nothing is lost: the ledger has everything that the index would.
      if (!(error instanceof StorageError) || error.code !== "ERR_STORAGE_FAILED") throw error;
    } finally {
      closed.abort();
      await (elsewhere?.replica ?? chain).close();
    }
  }
  function close(): Promise<void> {
    closing ??= finishAndClose();
    return closing;
  }

  const ledger: Ledger = {
    id: chain.ledger,
    member: signer.actor,
    chain: readingChain(chain),
    governance: createGovernance(context, { sequencer, checkpoints }),
    sequencer: transactionSink(sequencer, elsewhere === undefined && options.readOnly !== true),
    ...personCalls(context, { catalogue, filing, subjects, sources, proposals, turns }),
    ...{ record: recording.record, amend: recording.amend },
    ...{ recordBundle: recording.recordBundle, recordNdjson: recording.recordNdjson },
    find: sources.find,
    ...{ assign: recording.assign, unassigned: recording.unassigned },
    relabel: recording.relabel,
    relabelStale: (how) => relabelStale(context, { catalogue, recording, labeller }, how),
    retract: recording.retract,
    reattribute: recording.reattribute,
    read: recording.read,
    attachments: recording.attachments,
    records: (subject, page) => listRecords({ catalogue, subjects }, subject, page),
    attest: consenting.attest,
    consent: consenting.consent,
    receive: consenting.receive,
    async held(subject) {
      if (subject === null) return readStrangers(context, catalogue);
      await subjects.assertKnown(subject);
      return readHeld(context, catalogue, subject);
    },
    trustWitnesses: consenting.trustWitnesses,
    evidence: (entry) => readEvidence(context, catalogue, entry),
    async directives(subject) {
      await subjects.assertKnown(subject);
      const items = await catalogue.itemsOf(subject.local, ["consent", "erase", "link"]);
      return (await readConsents(items, chain.size - 1)).directives;
    },
    async decide(subject, question, time = {}) {
      elsewhere?.outbox.assertNothingBinds();
      await subjects.assertKnown(subject);
      return decideQuestion(disclosing, subject, question, time);
    },
    ...disclosureCalls(disclosing, {
      ...{ checkpoints, forks, elsewhere, sleep, takeIn: consenting.takeIn },
      takeDelivery: consenting.takeDelivery,
      whileCutOff: breakGlass.whileCutOff ?? false,
      ...{ custodians: options.custodians ?? [] },
      ...{ maxAge: policy.maxAge, fetchWithin: policy.fetchWithin },
    }),
    async *audit(subject, from) {
      if (subject !== null) await subjects.assertKnown(subject);
      yield* auditOf(context, catalogue, subject, from, kept);
    },
    pendingReviews: () => reviews.pending(),
    markReviewed: reviews.markReviewed,
    erase: erasing.erase,
    compact: erasing.compact,
    pendingErasures: erasing.pending,
    pendingWork: async () => [
      ...unresumed,
      ...carryingOut.stuck().map(({ item: { id, manifest }, error }): PendingWork => {
        return { what: "erasure", entry: toEntryId(id), subject: { local: manifest.local }, error };
      }),
    ],
    placeHold: erasing.placeHold,
    liftHold: erasing.liftHold,
    ...proofCalls(chain, { checkpoints, catalogue }),
    ...forkCalls(chain, forks),
    ...contractCalls(context, { contracts: options.contracts ?? [], filing }),
    async verify(verifyOptions = {}) {
      return verifyLedger(storage.chains, {
        ...trust,
        ...verifyOptions,
        // Last, so that the caller's options cannot override them.
        genesis,
        kinds: options.kinds ?? [],
        contracts: options.contracts ?? [],
      });
    },
    verifyBlobs: async (how = {}) => verifyBlobs(context, catalogue, how),
    lost: async () =>
      (await catalogue.lacking()).map(({ id, kind }) => ({ id: toEntryId(id), kind })),
    async giveUp(entries, how) {
      const links = (await catalogue.lacking()).filter(({ kind }) => kind === "link");
      // It may have been the newest list of trusted witnesses: the previous list must not count again.
      if (links.some(({ id }) => entries.includes(toEntryId(id)))) {
        await consenting.trustWitnesses([]);
      }
      await erasing.giveUp(entries, how);
    },
    copy: elsewhere && copyOf(elsewhere.replica),
    follow: following({ chain, sleep, closing: closed.signal }, elsewhere?.replica),
    outbox: async () => elsewhere?.outbox.list() ?? [],
    async dismissRefused(id) {
      await reviews.assertDismissable(id);
      await remote?.dismiss(id);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  const why = options.readOnly === true ? (readOnly ?? "it was opened read-only") : undefined;
  return untilClosed(ledger, {
    ...{ isClosed: () => closing !== undefined, writing, readOnly: why, forks },
  });
}
