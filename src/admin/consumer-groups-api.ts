/**
 * Which consumers are in which groups, as clients of Kong's Admin API write it: by the group's list of consumers, or by
 * the consumer's list of groups.
 */
import { schemaViolation } from "../control/refusal.ts";
import { ENTITIES, type EntityType } from "../entities/entities.ts";
import { type Entity, referenceOf } from "../entities/relations.ts";
import { notFound } from "./answers.ts";
import { checkBodyType, MAX_ENTITY_BYTES, readBody } from "./body.ts";
import { checkWritable } from "./entities-api.ts";
import { found, shown, workspaceId } from "./entity-view.ts";
import type { AdminPort } from "./port.ts";
import type { Answer, Call, Route } from "./routes.ts";

const KIND = "consumer_group_consumers";
const { consumers: CONSUMERS, consumer_groups: GROUPS } = ENTITIES;

/** One of the two ends of a membership. */
interface End {
  readonly type: EntityType;
  /** Field of the membership that points to it. */
  readonly field: "consumer" | "consumer_group";
  /** Field of a body that names it, by id or key. */
  readonly named: "consumer" | "group";
}

const CONSUMER: End = { type: CONSUMERS, field: "consumer", named: "consumer" };
const GROUP: End = { type: GROUPS, field: "consumer_group", named: "group" };

export function consumerGroupRoutes(port: AdminPort): Route[] {
  return ["", "/:workspace"].flatMap((prefix) => [
    ...membershipRoutes(port, prefix, GROUP, CONSUMER),
    ...membershipRoutes(port, prefix, CONSUMER, GROUP),
  ]);
}

/** The list of `many` under `one`. */
function membershipRoutes(port: AdminPort, prefix: string, one: End, many: End): Route[] {
  const path = `${prefix}/${one.type.collection}/:parent/${many.type.collection}`;
  const before = (call: Call, method: string) => {
    if (method === "GET") return;
    checkWritable(port, ENTITIES[KIND], method);
    if (method === "POST") checkBodyType(call);
  };
  const owner = (call: Call) => found(port.entities(), one.type, workspaceId(port, call), call.params.parent);
  const members = ({ id }: Entity) => port.entities().children(KIND, one.field, id);
  const list = (entity: Entity) => {
    const index = port.entities();
    return members(entity).flatMap((membership) => {
      const member = index.find(many.type.name, referenceOf(membership, many.field) ?? "");
      return member === undefined ? [] : [shown(many.type, member, index)];
    });
  };
  const remove = async (call: Call, memberships: readonly Entity[]): Promise<Answer> => {
    const workspace = workspaceId(port, call);
    for (const { id } of memberships)
      await port.write({ verb: "remove", kind: KIND, workspace, key: id }, call.author);
    return { status: 204 };
  };
  return [
    {
      path,
      before,
      maxBodyBytes: MAX_ENTITY_BYTES,
      GET: (call) => ({ status: 200, body: { [many.type.collection]: list(owner(call)), next: null } }),
      async POST(call) {
        const entity = owner(call);
        const workspace = workspaceId(port, call);
        const input = await readBody(call, () => undefined);
        const members = namesIn(input[many.named], many.named).map((name) =>
          found(port.entities(), many.type, workspace, name),
        );
        for (const member of members) {
          const fields = { [one.field]: { id: entity.id }, [many.field]: { id: member.id } };
          await port.write({ verb: "create", kind: KIND, workspace, input: fields }, call.author);
        }
        const index = port.entities();
        return {
          status: 201,
          body: {
            [one.field]: shown(one.type, entity, index),
            [many.type.collection]: members.map((member) => shown(many.type, member, index)),
          },
        };
      },
      DELETE: (call) => remove(call, members(owner(call))),
    },
    {
      path: `${path}/:id`,
      before,
      GET(call) {
        const { entity, member } = membership(call);
        const index = port.entities();
        return {
          status: 200,
          body: {
            [one.field]: shown(one.type, entity, index),
            [many.field]: shown(many.type, member, index),
          },
        };
      },
      DELETE: (call) => remove(call, [membership(call).tie]),
    },
  ];

  function membership(call: Call): { entity: Entity; member: Entity; tie: Entity } {
    const entity = owner(call);
    const member = found(port.entities(), many.type, workspaceId(port, call), call.params.id);
    const tie = members(entity).find((each) => referenceOf(each, many.field) === member.id);
    if (tie === undefined) throw notFound();
    return { entity, member, tie };
  }
}

/** decK sends a list of one, others a text. */
function namesIn(value: unknown, field: string): readonly string[] {
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  const refuse = (message: string) => schemaViolation([{ path: [field], message }]);
  if (value === undefined || value === null || names.length === 0) throw refuse("required field missing");
  if (!names.every((name) => typeof name === "string")) throw refuse("expected a string, or a list of them");
  return names as readonly string[];
}
