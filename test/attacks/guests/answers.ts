/** What hostile WebAssembly guests answer in `access`; each is a violation of the contract of Extism guests. */

const edit = (headers: unknown[]) => JSON.stringify({ request: { headers } });
const reply = (status: unknown, headers: unknown[] = [], body = "") =>
  JSON.stringify({ reply: { status, headers, body } });

export const ANSWERS: readonly { readonly name: string; readonly answer: string }[] = [
  { name: "answer-cut-off", answer: '{"request":' },
  { name: "answer-no-object", answer: "[1]" },
  { name: "answer-unknown-key", answer: '{"admin":true}' },
  { name: "answer-nested", answer: `{"vars":${"[".repeat(20_000)}${"]".repeat(20_000)}}` },
  { name: "answer-prototype", answer: '{"__proto__":{"status":200}}' },
  { name: "answer-response-in-access", answer: '{"response":{"status":200}}' },
  { name: "header-newline", answer: edit([["set", "x-a", "a\r\nx-evil: 1"]]) },
  { name: "header-nul", answer: edit([["set", "x-a", "a\0b"]]) },
  { name: "header-name-newline", answer: edit([["set", "x-a\r\nx-evil", "1"]]) },
  { name: "header-not-latin1", answer: edit([["set", "x-a", "ć"]]) },
  {
    name: "header-framing",
    answer: edit([
      ["set", "content-length", "5"],
      ["set", "transfer-encoding", "chunked"],
    ]),
  },
  { name: "header-hop-by-hop", answer: edit([["set", "connection", "x-forwarded-for"]]) },
  { name: "header-second-host", answer: edit([["add", "host", "admin.internal"]]) },
  { name: "header-giant-value", answer: edit([["set", "x-a", "a".repeat(1_000_000)]]) },
  {
    name: "header-ten-thousand",
    answer: edit(Array.from({ length: 10_000 }, (_, i) => ["add", `x-${i}`, "a"])),
  },
  { name: "status-0", answer: reply(0) },
  { name: "status-99", answer: reply(99) },
  { name: "status-101", answer: reply(101) },
  { name: "status-1e9", answer: reply(1e9) },
  { name: "status-text", answer: reply("200") },
  { name: "reply-body-no-base64", answer: reply(200, [], "***") },
  { name: "reply-framing", answer: reply(200, [["transfer-encoding", "chunked"]]) },
  { name: "path-double-slash", answer: '{"request":{"path":"//evil"}}' },
  { name: "path-climbs", answer: '{"request":{"path":"/a/..%2f..%2fadmin"}}' },
  { name: "path-absolute", answer: '{"request":{"path":"http://evil.test/"}}' },
  { name: "path-newline", answer: '{"request":{"path":"/a\\r\\nHost: evil"}}' },
  { name: "method-newline", answer: '{"request":{"method":"GET /evil HTTP/1.1\\r\\nX:"}}' },
  { name: "method-connect", answer: '{"request":{"method":"CONNECT"}}' },
];
