import type { CID } from "../../codec/cid.ts";
import type { RecordQuestion } from "./record-question.ts";

/**
 * One step of a predicate about records. `certain` holds where the answer to its question is yes,
 * `possible` also where it is unknown; the others join earlier steps, by position. `all` of nothing
 * holds, `any` of nothing does not.
 */
export type ResidualNode =
  | { readonly op: "certain" | "possible"; readonly question: RecordQuestion }
  | { readonly op: "all" | "any"; readonly of: readonly number[] }
  | { readonly op: "not"; readonly of: number };

/**
 * What remains to be asked of each record once request and time are known: it holds for exactly the
 * records that the same request is permitted. Plain data, and linear in the rules it came from:
 * steps refer to steps before them.
 */
export interface Residual {
  readonly v: 1;
  /** The terminology that labels are read by. */
  readonly terminology: CID;
  readonly nodes: readonly ResidualNode[];
  /** Position of the step that decides. */
  readonly root: number;
}
