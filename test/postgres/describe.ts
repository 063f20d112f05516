import { describeWith } from "../support/describe-with.ts";
import { bin } from "./cluster.ts";

/** A `describe` that is skipped, saying so, where there is no PostgreSQL (in CI that fails). */
export function describePostgres(name: string, body: () => void): void {
  const missing = bin === undefined ? "no server programs: install postgresql-15" : undefined;
  describeWith(name, missing, body);
}
