/**
 * `/plugin-packages` and `/{workspace}/plugin-packages`: publishing, listing and removing plugin packages.
 * An upload is answered when the forge is done and everything is on the disk.
 */
import { schemaViolation } from "../control/refusal.ts";
import { DEFAULT_WORKSPACE } from "../entities/entities.ts";
import { MAX_PACKAGE_BYTES } from "../registry/archive.ts";
import { grantsToJson } from "../registry/manifest.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import { usesOf } from "../registry/uses.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
import { Shares } from "../tenancy/shares.ts";
import { notFound, numbered, Refusal, unsupportedType } from "./answers.ts";
import { workspaceId, workspaceName } from "./entity-view.ts";
import { channelTo, lineJson, matching, packageJson, wholePackageJson } from "./package-view.ts";
import { pageOf } from "./page.ts";
import { givenSignatures } from "./plugin-lines-api.ts";
import type { AdminPort } from "./port.ts";
import { asked, packageDeed, settled, usedLine } from "./registry-answers.ts";
import type { Answer, Call, Route } from "./routes.ts";

/**
 * Uploads worked on at once: each may hold a package, what it unpacks to, and what the forge made of it. Beyond
 * them a workspace with less than an equal part gets more: one that uploads all the time does not shut others out.
 */
export const MAX_UPLOADS = 8;

const FILTERS = ["name", "search", "channel"];
const PACKAGE_TYPES = ["application/gzip", "application/x-gzip"];

export interface PackageOptions {
  readonly registry: Registry;
  readonly rollouts?: Rollouts;
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
        const page = pageOf(matching(registry, workspaceName(call), call.query), call.query, call.path, {
          filters: FILTERS,
        });
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
            if (stored !== undefined) await registry.delete(stored, false);
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
      async GET(call) {
        const stored = registry.get(workspaceName(call), call.params.id ?? "");
        if (stored !== undefined) return { status: 200, body: wholePackageJson(stored, registry) };
        const line = usedLine(port, registry, call);
        const isOperator = call.author.workspace === null;
        return {
          status: 200,
          body: await lineJson(port, registry, line, workspaceName(call), isOperator, options.rollouts),
        };
      },
      // Between two changes of the configuration, so that none comes into force that needs what is being removed.
      DELETE: (call) =>
        port.alone(async () => {
          const stored = registry.get(workspaceName(call), call.params.id ?? "");
          if (!stored) return { status: 204 };
          checkUnused(port, registry, stored);
          await asked(() => registry.delete(stored));
          await port.note(packageDeed(port, "delete", stored, aboutOf(stored)), call.author);
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

async function publish(port: AdminPort, registry: Registry, call: Call): Promise<Answer> {
  const workspace = workspaceName(call);
  const given = call.signature === "" ? [] : givenSignatures(call.signature);
  const result = await asked(() => registry.put(workspace, call.body, given));
  switch (result.kind) {
    case "created":
      await port.note(packageDeed(port, "create", result.stored, aboutOf(result.stored)), call.author);
      await settled(port);
      return { status: 201, body: packageJson(result.stored) };
    case "same":
      if (given.length > 0) {
        const by = given.map(({ key }) => key);
        await port.note(packageDeed(port, "update", result.stored, { signed_by: by }), call.author);
        await settled(port);
      }
      return { status: 200, body: packageJson(result.stored) };
    case "conflict":
    case "deleted": {
      const { name, version } = result.kind === "conflict" ? result.stored.manifest : result.manifest;
      throw numbered(
        "uniqueViolation",
        `UNIQUE violation detected on '{name="${name}",version="${version}"}'`,
        {
          fields: {
            name,
            version,
            "@entity": [
              `a published version never changes${result.kind === "deleted" ? ", also when it was deleted" : ""}; publish a new version`,
            ],
          },
        },
      );
    }
    case "refused":
      throw schemaViolation(result.violations);
    case "full":
      throw new Refusal(413, { message: result.message });
    case "busy":
      throw busy();
  }
}

const aboutOf = ({ manifest, signatures }: StoredPackage) => ({
  runtime: manifest.runtime,
  grants: grantsToJson(manifest.grants),
  ...(signatures.length === 0 ? {} : { signed_by: signatures.map(({ key }) => key) }),
});

function busy(): Refusal {
  return new Refusal(
    429,
    { message: "The forge is busy with other uploads; try again in a moment" },
    { "retry-after": "1" },
  );
}

/** What leads to this package: an entity of the configuration in force, or a channel. @throws {Refusal} 400 */
function checkUnused(port: AdminPort, registry: Registry, stored: StoredPackage): void {
  const { workspace, manifest } = stored;
  const used = (by: string) =>
    numbered("foreignKeyViolation", `an existing '${by}' entity references this 'plugin-packages' entity`, {
      fields: { "@referenced_by": by },
    });
  for (const { entity, workspace: user } of usesOf(port.entities(), { workspace, name: manifest.name })) {
    const found = registry.fit(String(entity.name), user, entity.config);
    if (!("missing" in found) && found.stored.id === stored.id) throw used("plugins");
  }
  if (channelTo(registry, stored) !== undefined) throw used("channels");
}
