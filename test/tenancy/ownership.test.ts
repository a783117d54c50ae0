/** What workspaces own: hosts, paths on hosts that others use as well, ports. Judged when loaded, when written, and kept. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { loadDeclarative } from "../../src/declarative/declarative.ts";
import { type Call, callOf } from "../control/gateway.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { freePort } from "../support/nginx.ts";
import { type Origin, startOrigin } from "../support/origin.ts";

const LEFT = { name: "left", hosts: ["left.example"], paths: ["shared.example/left/"], ports: [9001] };

/** What a workspace beside LEFT would own, and what is said of it. */
const CLAIMS = [
  [{ hosts: ["right.example"], paths: ["shared.example/right/"], ports: [9002] }, null],
  [{ paths: ["shared.example/leftovers/"] }, null],
  [{ paths: ["other.example/left/"] }, null],
  [
    { paths: ["shared.example/left/"] },
    ["paths", "path 'shared.example/left/' is owned by workspace 'left' already"],
  ],
  [
    { paths: ["shared.example/left/in/"] },
    ["paths", "path 'shared.example/left/in/' is owned by workspace 'left' already"],
  ],
  [{ paths: ["left.example/mine/"] }, ["paths", "host 'left.example' is owned by workspace 'left' already"]],
  [{ ports: [9001] }, ["ports", "port 9001 is owned by workspace 'left' already"]],
  [{ hosts: ["left.example"] }, ["hosts", "host 'left.example' is owned by workspace 'left' already"]],
  [{ paths: ["shared.example"] }, ["paths", "must be a host and a path that begins and ends with '/'"]],
  [{ paths: ["shared.example/"] }, ["paths", "must be a host and a path"]],
  [{ paths: ["shared.example/a"] }, ["paths", "must be a host and a path"]],
  [{ paths: ["*.example/a/"] }, ["paths", "must begin with one whole name of a host"]],
  [{ paths: ["shared.example/a/../b/"] }, ["paths", "non-normalized path"]],
  [{ ports: [0] }, ["ports", "between 1 and 65535"]],
] as const;

/** A route of LEFT, and what is said of it. */
const ROUTES = [
  [{ hosts: ["left.example"] }, null],
  [{ hosts: ["shared.example"], paths: ["/left/"] }, null],
  [{ hosts: ["Shared.example"], paths: ["/left/a", "/left/b/c"] }, null],
  [{ hosts: ["left.example", "shared.example"], paths: ["/left/"] }, null],
  [{ hosts: ["anything.example:9001"] }, null],
  [
    { hosts: ["shared.example"] },
    ["paths", "a route of workspace 'left' on 'shared.example' must name paths"],
  ],
  [
    { hosts: ["shared.example"], paths: ["/left"] },
    ["paths", "path '/left' on 'shared.example' is not owned"],
  ],
  [
    { hosts: ["shared.example"], paths: ["/left/", "/"] },
    ["paths", "path '/' on 'shared.example' is not owned"],
  ],
  [
    { hosts: ["shared.example"], paths: ["~/left/.*"] },
    ["paths", "path '~/left/.*' on 'shared.example' is not owned"],
  ],
  [{ hosts: ["*.shared.example"], paths: ["/left/"] }, ["hosts", "host '*.shared.example' is not owned"]],
  [{ hosts: ["anything.example:9002"] }, ["hosts", "host 'anything.example:9002' is not owned"]],
  [{ hosts: ["*.example:9001"] }, ["hosts", "host '*.example:9001' is not owned"]],
  [{ paths: ["/left/"] }, ["hosts", "must name hosts that the workspace owns"]],
] as const;

describe("a file", () => {
  const load = (workspaces: readonly object[]) =>
    loadDeclarative(JSON.stringify({ _format_version: "3.0", workspaces }), {
      plugins: { find: () => ({ missing: "" }) },
    });
  const faults = (workspaces: readonly object[]) => {
    const loaded = load(workspaces);
    return loaded.ok ? [] : loaded.errors.map(({ field, message }) => `${field}: ${message}`);
  };

  for (const [claim, said] of CLAIMS)
    test(`with another workspace that owns ${JSON.stringify(claim)} is ${said === null ? "loaded" : "refused"}`, () => {
      const right = { name: "right", ...claim };
      for (const order of [
        [LEFT, right],
        [right, LEFT],
      ]) {
        const found = faults(order);
        const [first = ""] = found;
        if (said === null) assert.deepEqual(found, []);
        else if (order[0] === LEFT) {
          assert.equal(found.length, 1, found.join("\n"));
          assert.ok(first.startsWith(said[0]) && first.includes(said[1]), first);
        } else assert.ok(found.length > 0, "whoever stands first");
      }
    });

  for (const [route, said] of ROUTES)
    test(`with a route ${JSON.stringify(route)} is ${said === null ? "loaded" : "refused"}`, () => {
      const service = { name: "s", host: "203.0.113.1", routes: [{ name: "r", ...route }] };
      const found = faults([{ ...LEFT, services: [service] }]);
      const [first = ""] = found;
      if (said === null) return assert.deepEqual(found, []);
      assert.equal(found.length, 1, found.join("\n"));
      assert.ok(first.startsWith(said[0]) && first.includes(said[1]), first);
    });
});

