import type { Coding } from "./model.ts";
import type { Period } from "./time.ts";

/** A role that a request claims, and the member that vouches for it. */
export interface ClaimedRole {
  readonly code: string;
  readonly attestedBy: string;
}

/** The resources that a request asks for; the evaluator judges resources, not queries. */
export interface RequestQuery {
  readonly ids?: readonly string[];
  readonly types?: readonly string[];
  readonly codes?: readonly Coding[];
  readonly period?: Period;
  readonly parts?: readonly string[];
}

/** A request to do something with a subject's data, for stated purposes. */
export interface ConsentRequest {
  readonly id: string;
  /** The organisation or the person that asks. */
  readonly requester: string;
  /** The person who asks on the requester's behalf; absent: not stated. */
  readonly user?: string;
  readonly client?: { readonly device?: string; readonly network?: string };
  /** Roles of the user; absent: not stated, empty: none. */
  readonly roles?: readonly ClaimedRole[];
  /** HL7 ActReason codes bare, others as `system|code`. Each is decided, all must be permitted. */
  readonly purposes: readonly string[];
  readonly action: string;
  /** The subject of the data, as the custodian resolved it. */
  readonly subject: string;
  readonly query?: RequestQuery;
  /** Instant after which the request is no longer valid. */
  readonly expires?: number;
}
