import { toHex } from "../../bytes/hex.ts";
import { copyBytes } from "../guards.ts";
import type { SessionCalls } from "./calls.ts";
import { byteaArray, bytesOf } from "./wire.ts";

/** Values of a table by their keys, in the order requested, as of one moment. */
export async function lookUp(
  { calls, schema }: { readonly calls: SessionCalls; readonly schema: string },
  table: "blob" | "state",
  keys: readonly Uint8Array[],
): Promise<(Uint8Array | undefined)[]> {
  const [key, value] = table === "blob" ? ["cid", "bytes"] : ["key", "value"];
  const [only] = keys;
  if (only !== undefined && keys.length === 1) {
    const copy = copyBytes(only);
    const [row] = await calls.use(({ query }) =>
      query(`SELECT ${value} FROM ${schema}.${table} WHERE ${key} = $1`, [copy]),
    );
    return [row && bytesOf(row[0])];
  }
  const names = keys.map(toHex);
  const wanted = byteaArray(keys);
  const rows = await calls.use(({ query }) =>
    query(`SELECT ${key}, ${value} FROM ${schema}.${table} WHERE ${key} = ANY ($1::bytea[])`, [
      wanted,
    ]),
  );
  const found = new Map(rows.map(([name, bytes]) => [toHex(bytesOf(name)), bytes]));
  return names.map((name) => {
    const bytes = found.get(name);
    return bytes === undefined ? undefined : bytesOf(bytes);
  });
}
