/** Hosts and ports, as Host and absolute targets name them (RFC 9110 section 7.2, RFC 3986 section 3.2). */
import { COLON, HOST, isAll } from "./syntax.ts";

/** uri-host [ ":" port ] (RFC 9110 section 7.2). */
export function isHost(value: string): boolean {
  let host = value;
  if (value.charCodeAt(0) === 91 /* [ */) {
    const close = value.indexOf("]");
    if (close < 0) return false;
    if (!/^\[[0-9a-fA-F:.]+\]$/.test(value.substring(0, close + 1))) return false;
    const rest = value.substring(close + 1);
    return rest === "" || (rest.charCodeAt(0) === COLON && isPort(rest, 1));
  }
  const colon = value.indexOf(":");
  if (colon >= 0) {
    if (!isPort(value, colon + 1)) return false;
    host = value.substring(0, colon);
  }
  return isAll(host, HOST) && (host.indexOf("%") < 0 || !/%(?![0-9a-fA-F]{2})/.test(host));
}

/** Whether the rest of `text` is a port, which may be empty (RFC 3986 section 3.2.3). */
function isPort(text: string, from: number): boolean {
  if (text.length - from > 5) return false;
  let port = 0;
  for (let i = from; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) return false;
    port = port * 10 + digit;
  }
  return port <= 65_535;
}
