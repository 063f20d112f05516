import { InputError } from "../errors.ts";

/**
 * Reads the address that a peer is configured with.
 *
 * @returns the address with one slash at its end
 * @throws {InputError} `ERR_INPUT_INVALID` when it is not an address, or has more than a path
 */
export function baseOf(text: string): string {
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    // Refused below.
  }
  const isGood =
    url !== undefined &&
    (url.protocol === "https:" || url.protocol === "http:") &&
    url.search === "" &&
    url.hash === "" &&
    url.username === "" &&
    url.password === "";
  if (!isGood) {
    throw new InputError(
      "ERR_INPUT_INVALID",
      "a peer's url must be an http or https address without user, query and fragment",
    );
  }
  return url!.href.replace(/\/*$/, "/");
}

/** Whether a response is a redirect, or what a `fetch` that follows redirects brought from elsewhere. */
export function isRedirect(response: Response, asked: string): boolean {
  const { status, redirected, url, type } = response;
  const isElsewhere = url !== "" && new URL(url).href !== new URL(asked).href;
  return type === "opaqueredirect" || redirected || isElsewhere || (status >= 300 && status < 400);
}
