/** `@gatehouse/sdk/testing`: requests through a plugin, natively and in the gateway's sandbox, from one test file. */
export type { TestRequest, TestResponse } from "./context.ts";
export type { LoggedLine, Measured, TestFetchAnswer } from "./host.ts";
export { type GivenBody, type GivenHeaders, TestHeaders, TestMessage } from "./message.ts";
export type { CallCost, OpenInSandbox, SandboxedPlugin } from "./sandbox.ts";
export {
  type OpenPlugin,
  openPlugin,
  PluginFailure,
  type PluginOptions,
  type RequestOptions,
  TestedRequest,
  TestedResponse,
  testPlugin,
  type Verdict,
} from "./test-plugin.ts";
