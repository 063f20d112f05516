import type { CID } from "../../codec/cid.ts";
import type { RecordQuestion } from "./record-question.ts";

/**
 * One step of a predicate about records. `certain` holds if the answer to its question is yes,
 * `possible` also if it is unknown; the others combine earlier steps, by position. `all` of no
 * steps holds, `any` of no steps does not.
 */
export type ResidualNode =
  | { readonly op: "certain" | "possible"; readonly question: RecordQuestion }
  | { readonly op: "all" | "any"; readonly of: readonly number[] }
  | { readonly op: "not"; readonly of: number };

/**
 * The predicate about records that is left once request and time are known: it holds for exactly
 * the records that the same request is permitted. Plain data, and linear in the size of the rules:
 * a step refers only to earlier steps.
 */
export interface Residual {
  readonly v: 1;
  /** The terminology that interprets labels. */
  readonly terminology: CID;
  readonly nodes: readonly ResidualNode[];
  /** Position of the final step. */
  readonly root: number;
}
