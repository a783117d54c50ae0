/**
 * What a document is put upon where it is not the whole configuration: the entities in force, some of which it stands
 * for, and others that stay beside it.
 */
import type { EntityType } from "../entities/entities.ts";
import type { Entity, WorkspaceFacts } from "../entities/relations.ts";
import type { Draft, Scope } from "./draft.ts";

export interface Ground {
  /** The workspace that the document is for; null if it is for the gateway, and may have workspaces. */
  readonly home: WorkspaceFacts | null;
  /** Those in force. */
  workspaces(): readonly WorkspaceFacts[];
  /**
   * Gives drafts the ids of the entities in force that they stand for, and what those have that no document shows.
   * @param drafts those that are not workspaces. Edits them.
   * @param scopes the workspaces that the document has entities of.
   * @param soundValue a draft's own fields with defaults; null if they are not sound.
   * @returns the entities that stay, and why some cannot: the document does without what they refer to.
   */
  settle(
    drafts: readonly Draft[],
    scopes: readonly Scope[],
    soundValue: (draft: Draft) => Readonly<Record<string, unknown>> | null,
  ): {
    readonly staying: readonly { readonly type: EntityType; readonly entity: Entity }[];
    readonly stuck: readonly string[];
  };
}
