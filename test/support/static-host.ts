import { publicPeer } from "../../src/transport/http.ts";
import type { PublishTarget } from "../../src/transport/publish-target.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";

/** Published files in memory, and a peer that reads them as a static host serves them. */
export interface StaticHost {
  readonly files: Map<string, Uint8Array>;
  readonly target: PublishTarget;
  readonly peer: LedgerPeer;
  /** Each path that was asked for, and the bytes that were answered. */
  readonly asked: { readonly path: string; readonly bytes: number }[];
}

export function staticHost(did = "did:key:static"): StaticHost {
  const files = new Map<string, Uint8Array>();
  const asked: { path: string; bytes: number }[] = [];
  return {
    files,
    asked,
    target: {
      async put(path, bytes) {
        const parts: Uint8Array[] = [];
        for await (const part of bytes) parts.push(part);
        files.set(path, new Uint8Array(Buffer.concat(parts)));
      },
      get: async (path) => files.get(path),
      has: async (path) => files.has(path),
      delete: async (path) => void files.delete(path),
    },
    peer: publicPeer({
      ...{ url: "http://static.invalid/ledger", did },
      async fetch(url) {
        const path = decodeURIComponent(new URL(url).pathname).slice("/ledger/".length);
        const found = files.get(path);
        asked.push({ path, bytes: found?.length ?? 0 });
        return new Response(found === undefined ? null : new Uint8Array(found), {
          status: found === undefined ? 404 : 200,
        });
      },
    }),
  };
}
