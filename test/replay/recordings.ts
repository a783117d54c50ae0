/** Recordings for tests of what keeps them. */
import type { Recording } from "@gatehouse/sdk";

/** A request for a path, with a body of these bytes. */
export function recordingOf(path: string, body: Uint8Array = new Uint8Array()): Recording {
  return {
    at: 1000,
    route: { id: "r", name: null },
    service: null,
    consumer: null,
    request: {
      method: "GET",
      scheme: "http",
      host: "a",
      port: 80,
      path,
      query: "",
      clientIp: "192.0.2.1",
      headers: [["Host", "a"]],
      body: { bytes: body, length: body.length },
    },
    response: null,
  };
}
