/** A system and a value, as a token search names an identifier. */
export interface Token {
  readonly system: string;
  readonly value: string;
}

/**
 * The one identifier that the query of a conditional reference requires, for example
 * `identifier=urn:x|12`. Other parameters only narrow the search.
 *
 * `\,`, `\|`, `\$` and `\\` mean the character after the backslash, after percent-decoding.
 *
 * @returns `undefined` if the query requires no identifier with system and value, or several, or
 *   one that can be read in two ways: a `+` may be a space
 * @see FHIR R4 §3.1.1.4.10 (token), §3.1.1.4.2 (escaping search parameters)
 */
export function tokenOf(query: string): Token | undefined {
  let token: Token | undefined;
  for (const parameter of query.split("&")) {
    const at = parameter.indexOf("=");
    const name = decoded(at < 0 ? parameter : parameter.slice(0, at));
    if (name === undefined) return undefined;
    if (name !== "identifier") continue;
    if (token !== undefined) return undefined;
    const raw = parameter.slice(at + 1);
    const value = raw.includes("+") ? undefined : decoded(raw);
    token = value === undefined ? undefined : unescaped(value);
    if (token === undefined) return undefined;
  }
  return token;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Splits at the unescaped bar; `undefined` if there is a second one, or an unescaped comma. */
function unescaped(text: string): Token | undefined {
  const parts = [""];
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === ",") return undefined;
    if (character === "|") parts.push("");
    else if (character !== "\\") parts[parts.length - 1] += character;
    else {
      const escaped = text[++at];
      if (escaped === undefined || !",|$\\".includes(escaped)) return undefined;
      parts[parts.length - 1] += escaped;
    }
  }
  const [system, value] = parts;
  if (parts.length !== 2 || !system || !value) return undefined;
  return { system, value };
}
