/**
 * What is done with packages that are published: `/plugin-packages/{id}/yank`, `…/signatures`, and under a plugin's name
 * `…/channels` and `…/consent`; each also under `/{workspace}`.
 */
import { record, string } from "@gatehouse/sdk";
import { type GivenSignature, MAX_SIGNATURES, readSignatures } from "../registry/author-keys.ts";
import { type Channel, MAX_WHY } from "../registry/channels.ts";
import type { Line } from "../registry/desk.ts";
import { excessOf } from "../registry/grants-asked.ts";
import { grantsToJson } from "../registry/manifest.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import { followersOf, misfits } from "../registry/uses.ts";
import { notFound } from "./answers.ts";
import { checkBodyType } from "./body.ts";
import { workspaceId, workspaceName } from "./entity-view.ts";
import { channelJson, wholePackageJson } from "./package-view.ts";
import type { AdminPort } from "./port.ts";
import {
  asked,
  lineDeed,
  MAX_REGISTRY_BODY,
  ownLine,
  packageDeed,
  readFields,
  refused,
  settled,
  usedLine,
} from "./registry-answers.ts";
import type { Answer, Call, Route } from "./routes.ts";

const YANK = record({ reason: string({ required: true, lenMax: 500 }) });
const MOVE = record({ version: string({ required: true, lenMax: 64 }), why: string({ lenMax: MAX_WHY }) });
const CONSENT = record({ version: string({ required: true, lenMax: 64 }) });
const SIGNATURES = record({
  signature: string({
    required: true,
    lenMax: 250 * MAX_SIGNATURES,
    description: "`key:signature`, as the header.",
  }),
});

export function pluginLineRoutes(port: AdminPort, { registry }: { readonly registry: Registry }): Route[] {
  const reading = {
    maxBodyBytes: MAX_REGISTRY_BODY,
    before(call: Call, method: string) {
      workspaceId(port, call);
      if (method === "POST" || method === "PUT") checkBodyType(call);
    },
  };
  return ["", "/:workspace"].flatMap((prefix): Route[] => [
    {
      path: `${prefix}/plugin-packages/:id/yank`,
      ...reading,
      async POST(call) {
        const stored = published(registry, call);
        const { reason } = await readFields(call, YANK);
        const yanked = await asked(() =>
          registry.desk.yank(lineOf(stored), stored.manifest.version, call.author.actor, reason),
        );
        await port.note(packageDeed(port, "update", yanked, { yanked: yanked.yanked }), call.author);
        await settled(port);
        return { status: 200, body: wholePackageJson(yanked, registry) };
      },
    },
    {
      path: `${prefix}/plugin-packages/:id/unyank`,
      ...reading,
      async POST(call) {
        const stored = published(registry, call);
        const back = await asked(() => registry.desk.unyank(lineOf(stored), stored.manifest.version));
        await port.note(packageDeed(port, "update", back, { yanked: null }), call.author);
        await settled(port);
        return { status: 200, body: wholePackageJson(back, registry) };
      },
    },
    {
      path: `${prefix}/plugin-packages/:id/signatures`,
      ...reading,
      GET(call) {
        return { status: 200, body: { data: registry.desk.signaturesOf(published(registry, call)) } };
      },
      async POST(call) {
        const stored = published(registry, call);
        const { signature } = await readFields(call, SIGNATURES);
        const given = givenSignatures(signature);
        const signed = await asked(() => registry.desk.sign(stored, given));
        const by = given.map(({ key }) => key);
        await port.note(packageDeed(port, "update", signed, { signed_by: by }), call.author);
        await settled(port);
        return { status: 200, body: wholePackageJson(signed, registry) };
      },
    },
    {
      path: `${prefix}/plugin-packages/:id/channels`,
      ...reading,
      GET: (call) => ({
        status: 200,
        body: { data: registry.desk.channels(usedLine(port, registry, call)).map(shownTo(call)) },
      }),
    },
    {
      path: `${prefix}/plugin-packages/:id/channels/:channel`,
      ...reading,
      GET(call) {
        const { workspace, name } = usedLine(port, registry, call);
        const channel = registry.desk.channel(workspace, name, call.params.channel ?? "");
        if (channel === undefined) throw notFound();
        return { status: 200, body: shownTo(call)(channel) };
      },
      PUT: (call) => move(port, registry, call),
      async DELETE(call) {
        const line = ownLine(port, call);
        const name = call.params.channel ?? "";
        const before = registry.desk.channel(line.workspace, line.name, name);
        if (before === undefined) return { status: 204 };
        // Between two changes of the configuration, so that none comes into force that follows it.
        return port.alone(async () => {
          const [follower] = followersOf(port.entities(), line, name);
          if (follower !== undefined) {
            const isToBeTold = follower.workspace === line.workspace || call.author.workspace === null;
            const who = isToBeTold
              ? `plugin entity ${follower.entity.id} of workspace '${follower.workspace}'`
              : "a plugin entity of a workspace that the plugin is shared to";
            throw refused([{ path: ["@referenced_by"], message: `${who} follows this channel` }]);
          }
          await asked(() => registry.desk.removeChannel(line, name));
          const said = { before: { channel: name, version: before.version } };
          await port.note(lineDeed("delete", "plugin_channels", line, said), call.author);
          return { status: 204 };
        });
      },
    },
    {
      path: `${prefix}/plugin-packages/:id/consent`,
      ...reading,
      POST: (call) => consent(port, registry, call),
    },
  ]);
}

