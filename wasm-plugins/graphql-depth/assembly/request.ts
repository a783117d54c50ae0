/** The GraphQL documents of a request: GraphQL over HTTP, with batches. Null for what is none, or could be read in two ways. */
// @ts-nocheck AssemblyScript, not TypeScript
import { JsonReader } from "./json-reader";

export function queriesOfUrl(query: string): string[] | null {
  const found: string[] = [];
  const fields = query.split("&");
  for (let i = 0; i < fields.length; i++) {
    const equals = fields[i].indexOf("=");
    if (equals < 0 || decoded(fields[i].substring(0, equals)) != "query") continue;
    if (found.length > 0) return null;
    found.push(decoded(fields[i].substring(equals + 1)));
  }
  return found;
}

export function queriesOfBody(body: Uint8Array | null, type: string): string[] | null {
  if (body === null) return null;
  const text = String.UTF8.decode(body.buffer.slice(body.byteOffset, body.byteOffset + body.byteLength));
  const kind = type.split(";")[0].trim().toLowerCase();
  if (kind == "application/graphql") return [text];
  if (kind != "application/json" && !kind.endsWith("+json")) return null;
  const reader = new JsonReader(text);
  const found: string[] = [];
  if (reader.take(0x5b)) {
    if (!reader.take(0x5d)) {
      do {
        if (!readOperation(reader, found)) return null;
      } while (reader.take(0x2c));
      if (!reader.take(0x5d)) return null;
    }
  } else if (!readOperation(reader, found)) return null;
  return reader.isAtEnd() ? found : null;
}

function readOperation(reader: JsonReader, found: string[]): bool {
  const before = found.length;
  if (!reader.take(0x7b)) return false;
  if (reader.take(0x7d)) return true;
  do {
    const name = reader.text();
    if (name === null || !reader.take(0x3a)) return false;
    if (name != "query") {
      if (!reader.skip(0)) return false;
      continue;
    }
    if (found.length > before) return false;
    const query = reader.text();
    // Without a document, as a persisted query is: there is nothing to measure.
    if (query === null && !reader.word("null")) return false;
    found.push(query === null ? "" : query);
  } while (reader.take(0x2c));
  return reader.take(0x7d);
}

/** Percent-encoding and `+` undone. */
function decoded(text: string): string {
  const bytes = Uint8Array.wrap(String.UTF8.encode(text));
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    let byte = bytes[i];
    if (byte == 0x2b) byte = 0x20;
    else if (byte == 0x25 && i + 2 < bytes.length && hex(bytes[i + 1]) >= 0 && hex(bytes[i + 2]) >= 0) {
      byte = <u8>((hex(bytes[i + 1]) << 4) | hex(bytes[i + 2]));
      i += 2;
    }
    bytes[length++] = byte;
  }
  return String.UTF8.decode(bytes.buffer.slice(0, length));
}

function hex(code: u8): i32 {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}
