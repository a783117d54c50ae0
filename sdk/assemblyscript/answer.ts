/** What a hook answers: edits of the request or the response, a reply in place of the upstream's, or nothing. */
// @ts-nocheck AssemblyScript, not TypeScript
import { base64 } from "./base64";
import { writeError, writeOutput } from "./extism";
import { quote } from "./json";

/** Edits of a message, in order. Which of them a phase allows stands in the manifest's reference. */
export class Edit {
  private headers: string = "";
  private members: string = "";

  /** Replaces every value of a header by one. */
  set(name: string, value: string): Edit {
    return this.header('["set",' + quote(name) + "," + quote(value) + "]");
  }
  /** Adds a value beside those that are there. */
  add(name: string, value: string): Edit {
    return this.header('["add",' + quote(name) + "," + quote(value) + "]");
  }
  remove(name: string): Edit {
    return this.header('["remove",' + quote(name) + "]");
  }
  method(method: string): Edit {
    return this.member("method", quote(method));
  }
  path(path: string): Edit {
    return this.member("path", quote(path));
  }
  /** Without `?`. */
  query(query: string): Edit {
    return this.member("query", quote(query));
  }
  /** Of a response. */
  status(status: i32): Edit {
    return this.member("status", status.toString());
  }
  body(bytes: Uint8Array): Edit {
    return this.member("body", quote(base64(bytes)));
  }

  /** Empty if nothing is changed. */
  json(): string {
    const list = this.headers == "" ? "" : '"headers":[' + this.headers + "]";
    if (list == "" && this.members == "") return "";
    return "{" + list + (list != "" && this.members != "" ? "," : "") + this.members + "}";
  }

  private header(edit: string): Edit {
    this.headers += this.headers == "" ? edit : "," + edit;
    return this;
  }

  private member(name: string, value: string): Edit {
    this.members += (this.members == "" ? '"' : ',"') + name + '":' + value;
    return this;
  }
}

export class Answer {
  readonly request: Edit = new Edit();
  readonly response: Edit = new Edit();
  private members: string = "";
  private vars: string = "";

  /** Answers in place of the upstream, with text of a content type. In rewrite, access and response. */
  reply(status: i32, body: string = "", type: string = "text/plain; charset=utf-8"): Answer {
    const headers = body == "" ? "" : '["Content-Type",' + quote(type) + "]";
    return this.replyWith(status, headers, Uint8Array.wrap(String.UTF8.encode(body)));
  }

  /** The same with JSON. */
  replyJson(status: i32, json: string): Answer {
    return this.reply(status, json, "application/json; charset=utf-8");
  }

  /** `headers` are pairs as JSON: `["A","1"],["B","2"]`. */
  replyWith(status: i32, headers: string, body: Uint8Array): Answer {
    const value =
      '{"status":' + status.toString() + ',"headers":[' + headers + '],"body":"' + base64(body) + '"}';
    return this.member("reply", value);
  }

  /** What `body_filter` sends in place of its chunk. */
  chunk(bytes: Uint8Array): Answer {
    return this.member("chunk", '"' + base64(bytes) + '"');
  }

  /** Leaves a value, as JSON, for later plugins and phases of the request. */
  setVariable(name: string, json: string): Answer {
    this.vars += (this.vars == "" ? "" : ",") + quote(name) + ":" + json;
    return this;
  }

  /** Ends the call with this answer: `return answer.send();`. */
  send(): i32 {
    const request = this.request.json();
    if (request != "") this.member("request", request);
    const response = this.response.json();
    if (response != "") this.member("response", response);
    if (this.vars != "") this.member("vars", "{" + this.vars + "}");
    if (this.members != "") writeOutput("{" + this.members + "}");
    return 0;
  }

  private member(name: string, value: string): Answer {
    this.members += (this.members == "" ? '"' : ',"') + name + '":' + value;
    return this;
  }
}

/** Fails the call; the reason is for the log: `return fail("why");`. */
export function fail(reason: string): i32 {
  writeError(reason);
  return 1;
}
