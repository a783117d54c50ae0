/** consumers, who a request is from; consumer_groups, and who is in which. Fields are Kong's. */
import { foreign, record, string } from "@gatehouse/sdk";
import { id, MAX_TEXT, name, tags, timestamp } from "./fields.ts";

export const consumerSchema = record(
  {
    id: id(),
    created_at: timestamp(),
    updated_at: timestamp(),
    username: string({
      unique: true,
      lenMax: MAX_TEXT,
      description: "The name of the consumer; upstreams see it as X-Consumer-Username.",
    }),
    custom_id: string({ unique: true, lenMax: MAX_TEXT, description: "The id of the consumer elsewhere." }),
    tags: tags(),
  },
  { checks: [{ kind: "at_least_one_of", fields: ["custom_id", "username"] }] },
);

export const consumerGroupSchema = record({
  id: id(),
  created_at: timestamp(),
  updated_at: timestamp(),
  name: name({ required: true, description: "The name of the group." }),
  tags: tags(),
});

/** That a consumer is in a group. */
export const consumerGroupConsumerSchema = record({
  id: id(),
  created_at: timestamp(),
  consumer_group: foreign("consumer_groups", { required: true, onDelete: "cascade" }),
  consumer: foreign("consumers", { required: true, onDelete: "cascade" }),
});
