import { assertUint } from "../bytes/guards.ts";
import { equalBytes } from "../bytes/compare.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { decodeHeader, type Header } from "../block/header.ts";
import { readCheckpoint } from "../chain/checkpoint-note.ts";
import type { AcceptedCheckpoint } from "../chain/checkpoints.ts";
import type { ForkEvidence } from "../chain/fork-evidence.ts";
import type { KeptTrust } from "../chain/kept-trust.ts";
import type { ReadBlocksOptions } from "../chain/read-blocks.ts";
import { decodeReceipt, encodeReceipt, type Receipt } from "../chain/receipt.ts";
import { POLICY_KEY } from "../chain/state.ts";
import { followStep, judgeCheckpoint, seenHead, type Trust } from "../chain/trust.ts";
import {
  verifyReceipt,
  type ReceiptResult,
  type VerifyReceiptOptions,
} from "../chain/verify-receipt.ts";
import { ChainError, EncodingError, InputError, LedgerError, TransportError } from "../errors.ts";
import { proveConsistency, proveInclusion } from "../merkle/proof.ts";
import { TILE_WIDTH } from "../merkle/tile.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import type { AskOptions, LedgerPeer } from "../transport/types.ts";
import { compareHeads, judgeBySteps, type Judged } from "./accepting.ts";
import { askTogether } from "./ask-together.ts";
import { fetchBlocks } from "./fetch-blocks.ts";
import { fetchHeaders, readHeader } from "./fetch-headers.ts";
import type { LightClient, LightClientOptions, LightHead, ProvedState } from "./light.ts";
import type { ReadHeadersOptions } from "./light.ts";
import { newestCheckpoint } from "./newest.ts";
import { peerList } from "./peer-list.ts";
import { peerTree } from "./peer-tree.ts";
import { readStateAnswer, verifyStateAnswer, type ClaimedState } from "./state-answer.ts";
import { waitForLarger } from "./wait-for-larger.ts";

const OPTIONS: OptionsOf<LightClientOptions> = {
  ...{ trust: true, peers: true, onFault: true, now: true, sleep: true },
};
const ASK_OPTIONS: OptionsOf<AskOptions> = { signal: true };
const RECEIPT_OPTIONS: OptionsOf<VerifyReceiptOptions & AskOptions> = {
  ...{ verifiers: true, signal: true },
};
const HEADER_OPTIONS: OptionsOf<ReadHeadersOptions> = { from: true, limit: true, signal: true };
const BLOCK_OPTIONS: OptionsOf<ReadBlocksOptions> = { from: true, limit: true, signal: true };

/** A peer's checkpoint, which the trusted policy or one after it accepts, with the policy that it proves. */
interface Answer {
  readonly peer: LedgerPeer;
  readonly claimed: ClaimedState;
  readonly judged: Judged & { readonly ok: true };
}

/**
 * Follows a ledger without a store: an auditor, a browser, a patient's app. It asks any handler or static host,
 * and believes what it has verified by its trust.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option, or without peers
 * @example
 * const light = lightClient({ trust: trustFromGenesis(genesis), peers: [peer] });
 * const { size, asOf, witnesses } = await light.sync();
 * const { value } = await light.state("sys/policy");
 */
