import { InputError } from "../../errors.ts";

/** @throws {InputError} `ERR_INPUT_INVALID` unless it is a reason that can be sealed */
export function assertReason(reason: unknown): void {
  if (typeof reason !== "string" || reason.length > 4096 || reason.includes("\0")) {
    throw new InputError(
      "ERR_INPUT_INVALID",
      "a reason must be a string of at most 4096 characters without U+0000",
    );
  }
}