describe("a gateway", () => {
  let origins: readonly [Origin, Origin];
  let gateway: Gateway;
  let call: Call;
  let ports: readonly [number, number];
  before(async () => {
    origins = [
      await startOrigin((_, response) => void response.end("left")),
      await startOrigin((_, response) => void response.end("right")),
    ];
    ports = [await freePort(), await freePort()];
    gateway = await startGateway({
      config: null,
      settings: { proxy_listen: ports.map((port) => `127.0.0.1:${port}`).join(","), data_threads: "1" },
    });
    call = callOf(
      () => gateway.ports.admin,
      () => gateway.adminHeaders,
    );
    const made = await call("POST", "/workspaces", { ...LEFT, ports: [ports[0]] });
    assert.equal(made.status, 201, made.text);
    const right = { name: "right", hosts: ["right.example"], paths: ["shared.example/right/"] };
    assert.equal((await call("POST", "/workspaces", right)).status, 201);
    for (const [i, name] of ["left", "right"].entries())
      assert.equal(
        (await call("POST", `/${name}/services`, { name: "s", url: (origins[i] as Origin).url })).status,
        201,
      );
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
    for (const origin of origins) await origin[Symbol.asyncDispose]();
  });

  const route = (workspace: string, fields: object) =>
    call("POST", `/${workspace}/routes`, { service: { name: "s" }, ...fields });
  const ask = async (port: number, host: string, path: string) => {
    const { status, body } = await send(`http://127.0.0.1:${port}${path}`, { headers: { host } });
    return status === 200 ? body : status;
  };

  for (const [claim, said] of CLAIMS)
    test(`${said === null ? "takes" : "refuses"} a workspace that owns ${JSON.stringify(claim)} beside another`, async () => {
      const own =
        "ports" in claim && (claim.ports as readonly number[])[0] === 9001 ? { ports: [ports[0]] } : {};
      // The other of the test has these already.
      const free = said === null && "paths" in claim && claim.paths[0] === "shared.example/right/";
      if (free) return;
      const { status, json, text } = await call("POST", "/workspaces", { name: "third", ...claim, ...own });
      if (said === null) {
        assert.equal(status, 201, text);
        assert.equal((await call("DELETE", "/workspaces/third")).status, 204);
        return;
      }
      assert.equal(status, 400, text);
      const wanted = said[1].replace("9001", String(ports[0]));
      assert.ok(JSON.stringify(json.fields?.[said[0]]).includes(wanted), text);
    });

  test("a host is not given to a workspace while others have paths on it", async () => {
    const { status, json } = await call("PATCH", "/workspaces/right", {
      hosts: ["right.example", "shared.example"],
    });
    assert.equal(status, 400);
    assert.match(String(json.message), /path 'shared\.example\/left\/' is owned by workspace 'left' already/);
    const wildcard = await call("POST", "/workspaces", { name: "third", hosts: ["*.example"] });
    assert.equal(wildcard.status, 400);
  });

  test("each answers on a shared host below its own path, and what it owns cannot be taken away under its routes", async () => {
    for (const name of ["left", "right"])
      assert.equal((await route(name, { hosts: ["shared.example"], paths: [`/${name}/`] })).status, 201);
    const refused = await route("right", { hosts: ["shared.example"], paths: ["/left/"] });
    assert.equal(refused.status, 400);
    assert.match(
      String(refused.json.message),
      /path '\/left\/' on 'shared\.example' is not owned by workspace 'right'/,
    );
    const [, second] = ports;
    assert.equal(await ask(second, "shared.example", "/right/x"), "right");
    assert.equal(await ask(second, "shared.example", "/left/x"), "left");
    assert.equal(await ask(second, "shared.example", "/other"), 404);
    assert.equal((await call("PATCH", "/workspaces/right", { paths: [] })).status, 400);
  });

  test("a port that a workspace owns reaches none but its routes, and those nobody else's names", async () => {
    const [first, second] = ports;
    assert.equal(
      (await route("left", { hosts: [`any.example:${first}`, `right.example:${first}`] })).status,
      201,
    );
    assert.equal((await route("right", { hosts: ["right.example"] })).status, 201);
    assert.equal((await call("POST", "/routes", { paths: ["/everywhere"] })).status, 201);
    assert.equal(await ask(first, "any.example", "/"), "left");
    assert.equal(await ask(second, "any.example", "/"), 404);
    assert.equal(await ask(second, "right.example", "/"), "right");
    assert.equal(
      await ask(first, "right.example", "/"),
      404,
      "neither: the port is one's, the name the other's",
    );
    assert.equal(
      await ask(first, "other.example", "/everywhere"),
      404,
      "nor what the operator has everywhere",
    );
    assert.equal(await ask(second, "other.example", "/everywhere"), 503);
    assert.equal((await call("PATCH", "/workspaces/left", { ports: [] })).status, 400, "its routes need it");
  });
});
