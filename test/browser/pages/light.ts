import {
  decodeMemberState,
  decodeTrust,
  encodeForkEvidence,
  encodeTrust,
  followEntries,
  LedgerError,
  lightClient,
  publicPeer,
  trustFromGenesis,
  type LightClient,
} from "../../../src/light/index.ts";
import { fromHex, toHex } from "../../../src/bytes/hex.ts";

/** Verifies everything that a published ledger has; the code of the error if it does not hold. */
export async function audit(
  genesis: string,
  url: string,
  receipt: string,
  members: readonly string[],
): Promise<unknown> {
  try {
    const peers = [publicPeer({ url, did: "did:key:static" })];
    const light = lightClient({ trust: trustFromGenesis(fromHex(genesis)), peers });
    const { size, asOf } = await light.sync();
    const proved = await light.verifyReceipt(fromHex(receipt));
    const roles: unknown[] = [];
    for (const member of members) {
      const { value } = await light.state(`sys/member/${member}`);
      roles.push(value && decodeMemberState(value).roles);
    }
    let entries = 0;
    for await (const _ of followEntries(light, { until: size })) entries++;
    const trust = toHex(encodeTrust(light.trust));
    return { size, asOf, receipt: proved.ok && proved.height, roles, entries, trust };
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    return error.code;
  }
}

let light: LightClient | undefined;
let ended: Promise<string> | undefined;
const heights: number[] = [];

/** Begins to follow handlers of another origin, with what was kept. */
export async function follow(trust: string, urls: readonly string[]): Promise<void> {
  const peers = urls.map((url, i) => publicPeer({ url, did: `did:key:${i}` }));
  light = lightClient({ trust: decodeTrust(fromHex(trust)), peers });
  ended = light.follow().then(
    () => "closed",
    (error: unknown) => (error instanceof LedgerError ? error.code : String(error)),
  );
  void (async () => {
    for await (const { height } of followEntries(light)) heights.push(height);
  })();
}

/** Heights of the entries that it has got so far. */
export async function got(): Promise<readonly number[]> {
  return heights;
}

/** How following ended, and the evidence. */
export async function fork(): Promise<{ readonly code: string; readonly evidence: string }> {
  const code = await ended!;
  return { code, evidence: toHex(encodeForkEvidence(light!.fork!)) };
}
