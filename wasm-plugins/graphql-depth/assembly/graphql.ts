/**
 * A GraphQL document as far as its size goes: how deep its operations are, and how many fields they have, with
 * fragments where they are spread (GraphQL, October 2021, section 2). Arguments and directives are passed over.
 */
// @ts-nocheck AssemblyScript, not TypeScript
import { unit } from "@gatehouse/sdk/assemblyscript";

/** Of selection sets in the text. Those of fragments are added up later. */
const MAX_NESTING = 200;
const TOO_MANY = 1 << 28;

class Definition {
  depth: i32 = 0;
  fields: i32 = 0;
  /** Names of the fragments that it spreads, and how deep the set is in which it does. */
  spreads: string[] = [];
  levels: i32[] = [];
  /** 0 before its fragments are added up, 1 while that is done, 2 after it. */
  state: i32 = 0;
}

export class Document {
  /** Empty if nothing is wrong. */
  problem: string = "";
  fields: i32 = 0;
  private at: i32 = 0;
  private readonly operations: Definition[] = [];
  private readonly fragments: Map<string, Definition> = new Map();

  constructor(
    private readonly text: string,
    private readonly maxDepth: i32,
  ) {
    if (!this.read() && this.problem == "") this.problem = "The document does not parse";
    for (let i = 0; i < this.operations.length && this.problem == ""; i++) {
      const operation = this.operations[i];
      this.addUp(operation);
      this.fields = min(this.fields + operation.fields, TOO_MANY);
      if (operation.depth > maxDepth && this.problem == "") this.problem = "Deeper than " + maxDepth.toString();
    }
  }

  private read(): bool {
    while (!this.isAtEnd()) {
      const definition = new Definition();
      if (this.peek() == 0x7b) this.operations.push(definition);
      else {
        const word = this.name();
        if (word == "fragment") {
          const name = this.name();
          if (name == "" || name == "on" || this.fragments.has(name)) return false;
          this.fragments.set(name, definition);
        } else if (word == "query" || word == "mutation" || word == "subscription") this.operations.push(definition);
        else return false;
        // A name, variables, a type condition, directives.
        while (!this.isAtEnd() && this.peek() != 0x7b) if (!this.passOver()) return false;
      }
      if (!this.selectionSet(definition, 1, 0)) return false;
    }
    return true;
  }

  /** `level` is the depth of the fields in it; `nesting` counts inline fragments too. */
  private selectionSet(definition: Definition, level: i32, nesting: i32): bool {
    if (nesting > MAX_NESTING) {
      this.problem = "Deeper than " + this.maxDepth.toString();
      return false;
    }
    if (!this.take(0x7b)) return false;
    while (!this.take(0x7d)) {
      if (this.isAtEnd()) return false;
      if (this.text.startsWith("...", this.at)) {
        this.at += 3;
        if (!this.spread(definition, level, nesting)) return false;
        continue;
      }
      if (this.name() == "") return false;
      if (this.take(0x3a) && this.name() == "") return false;
      definition.fields++;
      definition.depth = max(definition.depth, level);
      if (!this.argumentsAndDirectives()) return false;
      if (this.peek() == 0x7b && !this.selectionSet(definition, level + 1, nesting + 1)) return false;
    }
    return true;
  }

  private spread(definition: Definition, level: i32, nesting: i32): bool {
    const name = this.name();
    if (name != "" && name != "on") {
      definition.spreads.push(name);
      definition.levels.push(level);
      return this.argumentsAndDirectives();
    }
    if (name == "on" && this.name() == "") return false;
    return this.argumentsAndDirectives() && this.selectionSet(definition, level, nesting + 1);
  }

  private argumentsAndDirectives(): bool {
    while (this.peek() == 0x28 || this.peek() == 0x40) {
      const isSound = this.take(0x40) ? this.name() != "" : this.passOver();
      if (!isSound) return false;
    }
    return true;
  }

  /** One token, or everything between two brackets. */
  private passOver(): bool {
    let depth = 0;
    do {
      if (this.isAtEnd()) return false;
      const c = this.text.charCodeAt(this.at);
      if (c == 0x22) {
        if (!this.passString()) return false;
        continue;
      }
      if (c == 0x28 || c == 0x5b || c == 0x7b) depth++;
      else if (c == 0x29 || c == 0x5d || c == 0x7d) depth--;
      if (depth < 0) return false;
      this.at++;
    } while (depth > 0);
    return true;
  }

  private passString(): bool {
    const text = this.text;
    const isBlock = text.startsWith('"""', this.at);
    let at = this.at + (isBlock ? 3 : 1);
    while (at < text.length) {
      const c = unit(text, at);
      if (c == 0x22) {
        const isEnd = !isBlock || text.startsWith('"""', at);
        at += isBlock && isEnd ? 3 : 1;
        this.at = at;
        if (isEnd) return true;
      } else if (c == 0x5c) at += isBlock ? (text.startsWith('\\"""', at) ? 4 : 1) : 2;
      else if (!isBlock && (c == 0x0a || c == 0x0d)) return false;
      else at++;
    }
    return false;
  }

  /** Adds what the fragments of a definition hold, each of which is measured once. */
  private addUp(definition: Definition): void {
    definition.state = 1;
    for (let i = 0; i < definition.spreads.length && this.problem == ""; i++) {
      const name = definition.spreads[i];
      if (!this.fragments.has(name)) {
        this.problem = "There is no fragment " + name;
        return;
      }
      const fragment = this.fragments.get(name);
      if (fragment.state == 1) {
        this.problem = "Fragment " + name + " spreads itself";
        return;
      }
      if (fragment.state == 0) this.addUp(fragment);
      definition.depth = max(definition.depth, definition.levels[i] - 1 + fragment.depth);
      definition.fields = min(definition.fields + fragment.fields, TOO_MANY);
    }
    definition.state = 2;
  }

  private take(sign: i32): bool {
    if (this.peek() != sign) return false;
    this.at++;
    return true;
  }

  /** The next sign that says something; -1 at the end. */
  private peek(): i32 {
    return this.isAtEnd() ? -1 : this.text.charCodeAt(this.at);
  }

  private name(): string {
    if (this.isAtEnd()) return "";
    const from = this.at;
    while (this.at < this.text.length && isOfName(this.text.charCodeAt(this.at))) this.at++;
    return this.text.substring(from, this.at);
  }

  /** Passes over white space, commas and comments. */
  private isAtEnd(): bool {
    const text = this.text;
    let at = this.at;
    let inComment = false;
    for (; at < text.length; at++) {
      const c = unit(text, at);
      if (c == 0x23) inComment = true;
      else if (c == 0x0a || c == 0x0d) inComment = false;
      else if (!inComment && c != 0x20 && c != 0x09 && c != 0x2c && c != 0xfeff) break;
    }
    this.at = at;
    return at == text.length;
  }
}

function isOfName(c: i32): bool {
  const lower = c | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || (c >= 0x30 && c <= 0x39) || c == 0x5f;
}
