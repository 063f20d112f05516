import { cidOf, DAG_CBOR } from "../codec/cid.ts";
import { encodeDirective, encodeOverlay } from "../consent/model/directive.ts";
import type { Directive, Overlay } from "../consent/model/model.ts";
import type { SnapshotOverlay } from "../consent/model/snapshot.ts";

/**
 * Names legal overlays by their content, and refuses those that could not be evaluated.
 *
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when one contradicts itself
 * @throws {EncodingError} when one lacks a field, or has one of another type
 */
export function namedOverlays(overlays: readonly Overlay[]): readonly SnapshotOverlay[] {
  return overlays.map((overlay) => ({
    cid: cidOf(encodeOverlay(overlay), DAG_CBOR),
    overlay,
  }));
}

/** Refuses default policies that could not be evaluated; throws as {@link namedOverlays} does. */
export function checkedDefaults(defaults: readonly Directive[]): readonly Directive[] {
  for (const directive of defaults) encodeDirective(directive);
  return defaults;
}
