import { TransportError } from "../errors.ts";

/** The other side is asked too much at the moment. */
export class PeerBusy extends TransportError {
  override readonly name: string = "PeerBusy";
  /** Milliseconds after which it says that it may be asked again; at least 1,000, at most an hour. */
  readonly retryAfter: number;

  constructor(retryAfter: number) {
    super("ERR_TRANSPORT_BUSY", "the peer is busy");
    this.retryAfter = retryAfter;
  }
}

/** The other side takes nothing, because it has evidence that the ledger's log signed two histories. */
export class PeerForked extends TransportError {
  override readonly name: string = "PeerForked";
  /** Milliseconds after which it is asked again: its operator must decide first. */
  readonly retryAfter: number = 60_000;

  constructor() {
    super(
      "ERR_TRANSPORT_REFUSED",
      "the peer takes nothing: it says that the ledger's log has signed two histories",
    );
  }
}

/** The server takes no token, or not this one. */
export class NotAdmitted extends TransportError {
  constructor(options?: ErrorOptions) {
    super("ERR_TRANSPORT_REFUSED", "the peer does not answer this caller", options);
  }
}
