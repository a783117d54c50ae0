// biome-ignore-all lint: hostile on purpose
/** Line ends, framing and other hosts in URL, method and headers of a request. */
import { reply } from "@gatehouse/sdk";

export default async function attack(_ctx, host) {
  const found = [];
  const url = "http://127.0.0.1/";
  const requests = [
    { url: `${url}\r\nX-Evil: 1` },
    { url: "http://127.0.0.1\t.evil.test/" },
    { url, method: "GET / HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET" },
    { url, headers: [["x-a\r\nx-evil", "1"]] },
    { url, headers: [["x-a", "1\r\nx-evil: 1"]] },
    { url, headers: [["transfer-encoding", "chunked"]] },
    { url, headers: [["content-length", "1"]] },
    { url, headers: [["host", "evil.test"]] },
    { url: "file:///etc/passwd" },
    { url: "http://u:p@127.0.0.1/" },
  ];
  for (const request of requests) {
    try {
      await host.fetch(request);
      found.push("sent");
    } catch (error) {
      if (/reached|egress/.test(error.message)) found.push(error.message);
    }
  }
  return reply(200, found);
}
