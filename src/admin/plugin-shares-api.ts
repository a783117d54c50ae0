/** `/plugin-shares`: which plugins of one workspace others may use. The operator's alone to say. */
import { record, set, string } from "@gatehouse/sdk";
import type { Registry } from "../registry/registry.ts";
import { MAX_SHARED_TO, type Share, shareKey } from "../registry/shared-lines.ts";
import { usesOf } from "../registry/uses.ts";
import { notFound } from "./answers.ts";
import { checkBodyType } from "./body.ts";
import { byId, pageOf } from "./page.ts";
import type { AdminPort } from "./port.ts";
import { asked, lineDeed, readFields, refused } from "./registry-answers.ts";
import type { Call, Route } from "./routes.ts";

/** A thousand names of 64 characters, and what stands between them. */
const MAX_BYTES = 128 << 10;
const SCHEMA = record({
  workspaces: set(string({ lenMax: 64 }), {
    required: true,
    lenMin: 1,
    lenMax: MAX_SHARED_TO,
    description: "Those that may use it.",
  }),
});

export function pluginShareRoutes(port: AdminPort, { registry }: { readonly registry: Registry }): Route[] {
  const lineOf = (call: Call) => {
    const { owner = "", name = "" } = call.params;
    const workspace = port.entities().named("workspaces", "", owner);
    if (workspace === undefined) throw notFound();
    return { workspace: owner, workspaceId: workspace.id, name };
  };
  return [
    {
      path: "/plugin-shares",
      GET(call) {
        const shares = registry.desk
          .shares()
          .map((share) => ({ id: shareKey(share.owner, share.name), share }));
        const page = pageOf(byId(shares), call.query, call.path);
        return { status: 200, body: { ...page, data: page.data.map(({ share }) => shareJson(share)) } };
      },
    },
    {
      path: "/plugin-shares/:owner/:name",
      maxBodyBytes: MAX_BYTES,
      before(call, method) {
        if (method === "PUT") checkBodyType(call);
      },
      GET(call) {
        const { owner = "", name = "" } = call.params;
        const share = registry.desk.share(owner, name);
        if (share === undefined) throw notFound();
        return { status: 200, body: shareJson(share) };
      },
      async PUT(call) {
        const line = lineOf(call);
        const { workspaces } = await readFields(call, SCHEMA);
        const unknown = workspaces.filter(
          (name) => port.entities().named("workspaces", "", name) === undefined,
        );
        if (unknown.length > 0)
          throw refused([
            { path: ["workspaces"], message: `there is no workspace '${unknown.slice(0, 10).join("', '")}'` },
          ]);
        return change(line, workspaces, call);
      },
      async DELETE(call) {
        const line = lineOf(call);
        if (registry.desk.share(line.workspace, line.name) === undefined) return { status: 204 };
        await change(line, [], call);
        return { status: 204 };
      },
    },
  ];

  /** Between two changes of the configuration, so that none comes into force that uses what is taken back. */
  function change(line: ReturnType<typeof lineOf>, workspaces: readonly string[], call: Call) {
    return port.alone(async () => {
      const before = registry.desk.share(line.workspace, line.name);
      const lost = new Set(before?.workspaces.filter((name) => !workspaces.includes(name)));
      for (const use of usesOf(port.entities(), line))
        if (lost.has(use.workspace))
          throw refused([
            {
              path: ["workspaces"],
              message: `plugin entity ${use.entity.id} of workspace '${use.workspace}' uses it; remove that first`,
            },
          ]);
      const share = await asked(() => registry.desk.setShare(line, workspaces));
      const action = before === undefined ? "create" : workspaces.length === 0 ? "delete" : "update";
      const said = {
        before: before === undefined ? null : shareJson(before),
        after: workspaces.length === 0 ? null : shareJson(share),
      };
      await port.note(lineDeed(action, "plugin_shares", line, said), call.author);
      return { status: before === undefined ? 201 : 200, body: shareJson(share) };
    });
  }
}

function shareJson({ owner, name, workspaces }: Share): object {
  return { owner, name, workspaces };
}