export function lightClient(options: LightClientOptions): LightClient {
  assertOptions(options, OPTIONS, "lightClient");
  const { onFault = () => undefined } = options;
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  if (options.peers.length === 0) {
    throw new InputError("ERR_INPUT_INVALID", "a light client needs peers");
  }
  const list = peerList([...options.peers], now, onFault);
  const closing = new AbortController();
  let trust: KeptTrust = options.trust;
  const newest = newestCheckpoint(keptHead(trust));
  let head: LightHead | undefined;
  let fork: ForkEvidence | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  const within = ({ signal }: AskOptions): AbortSignal =>
    signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal]);

  function assertUsable(): void {
    closing.signal.throwIfAborted();
    if (fork !== undefined) throw forked();
  }

  /** Asks the peers one after the other, until one gives what can be proved. */
  async function fromAny<T>(
    signal: AbortSignal,
    ask: (peer: LedgerPeer) => Promise<T>,
  ): Promise<T> {
    let fault: LedgerError = nobodyReady();
    for (const peer of list.ready()) {
      try {
        const given = await ask(peer);
        list.good(peer);
        return given;
      } catch (error) {
        fault = blame(peer, error, signal);
      }
    }
    throw fault;
  }

  /** Notes a peer's fault, and passes on what concerns no peer. */
  function blame(peer: LedgerPeer, error: unknown, signal: AbortSignal): LedgerError {
    signal.throwIfAborted();
    if (!(error instanceof LedgerError) || error.code === "ERR_CHAIN_FORKED") throw error;
    // A host need not have everything, nor the newest: it is asked again for the next thing.
    const lacks = error.code === "ERR_TRANSPORT_NOT_FOUND" || error instanceof PeerBehind;
    if (!lacks) list.fault(peer, error);
    return error;
  }

  function sync(signal: AbortSignal): Promise<LightHead> {
    const mine = turn.then(() => syncNow(signal));
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function syncNow(signal: AbortSignal): Promise<LightHead> {
    assertUsable();
    signal.throwIfAborted();
    let fault: LedgerError = nobodyReady();
    const note = (peer: LedgerPeer, error: unknown): void => {
      fault = blame(peer, error, signal);
    };
    const answers = await askTogether(list.ready(), ask, { note, sleep, signal });
    answers.sort((a, b) => b.judged.checkpoint.size - a.judged.checkpoint.size);
    const seen = seenHead(trust)?.size ?? 0;
    for (const answer of answers) {
      const { peer, judged } = answer;
      try {
        if (judged.checkpoint.size < seen) throw new PeerBehind();
        await accept(answer, answers, signal);
        list.good(peer);
        return head!;
      } catch (error) {
        note(peer, error);
      }
    }
    throw fault;
  }

  async function ask(peer: LedgerPeer, signal: AbortSignal): Promise<Answer> {
    const claimed = readStateAnswer(await peer.state(POLICY_KEY, { signal }));
    if (claimed === undefined) throw malformed();
    const judged = await judgeBySteps(claimed.checkpoint, trust, () => peer.policy({ signal }));
    if (!judged.ok) throw notAccepted(judged.reason);
    return { peer, claimed, judged };
  }

  /** Advances trust, if the answer's checkpoint is of one history with all that was seen. */
  async function accept(
    { peer, claimed, judged }: Answer,
    others: readonly Answer[],
    signal: AbortSignal,
  ): Promise<void> {
    const { checkpoint } = judged;
    const { note, size, root } = checkpoint;
    const { readNodes } = peerTree(checkpoint, peer, signal);
    const seen = keptHead(trust) ?? seenHead(trust);
    const heads = [
      ...(seen === undefined ? [] : [seen]),
      ...judged.steps.map((step) => ({
        note: step.checkpoint,
        ...readCheckpoint(step.checkpoint)!,
      })),
      ...others.map((other) => other.judged.checkpoint).filter((other) => other.size <= size),
    ];
    for (const other of heads) {
      const compared = await compareHeads(other, checkpoint, readNodes);
      if (compared.ok) continue;
      if (compared.evidence === undefined) {
        throw new ChainError("ERR_CHAIN_INVALID", "a peer's checkpoint is of another history");
      }
      fork = compared.evidence;
      throw forked();
    }
    const header = readHeader(claimed.header);
    if (header.height !== size - 1) throw notAccepted("not-the-last-header");
    if (claimed.value === null) throw notAccepted("policy-not-proved");
    const step = { ...claimed, policy: claimed.value };
    const followed = followStep({ ...judged.trust, size, root }, step);
    if (!followed.ok) throw notAccepted(followed.reason);
    const next = judgeCheckpoint(note, followed.trust);
    if (!next.ok) throw notAccepted(next.reason);
    const { validators, witnesses, cosignedAt } = next;
    const told: LightHead = {
      ...{ size, root, note, validators, witnesses, blockTime: header.time },
      ...(cosignedAt === undefined ? {} : { cosignedAt }),
      asOf: Math.max(cosignedAt ?? 0, header.time),
    };
    // The same head may come again with fewer or older cosignatures.
    if (head !== undefined && head.size === size && head.asOf >= told.asOf) return;
    trust = { ...followed.trust, checkpoint: note };
    head = told;
    newest.set(checkpoint);
  }

  /** What was accepted, with its note. */
  async function accepted(signal: AbortSignal): Promise<AcceptedCheckpoint> {
    assertUsable();
    if (newest.value === undefined) await sync(signal);
    return newest.value!;
  }

  async function state(key: string, signal: AbortSignal): Promise<ProvedState> {
    await accepted(signal);
    return fromAny(signal, async (peer) => {
      const bytes = await peer.state(key, { signal });
      let answer = await judgeState(bytes, key, peer, signal);
      if (!answer.ok) {
        // The policy may have changed since, or there are two histories: either way this finds out.
        await sync(signal);
        answer = await judgeState(bytes, key, peer, signal);
      }
      if (!answer.ok) throw notAccepted(answer.reason);
      return answer;
    });
  }

  async function judgeState(bytes: Uint8Array, key: string, peer: LedgerPeer, signal: AbortSignal) {
    const claimed = readStateAnswer(bytes);
    const claimedHead = claimed && readCheckpoint(claimed.checkpoint);
    if (claimedHead === undefined) throw malformed();
    const { size } = trust;
    if (claimedHead.size < size) throw new PeerBehind();
    const { readNodes } = peerTree(claimedHead, peer, signal);
    const proof =
      claimedHead.size === size ? [] : await proveConsistency(size, claimedHead.size, readNodes);
    return verifyStateAnswer(bytes, key, trust, proof);
  }

  async function judgeReceipt(
    bytes: Uint8Array,
    verifiers: VerifyReceiptOptions,
    signal: AbortSignal,
  ): Promise<ReceiptResult> {
    let receipt: Receipt;
    let header: Header;
    let later: Header | undefined;
    try {
      receipt = decodeReceipt(bytes);
      header = decodeHeader(receipt.header);
      later = receipt.later && decodeHeader(receipt.later.header);
    } catch (error) {
      if (error instanceof EncodingError) return { ok: false, reason: "malformed" };
      throw error;
    }
    const last = Math.max(header.height, later?.height ?? 0);
    let under = await accepted(signal);
    if (last >= under.size) {
      await sync(signal);
      under = newest.value!;
    }
    if (last >= under.size) return { ok: false, reason: "not-connected" };
    const { consistency: _, ...rest } = receipt;
    const byHead: Trust = { ...trust, size: under.size, root: under.root };
    return fromAny(signal, async (peer) => {
      const { readNodes } = peerTree(under, peer, signal);
      const path = (height: number) => proveInclusion(height, under.size, readNodes);
      const proved = encodeReceipt({
        ...{ ...rest, checkpoint: under.note, policyPath: [] },
        ledgerPath: await path(header.height),
        ...(later && { later: { ...receipt.later!, path: await path(later.height) } }),
      });
      return verifyReceipt(proved, byHead, verifiers);
    });
  }

  async function* headers(
    { from = 0, limit = Infinity }: ReadHeadersOptions,
    signal: AbortSignal,
  ): AsyncIterable<Header> {
    const under = await accepted(signal);
    const end = Math.min(under.size, from + limit);
    for (let height = from; height < end;) {
      const index = Math.floor(height / TILE_WIDTH);
      const given = await fromAny(signal, (peer) => fetchHeaders(under, peer, index, signal));
      for (; height < end && height < (index + 1) * TILE_WIDTH; height++) {
        yield given[height % TILE_WIDTH]!;
      }
    }
  }

  async function* blocks(
    { from, limit = Infinity }: ReadBlocksOptions,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array> {
    let left = limit;
    const under = await accepted(signal);
    if (left <= 0) return;
    for await (const { bytes } of fetchBlocks(under, from, list, signal)) {
      yield bytes;
      if (--left === 0) return;
    }
  }

  async function close(): Promise<void> {
    closing.abort(new ChainError("ERR_CHAIN_CLOSED", "the light client is closed"));
    newest.close();
    await turn;
  }

  return {
    get trust() {
      return trust;
    },
    get head() {
      return head;
    },
    get fork() {
      return fork;
    },
    get newest() {
      return newest.value;
    },
    grown: newest.grown,
    async sync(given = {}) {
      assertOptions(given, ASK_OPTIONS, "sync");
      return sync(within(given));
    },
    async follow(given = {}) {
      assertOptions(given, ASK_OPTIONS, "follow");
      const signal = within(given);
      while (!signal.aborted) {
        try {
          await sync(signal);
        } catch (error) {
          if (signal.aborted) return;
          if (!(error instanceof LedgerError) || error.code === "ERR_CHAIN_FORKED") throw error;
        }
        await waitForLarger(list, trust.size, sleep, signal);
      }
    },
    async state(key, given = {}) {
      assertOptions(given, ASK_OPTIONS, "state");
      return state(key, within(given));
    },
    async verifyReceipt(receipt, given = {}) {
      assertOptions(given, RECEIPT_OPTIONS, "verifyReceipt");
      const { verifiers } = given;
      return judgeReceipt(receipt, verifiers === undefined ? {} : { verifiers }, within(given));
    },
    headers(given = {}) {
      assertOptions(given, HEADER_OPTIONS, "headers");
      assertRange(given);
      return headers(given, within(given));
    },
    chain: {
      readBlocks(given) {
        assertOptions(given, BLOCK_OPTIONS, "readBlocks");
        assertRange(given);
        return blocks(given, within(given));
      },
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The head of the checkpoint that was kept, if it is that of the trusted root. */
function keptHead({ checkpoint, size, root }: KeptTrust): AcceptedCheckpoint | undefined {
  const head = checkpoint && readCheckpoint(checkpoint);
  const isIt = head !== undefined && root !== undefined && head.size === size;
  return isIt && equalBytes(head.root, root) ? { note: checkpoint!, size, root } : undefined;
}

function assertRange({ from = 0, limit = Infinity }: ReadHeadersOptions): void {
  assertUint(from, "from");
  if (limit !== Infinity) assertUint(limit, "limit");
}

function notAccepted(reason: string): ChainError {
  return new ChainError("ERR_CHAIN_POLICY", `a peer's answer is not accepted: ${reason}`);
}

function malformed(): TransportError {
  return new TransportError(
    "ERR_TRANSPORT_MALFORMED",
    "the peer's answer is no proof of the state",
  );
}

/** What a peer shows was true once, and is no fault of it: it may have been the newest there. */
class PeerBehind extends TransportError {
  constructor() {
    super("ERR_TRANSPORT_FAILED", "the peer has less than was seen before");
  }
}

function nobodyReady(): TransportError {
  return new TransportError("ERR_TRANSPORT_FAILED", "no peer can be asked at the moment");
}

function forked(): ChainError {
  return new ChainError(
    "ERR_CHAIN_FORKED",
    "two accepted checkpoints contradict each other: nothing more is taken from any peer",
  );
}