/** Who has moved a channel is told where it is at home, and to the operator. */
const shownTo = (call: Call) => (channel: Channel) =>
  channelJson(channel, call.author.workspace === null || channel.workspace === workspaceName(call));

/** @throws {Refusal} 400 */
export function givenSignatures(text: string): GivenSignature[] {
  const given = readSignatures(text);
  if (given === null)
    throw refused([
      {
        path: ["signature"],
        message: "expected the name of a key, ':' and a signature in Base64; several after commas",
      },
    ]);
  return given;
}

async function move(port: AdminPort, registry: Registry, call: Call): Promise<Answer> {
  const { desk, tables } = registry;
  const line = ownLine(port, call);
  const { version, why } = await readFields(call, MOVE);
  const name = call.params.channel ?? "";
  const target = tables.packages.get(`${line.workspace}/${line.name}@${version}`);
  const before = desk.channel(line.workspace, line.name, name);
  if (target !== undefined) checkFollowers(port, registry, line, name, target);
  const channel = await asked(() => desk.moveChannel(line, name, version, call.author.actor, why ?? ""));
  const shown = (of: { readonly version: string } | undefined) =>
    of === undefined ? null : { channel: name, version: of.version };
  const said = { before: shown(before), after: shown(channel) };
  if (before?.version !== version) {
    const action = before === undefined ? "create" : "update";
    await port.note(lineDeed(action, "plugin_channels", line, said), call.author);
    await settled(port);
  }
  return { status: before === undefined ? 201 : 200, body: channelJson(channel, true) };
}

/**
 * Those of its workspace that follow a channel must be able to take what it points to. Those of others stay with a version
 * that they can take: whom a plugin is shared to does not decide where its channels point.
 * @throws {Refusal} 400
 */
export function checkFollowers(
  port: AdminPort,
  registry: Registry,
  line: Line,
  channel: string,
  version: StoredPackage,
): void {
  const all = registry.tables.packages.line(line.workspace, line.name).map(({ stored }) => stored);
  const own = followersOf(port.entities(), line, channel).filter((use) => use.workspace === line.workspace);
  const [misfit] = misfits(own, version, all);
  if (misfit === undefined) return;
  const { use, violations } = misfit;
  throw refused(
    violations.map(({ path, message }) => ({
      path: ["version"],
      message:
        `the config of plugin entity ${use.entity.id} (workspace '${use.workspace}') is not one of ` +
        `${version.manifest.name}@${version.manifest.version}: ${["config", ...path].join(".")}: ${message}`,
    })),
  );
}

/** The workspace of the path lets a plugin have what a version asks for. */
async function consent(port: AdminPort, registry: Registry, call: Call): Promise<Answer> {
  const { desk, tables } = registry;
  const line = usedLine(port, registry, call);
  const { version } = await readFields(call, CONSENT);
  const stored = tables.packages.get(`${line.workspace}/${line.name}@${version}`);
  if (stored === undefined) throw notFound();
  const workspace = workspaceName(call);
  const before = desk.consent(workspace, line.workspace, line.name);
  const excess = before === undefined ? null : excessOf(stored.manifest.grants, before.grants);
  const user = { workspace, workspaceId: workspaceId(port, call) };
  await asked(() => desk.giveConsent(user, stored));
  const given = desk.consent(workspace, line.workspace, line.name);
  const about = { owner: line.workspace, version, grants: grantsToJson(stored.manifest.grants) };
  const deed = lineDeed("update", "plugin_consents", { ...line, ...user }, { after: about });
  await port.note(deed, call.author);
  await settled(port);
  return {
    status: 200,
    body: {
      name: line.name,
      owner: line.workspace,
      workspace,
      version,
      added: excess ?? [],
      grants: given === undefined ? null : grantsToJson(given.grants),
    },
  };
}

/** @throws {Refusal} 404 */
function published(registry: Registry, call: Call): StoredPackage {
  const stored = registry.get(workspaceName(call), call.params.id ?? "");
  if (stored === undefined) throw notFound();
  return stored;
}

const lineOf = ({ workspace, workspaceId, manifest }: StoredPackage): Line => ({
  workspace,
  workspaceId,
  name: manifest.name,
});
