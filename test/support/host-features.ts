import { canMount, canTrace } from "../../src/testing/node.ts";
import type { StorageCase, StorageFeature } from "../../src/testing/storage-kit.ts";

/**
 * Those of the cases that this machine can stage: volumes that are small want the right to mount,
 * traces want strace. Says which are left out and why; in CI that is an error.
 */
export async function staged(cases: readonly StorageCase[]): Promise<StorageCase[]> {
  const missing = new Map<StorageFeature, string>();
  if (!(await canMount())) missing.set("small", "no tmpfs can be mounted");
  if (!canTrace()) missing.set("traced", "strace is absent or forbidden");
  const kept = cases.filter(({ requires = [] }) => !requires.some((one) => missing.has(one)));
  if (kept.length < cases.length) {
    const reasons = [...missing.values()].join(", ");
    if (process.env["CI"] !== undefined) throw new Error(`storage cases cannot run: ${reasons}`);
    for (const { name, requires = [] } of cases) {
      const why = requires.flatMap((one) => missing.get(one) ?? []);
      if (why.length > 0) console.warn(`skipped: ${name}: ${why.join(", ")}`);
    }
  }
  return kept;
}
