import { type ErasureClass, ERASURE_CLASSES } from "../../block/entry.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectMap,
  expectOneOf,
  expectString,
  expectVersion,
} from "../../codec/shape.ts";

/** The content of an `erase` entry. */
export interface Erasure {
  readonly class: ErasureClass;
  /** Ids of the entries whose envelopes are destroyed. */
  readonly targets: readonly Uint8Array[];
  readonly reason: string;
  /** Whether the subject key is destroyed too. */
  readonly forget?: boolean;
  /** Whether another erase entry continues this erasure. */
  readonly more?: boolean;
}

/** Writes the content of an `erase` entry. */
export function encodeErasure({ class: what, targets, reason, forget, more }: Erasure): Uint8Array {
  return encode({
    ...{ v: 1, class: what, targets, reason },
    ...(forget === true ? { forget } : {}),
    ...(more === true ? { more } : {}),
  });
}

/**
 * Reads the content of an `erase` entry.
 *
 * @throws {EncodingError} if the bytes are not the content of an `erase` entry
 */
export function decodeErasure(bytes: Uint8Array): Required<Erasure> {
  const required = ["v", "class", "targets", "reason"];
  const map = expectMap(decode(bytes), "erasure", required, ["forget", "more"]);
  expectVersion(map["v"], "erasure");
  return {
    class: expectOneOf(map["class"], "erasure.class", ERASURE_CLASSES),
    targets: expectArray(map["targets"], "erasure.targets", 1_000_000).map((id) =>
      expectBytes(id, "erasure.targets", 32),
    ),
    reason: expectString(map["reason"], "erasure.reason", 4096),
    forget: map["forget"] === true,
    more: map["more"] === true,
  };
}
