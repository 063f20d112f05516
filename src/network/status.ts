/** Thrown within an answer, and turned into its status. */
export class Status extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, headers: Readonly<Record<string, string>> = {}) {
    super(`status ${status}`);
    this.status = status;
    this.headers = headers;
  }
}

/** Ask again after so many seconds. */
export const busy = (seconds: number, status: 429 | 503): Status =>
  new Status(status, { "retry-after": String(seconds) });
