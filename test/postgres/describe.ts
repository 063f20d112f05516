import { describe } from "vitest";
import { bin } from "./cluster.ts";

/** A `describe` that is skipped, saying so, where there is no PostgreSQL (in CI that fails). */
export function describePostgres(name: string, body: () => void): void {
  if (bin !== undefined) {
    describe(name, body);
    return;
  }
  const message = "no PostgreSQL server programs: install postgresql-15";
  if (process.env["CI"] !== undefined) throw new Error(message);
  console.warn(`skipped: ${name}: ${message}`);
  describe.skip(name, () => {});
}
