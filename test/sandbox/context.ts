/** A request in memory, behind the SDK's Context: what a hook is called with when no gateway is running. */
import type { Consumer, Context, Headers, PluginRequest, PluginResponse } from "@gatehouse/sdk";

export class ListedHeaders implements Headers {
  list: [string, string][];

  constructor(list: [string, string][]) {
    this.list = list;
  }

  get(name: string): string | undefined {
    return this.list.find(([own]) => own.toLowerCase() === name)?.[1];
  }
  getAll(name: string): string[] {
    return this.list.filter(([own]) => own.toLowerCase() === name).map(([, value]) => value);
  }
  has(name: string): boolean {
    return this.get(name) !== undefined;
  }
  set(name: string, value: string): void {
    this.remove(name);
    this.list.push([name, value]);
  }
  add(name: string, value: string): void {
    this.list.push([name, value]);
  }
  remove(name: string): void {
    this.list = this.list.filter(([own]) => own.toLowerCase() !== name.toLowerCase());
  }
  entries(): [string, string][] {
    return this.list.map(([name, value]) => [name, value]);
  }
}

export interface RequestParts {
  method?: string;
  path?: string;
  query?: string;
  headers?: [string, string][];
  body?: Uint8Array | null;
  response?: { status: number; headers: [string, string][]; body?: Uint8Array };
  workspace?: string;
  vars?: Record<string, unknown>;
}

export class MemoryContext implements Context {
  readonly request: PluginRequest & { newBody: Uint8Array | null };
  readonly response: PluginResponse & { newBody: Uint8Array | null };
  readonly workspace: string;
  readonly route = { id: "6f2f6c2e-0000-4000-8000-000000000001", name: "route-ü" };
  readonly service = { id: "6f2f6c2e-0000-4000-8000-000000000002", name: null, host: "upstream.test" };
  consumer: Consumer | null = null;
  credential: { readonly id: string } | null = null;
  readonly vars: Record<string, unknown>;
  readonly measures = { requestBytes: 10, responseBytes: 20, totalMs: 1.5, upstreamMs: 1, gatewayMs: 0.5 };

  constructor(parts: RequestParts = {}) {
    const { body = null } = parts;
    this.workspace = parts.workspace ?? "default";
    this.vars = parts.vars ?? {};
    this.request = {
      id: "0123456789abcdef0123456789abcdef",
      method: parts.method ?? "GET",
      scheme: "http",
      host: "example.test",
      port: 8000,
      path: parts.path ?? "/things",
      upstreamPath: null,
      query: parts.query ?? "",
      clientIp: "127.0.0.1",
      clientPort: 40000,
      headers: new ListedHeaders(parts.headers ?? [["Host", "example.test"]]),
      startedAt: 1_700_000_000_000,
      uriCaptures: null,
      readBody: () => body,
      newBody: null,
      setBody(given) {
        this.newBody = given;
      },
    };
    this.response = {
      status: parts.response?.status ?? 0,
      headers: new ListedHeaders(parts.response?.headers ?? []),
      source: "service",
      body: parts.response?.body ?? null,
      newBody: null,
      setBody(given) {
        this.newBody = given;
      },
    };
  }

  authenticate(consumer: Consumer | null, credential: { readonly id: string } | null): void {
    this.consumer = consumer;
    this.credential = credential;
  }
}
