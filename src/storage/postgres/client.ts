/** The part of the `pg` package (8.x) that is used; its `Pool` implements this. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>;
  /** Called for each connection when it is lent, before the borrower gets it. */
  on?(event: "acquire", listener: (client: PostgresClient) => void): unknown;
  /** Most connections that it opens; with 1, `tail` polls instead of listening. */
  readonly options?: { readonly max?: number };
}

/** A connection of a {@link PostgresPool}, while it is lent. */
export interface PostgresClient {
  query(query: PostgresQuery): Promise<PostgresResult>;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  on(event: "notice", listener: (notice: PostgresNotice) => void): unknown;
  on(event: "notification", listener: (message: PostgresNotification) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "end", listener: () => void): unknown;
  removeListener(event: "notice", listener: (notice: PostgresNotice) => void): unknown;
  removeListener(event: "notification", listener: (message: PostgresNotification) => void): unknown;
  /** Returns it to the pool; with `true` it is closed instead of being lent again. */
  release(destroy?: boolean): void;
}

export interface PostgresQuery {
  readonly text: string;
  readonly values?: unknown[];
  readonly rowMode: "array";
  readonly types: { getTypeParser(oid: number, format?: string): (text: string) => unknown };
}

export interface PostgresResult {
  /** The command's tag: `SELECT`, `COMMIT`, … */
  readonly command: string;
  /** Values as the server wrote them, in text. */
  readonly rows: (string | null)[][];
}

export interface PostgresNotice {
  readonly code?: string | undefined;
}

export interface PostgresNotification {
  readonly payload?: string | undefined;
}
