/** `/author-keys` and `/{workspace}/author-keys`: whose signatures under packages count in a workspace. */
import { record, string } from "@gatehouse/sdk";
import { type AuthorKey, keyNameFault } from "../registry/author-keys.ts";
import type { Registry } from "../registry/registry.ts";
import { notFound } from "./answers.ts";
import { checkBodyType } from "./body.ts";
import { workspaceId, workspaceName } from "./entity-view.ts";
import { byId, pageOf } from "./page.ts";
import type { AdminPort } from "./port.ts";
import { asked, lineDeed, MAX_REGISTRY_BODY, readFields, settled } from "./registry-answers.ts";
import type { Call, Route } from "./routes.ts";

const SCHEMA = record({
  name: string({ required: true, lenMax: 64, check: (name) => keyNameFault(name) ?? undefined }),
  public_key: string({
    required: true,
    lenMax: 1024,
    description: "Ed25519, in PEM or its 32 bytes in Base64.",
  }),
});

export function authorKeyRoutes(port: AdminPort, { registry }: { readonly registry: Registry }): Route[] {
  const home = (call: Call) => ({ workspace: workspaceName(call), workspaceId: workspaceId(port, call) });
  const deed = (
    action: "create" | "update" | "delete",
    call: Call,
    { name, publicKey, revokedAt }: AuthorKey,
  ) => {
    const about = { public_key: publicKey, revoked_at: revokedAt };
    return lineDeed(
      action,
      "author_keys",
      { ...home(call), name },
      action === "delete" ? { before: about } : { after: about },
    );
  };
  return ["", "/:workspace"].flatMap((prefix): Route[] => [
    {
      path: `${prefix}/author-keys`,
      maxBodyBytes: MAX_REGISTRY_BODY,
      before(call, method) {
        workspaceId(port, call);
        if (method === "POST") checkBodyType(call);
      },
      GET(call) {
        const keys = registry.desk.authorKeys(workspaceName(call)).map((key) => ({ id: key.name, key }));
        const page = pageOf(byId(keys), call.query, call.path);
        return { status: 200, body: { ...page, data: page.data.map(({ key }) => keyJson(key)) } };
      },
      async POST(call) {
        const { name, public_key } = await readFields(call, SCHEMA);
        const key = await asked(() => registry.desk.addAuthorKey(home(call), name, public_key));
        await port.note(deed("create", call, key), call.author);
        return { status: 201, body: keyJson(key) };
      },
    },
    {
      path: `${prefix}/author-keys/:id`,
      before: (call) => void workspaceId(port, call),
      GET(call) {
        const key = registry.desk.authorKey(workspaceName(call), call.params.id ?? "");
        if (key === undefined) throw notFound();
        return { status: 200, body: keyJson(key) };
      },
      async DELETE(call) {
        if (registry.desk.authorKey(workspaceName(call), call.params.id ?? "") === undefined)
          return { status: 204 };
        const key = await asked(() =>
          registry.desk.removeAuthorKey(workspaceName(call), call.params.id ?? ""),
        );
        await port.note(deed("delete", call, key), call.author);
        return { status: 204 };
      },
    },
    {
      path: `${prefix}/author-keys/:id/revoke`,
      before: (call) => void workspaceId(port, call),
      async POST(call) {
        const key = await asked(() =>
          registry.desk.revokeAuthorKey(workspaceName(call), call.params.id ?? ""),
        );
        await port.note(deed("update", call, key), call.author);
        await settled(port);
        return { status: 200, body: keyJson(key) };
      },
    },
  ]);
}

function keyJson({ name, publicKey, createdAt, revokedAt }: AuthorKey): object {
  return { name, public_key: publicKey, created_at: createdAt, revoked_at: revokedAt };
}
