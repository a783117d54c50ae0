/**
 * `/plugin-packages` and `/{workspace}/plugin-packages`: publishing, listing and removing plugin packages.
 * An upload is answered when the forge is done and everything is on the disk.
 */
import { violationFields } from "@gatehouse/sdk";
import type { Deed } from "../access/audit.ts";
import { violationMessage } from "../control/refusal.ts";
import { DEFAULT_WORKSPACE } from "../entities/entities.ts";
import { MAX_PACKAGE_BYTES } from "../registry/archive.ts";
import { grantsToJson, manifestToJson } from "../registry/manifest.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import { Shares } from "../tenancy/shares.ts";
import { notFound, numbered, Refusal, unsupportedType } from "./answers.ts";
import { workspaceId, workspaceName } from "./entity-view.ts";
import { byId, pageOf } from "./page.ts";
import type { AdminPort } from "./port.ts";
import type { Answer, Call, Route } from "./routes.ts";

/**
 * Uploads worked on at once: each may hold a package, what it unpacks to, and what the forge made of it. Beyond
 * them a workspace with less than an equal part gets more: one that uploads all the time does not shut others out.
 */
export const MAX_UPLOADS = 8;

const PACKAGE_TYPES = ["application/gzip", "application/x-gzip"];

export interface PackageOptions {
  readonly registry: Registry;
  /** Workspaces that may upload although the operating system's fence is not in force. */
  readonly unfencedUploads: readonly string[];
}

export function packageRoutes(port: AdminPort, options: PackageOptions): Route[] {
  const { registry } = options;
  const uploads = new Shares(MAX_UPLOADS, MAX_UPLOADS);
  return ["", "/:workspace"].flatMap((prefix): Route[] => [
    {
      path: `${prefix}/plugin-packages`,
      maxBodyBytes: MAX_PACKAGE_BYTES,
      isUpload: true,
      before(call, method) {
        workspaceId(port, call);
        if (method !== "POST") return;
        checkFence(port, workspaceName(call), options.unfencedUploads);
        if (!PACKAGE_TYPES.includes(call.type)) throw unsupportedType(["application/gzip"]);
      },
      GET(call) {
        const page = pageOf(byId(registry.list(workspaceName(call))), call.query, call.path);
        return { status: 200, body: { ...page, data: page.data.map(packageJson) } };
      },
      async POST(call) {
        const workspace = workspaceName(call);
        if (!uploads.take(workspace, 1)) throw busy();
        try {
          const id = workspaceId(port, call);
          const answer = await publish(port, registry, call);
          // Deleted while the forge was at work, or made anew: it has no packages of before.
          return await port.alone(async () => {
            if (port.entities().named("workspaces", "", workspace)?.id === id) return answer;
            const stored = registry.get(workspace, String((answer.body as { id?: unknown }).id));
            if (stored !== undefined) await registry.delete(stored);
            throw notFound();
          });
        } finally {
          uploads.give(workspace, 1);
        }
      },
    },
    {
      path: `${prefix}/plugin-packages/:id`,
      before: (call) => void workspaceId(port, call),
      GET(call) {
        const stored = registry.get(workspaceName(call), call.params.id ?? "");
        if (!stored) throw notFound();
        const { manifest, createdAt } = stored;
        return {
          status: 200,
          body: { ...packageJson(stored), created_at: createdAt, manifest: manifestToJson(manifest) },
        };
      },
      // Between two changes of the configuration, so that none comes into force that needs what is being removed.
      DELETE: (call) =>
        port.alone(async () => {
          const stored = registry.get(workspaceName(call), call.params.id ?? "");
          if (!stored) return { status: 204 };
          if (isUsed(port, stored))
            throw numbered(
              "foreignKeyViolation",
              "an existing 'plugins' entity references this 'plugin-packages' entity",
              { fields: { "@referenced_by": "plugins" } },
            );
          await registry.delete(stored);
          await port.note(deedOf(port, "delete", stored), call.author);
          return { status: 204 };
        }),
    },
  ]);
}

/** A tenant's code runs only behind the operating system's fence, unless the operator named the tenant. */
function checkFence(port: AdminPort, workspace: string, unfenced: readonly string[]): void {
  if (workspace === DEFAULT_WORKSPACE || unfenced.includes(workspace) || port.fenceInForce()) return;
  throw new Refusal(403, {
    message:
      `workspace '${workspace}' may not upload plugins: the operating system's fence around guests is not in ` +
      "force here (GET /status says why); start the gateway so that it is, or name the workspace in unfenced_uploads",
  });
}

/** For the audit log. */
function deedOf(
  port: AdminPort,
  action: "create" | "delete",
  { workspace, id, manifest }: StoredPackage,
): Deed {
  const about = {
    version: manifest.version,
    runtime: manifest.runtime,
    grants: grantsToJson(manifest.grants),
  };
  return {
    action,
    entity: "plugin_packages",
    id,
    name: manifest.name,
    workspace: port.entities().named("workspaces", "", workspace)?.id ?? "",
    ...(action === "create" ? { after: about } : { before: about }),
  };
}

async function publish(port: AdminPort, registry: Registry, call: Call): Promise<Answer> {
  const workspace = workspaceName(call);
  const result = await registry.put(workspace, call.body);
  switch (result.kind) {
    case "created":
      await port.note(deedOf(port, "create", result.stored), call.author);
      return { status: 201, body: packageJson(result.stored) };
    case "same":
      return { status: 200, body: packageJson(result.stored) };
    case "conflict": {
      const { name, version } = result.stored.manifest;
      throw numbered(
        "uniqueViolation",
        `UNIQUE violation detected on '{name="${name}",version="${version}"}'`,
        {
          fields: { name, version, "@entity": ["a published version never changes; publish a new version"] },
        },
      );
    }
    case "refused": {
      const fields = violationFields(result.violations);
      throw numbered("schemaViolation", violationMessage(fields), { fields });
    }
    case "full":
      throw new Refusal(413, { message: result.message });
    case "busy":
      throw busy();
  }
}

function busy(): Refusal {
  return new Refusal(
    429,
    { message: "The forge is busy with other uploads; try again in a moment" },
    { "retry-after": "1" },
  );
}

function packageJson({ id, manifest, report }: StoredPackage): object {
  const { name, version, runtime, phases, grants } = manifest;
  return { id, name, version, runtime, phases, grants: grantsToJson(grants), forge: report };
}

/** Whether an entity of the configuration in force names this package. */
function isUsed(port: AdminPort, { workspace, manifest }: StoredPackage): boolean {
  const index = port.entities();
  const wanted = `${workspace}/${manifest.name}@${manifest.version}`;
  for (const { name, ws_id: owner } of index.all("plugins")) {
    const written = String(name);
    if ((written.includes("/") ? written : `${index.workspace(owner)?.name}/${written}`) === wanted)
      return true;
  }
  return false;
}
