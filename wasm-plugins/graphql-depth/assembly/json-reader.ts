/** Reads JSON of a client: strictly, and no deeper than it has to. Each method leaves the place behind what it took. */
// @ts-nocheck AssemblyScript, not TypeScript
import { unit } from "@gatehouse/sdk/assemblyscript";

const MAX_DEPTH = 100;

export class JsonReader {
  private at: i32 = 0;

  constructor(private readonly json: string) {}

  /** A sign such as `{`, after white space. */
  take(sign: i32): bool {
    this.space();
    if (this.at >= this.json.length || this.json.charCodeAt(this.at) != sign) return false;
    this.at++;
    return true;
  }

  word(word: string): bool {
    this.space();
    if (!this.json.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  isAtEnd(): bool {
    this.space();
    return this.at == this.json.length;
  }

  /** A string, its escapes resolved; null if none starts here. */
  text(): string | null {
    if (!this.take(0x22)) return null;
    const json = this.json;
    let out = "";
    let from = this.at;
    for (let at = from; at < json.length; at++) {
      const c = unit(json, at);
      if (c < 0x20) return null;
      if (c != 0x22 && c != 0x5c) continue;
      out += json.substring(from, at);
      this.at = at + 1;
      if (c == 0x22) return out;
      const escaped = this.escape();
      if (escaped < 0) return null;
      out += String.fromCharCode(escaped);
      from = this.at;
      at = from - 1;
    }
    return null;
  }

  /** Any value. */
  skip(depth: i32): bool {
    if (depth > MAX_DEPTH) return false;
    if (this.take(0x7b)) return this.skipMembers(depth);
    if (this.take(0x5b)) {
      if (this.take(0x5d)) return true;
      do {
        if (!this.skip(depth + 1)) return false;
      } while (this.take(0x2c));
      return this.take(0x5d);
    }
    if (this.word("true") || this.word("false") || this.word("null")) return true;
    const before = this.at;
    if (this.text() !== null) return true;
    this.at = before;
    return this.skipNumber();
  }

  private skipMembers(depth: i32): bool {
    if (this.take(0x7d)) return true;
    do {
      if (this.text() === null || !this.take(0x3a) || !this.skip(depth + 1)) return false;
    } while (this.take(0x2c));
    return this.take(0x7d);
  }

  private skipNumber(): bool {
    const from = this.at;
    while (this.at < this.json.length) {
      const c = this.json.charCodeAt(this.at);
      const isPart = (c >= 0x30 && c <= 0x39) || c == 0x2b || c == 0x2d || c == 0x2e || (c | 0x20) == 0x65;
      if (!isPart) break;
      this.at++;
    }
    return this.at > from;
  }

  private escape(): i32 {
    const json = this.json;
    if (this.at >= json.length) return -1;
    const c = json.charCodeAt(this.at++);
    if (c == 0x22 || c == 0x5c || c == 0x2f) return c;
    if (c == 0x6e) return 0x0a;
    if (c == 0x72) return 0x0d;
    if (c == 0x74) return 0x09;
    if (c == 0x62) return 0x08;
    if (c == 0x66) return 0x0c;
    if (c != 0x75 || this.at + 4 > json.length) return -1;
    let code = 0;
    for (let i = 0; i < 4; i++) {
      const digit = json.charCodeAt(this.at++);
      const lower = digit | 0x20;
      if (digit >= 0x30 && digit <= 0x39) code = (code << 4) | (digit - 0x30);
      else if (lower >= 0x61 && lower <= 0x66) code = (code << 4) | (lower - 0x61 + 10);
      else return -1;
    }
    return code;
  }

  private space(): void {
    while (this.at < this.json.length) {
      const c = this.json.charCodeAt(this.at);
      if (c != 0x20 && c != 0x0a && c != 0x0d && c != 0x09) return;
      this.at++;
    }
  }
}
