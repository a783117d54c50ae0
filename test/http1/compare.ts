/** The rule that both parsers are held to, as one function. */
import { METHODS } from "node:http";
import type { Message, Reading } from "./harness.ts";
import type { NodeReading } from "./oracle.ts";

/**
 * What Node refuses is refused; what both accept is framed identically. The codec may refuse more. One thing alone
 * it takes that Node does not: a method that Node has no name for, since RFC 9110 section 9.1 allows any token.
 * @param ended whether the connection has ended: then an unfinished message is as lost as a refused one.
 * @returns what is wrong, or null.
 */
export function disagreement(ours: Reading, node: NodeReading, ended = false): string | null {
  for (const [i, mine] of ours.messages.entries()) {
    const other = node.messages[i];
    if (other === undefined)
      return node.deaf || unnamed(mine, node) ? null : `message ${i} was accepted by the codec alone`;
    const difference = between(mine, other, node.deaf);
    if (difference !== null) return `message ${i}: ${difference}`;
  }
  if (node.deaf || ours.end === "refused" || ours.end === "closed") return null;
  if (node.messages.length > ours.messages.length)
    return `Node read ${node.messages.length} messages, the codec ${ours.messages.length}`;
  if (ended && node.end === "refused") return null;
  if (ours.partial !== null && unnamed(ours.partial, node)) return null;
  if (node.end === "refused") return "Node refused what the codec did not";
  if (ours.partial !== null) {
    if (node.partial === null) return "the codec accepted a head that Node did not";
    const difference = between(ours.partial, node.partial, false);
    if (difference !== null) return `unfinished message: ${difference}`;
  } else if (node.partial !== null) return "Node accepted a head that the codec did not";
  return null;
}

function unnamed(mine: Message, node: NodeReading): boolean {
  return node.end === "refused" && !METHODS.includes(mine.line.split(" ", 1)[0] as string);
}

function between(mine: Message, other: Message, deaf: boolean): string | null {
  if (mine.line !== other.line) return `start line ${show(mine.line)} and ${show(other.line)}`;
  if (mine.minor !== other.minor) return `minor version ${mine.minor} and ${other.minor}`;
  if (show(mine.fields) !== show(other.fields))
    return `fields ${show(mine.fields)} and ${show(other.fields)}`;
  if (mine.body !== other.body) return `body ${show(mine.body)} and ${show(other.body)}`;
  if (show(mine.trailers) !== show(other.trailers))
    return `trailers ${show(mine.trailers)} and ${show(other.trailers)}`;
  // The codec may close where Node would keep; the other way round, Node would call the next message an error.
  if (mine.keepAlive && !other.keepAlive && !deaf) return "the codec keeps a connection that Node closes";
  return null;
}

/** Whether two readings of the same bytes are the same. */
export function same(a: Reading, b: Reading): boolean {
  return show(a) === show(b);
}

export function show(value: unknown): string {
  return JSON.stringify(value);
}
