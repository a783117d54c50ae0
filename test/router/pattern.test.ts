/** Patterns in routes: which are refused and with what words, and what a prefilter may assume of the rest. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  HeaderPattern,
  literalPrefix,
  PathPattern,
  PatternError,
  pathText,
} from "../../src/router/pattern.ts";

describe("a pattern that cannot run in linear time or bounded memory is refused", () => {
  const rows: [pattern: string, message: RegExp][] = [
    ["/a(?=b)", /look-ahead "\(\?=" cannot be used.*linear time/],
    ["/a(?!b)", /look-ahead "\(\?!"/],
    ["/(?<=a)b", /look-behind "\(\?<="/],
    ["/(?<!a)b", /look-behind "\(\?<!"/],
    ["/(a)\\1", /back-reference "\\1"/],
    ["/(?<n>a)\\k<n>", /back-reference "\\k"/],
    ["/(?P<n>a)(?P=n)", /back-reference "\(\?P="/],
    ["/(", /not a valid regular expression/],
    ["/a)|(/b", /not a valid regular expression/],
    ["/[z-a]", /not a valid regular expression/],
    ["/(?<n>a)(?<n>b)", /not a valid regular expression/],
    ["/a{5000}", /not a valid regular expression/],
    ["/((a{99}){99}){99}", /regular expression/],
    ["/[ab]{700}", /too large once its repetitions are written out \(\d+ steps; at most 600\)/],
    ["/(?:[a-z]{30}){30}", /too large once its repetitions are written out/],
    [`/${"a".repeat(2_048)}`, /2049 characters; at most 2048/],
    [`/${"(".repeat(1_500)}`, /not a valid regular expression/],
  ];
  for (const [pattern, message] of rows) {
    test(pattern.slice(0, 40), () => {
      const refused = (error: unknown) => error instanceof PatternError && message.test(error.message);
      assert.throws(() => new PathPattern(pattern), refused);
      if (!pattern.includes("|")) assert.throws(() => new HeaderPattern(pattern), refused);
    });
  }

  test("what looks like one of them in an escape or a name is not", () => {
    for (const pattern of ["/\\(\\?=x", "/[a-z]{1,255}$", "/(?<name>a)", "/(?P<name>a)", "/\\\\1"])
      new PathPattern(pattern);
  });
});

describe("patterns that stop a backtracking engine", () => {
  const rows: [pattern: string, path: string, matches: boolean][] = [
    ["/(a+)+$", `/${"a".repeat(8_000)}!`, false],
    ["/(a|a)*b", `/${"a".repeat(8_000)}`, false],
    ["/(.*)*x$", `/${"ab".repeat(4_000)}`, false],
    ["/([a-z]+[0-9]*)+z$", `/${"a1".repeat(4_000)}z`, true],
    [`/${".*".repeat(50)}z`, `/${"y".repeat(8_000)}`, false],
  ];
  for (const [pattern, path, matches] of rows) {
    test(pattern.slice(0, 30), () => assert.equal(new PathPattern(pattern).test(path), matches));
  }

  test("a pattern with many states answers right after its memory is full", () => {
    const pattern = new PathPattern("/[ab]*a[ab]{12}$");
    for (let i = 0; i < 300; i++) {
      const tail = (i * 2_654_435_761).toString(2).replaceAll("0", "a").replaceAll("1", "b");
      const path = `/${tail}${tail}`;
      assert.equal(pattern.test(path), path.at(-13) === "a", path);
    }
  });
});

describe("the literal text that a pattern starts with", () => {
  const rows: [pattern: string, prefix: string][] = [
    ["/users/\\d+", "/users/"],
    ["/a\\.b\\-c/", "/a.b-c/"],
    ["/a(b|c)", "/a"],
    ["/a[|]b", "/a"],
    ["/a[]|]b", "/a"],
    ["/a[^]|]b", "/a"],
    ["/a[[:alpha:]|]b", "/a"],
    ["/a\\|b", "/a|b"],
    ["/a|/b", ""],
    ["/(a)|/b", ""],
    ["/ab?", "/a"],
    ["/ab*c", "/a"],
    ["/ab+c", "/a"],
    ["/ab{0,2}c", "/a"],
    ["/a\\.?b", "/a"],
    ["/a.b", "/a"],
    ["/a$", "/a"],
    ["/a\\bc", "/a"],
    ["/a\\x41", "/a"],
    ["/(?i)abc", "/"],
    ["/ab(?i)cd", "/ab"],
    ["/caf\u00e9", "/caf"],
    ["/a\\Qb|c\\E", ""],
    ["/a\\", "/a"],
  ];
  for (const [pattern, prefix] of rows) test(pattern, () => assert.equal(literalPrefix(pattern), prefix));
});

test("a path is read as UTF-8, or not at all", () => {
  assert.equal(pathText("/plain"), "/plain");
  assert.equal(pathText("/\xc3\xa9"), "/é");
  assert.equal(pathText("/\xc3"), null);
});
