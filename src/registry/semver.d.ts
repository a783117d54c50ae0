/** What is used of the `semver` package, which brings no types of its own. */
declare module "semver/classes/semver.js" {
  export default class SemVer {
    constructor(version: string);
    readonly version: string;
    readonly prerelease: readonly (string | number)[];
    compare(other: SemVer): -1 | 0 | 1;
    /** By build metadata alone. */
    compareBuild(other: SemVer): -1 | 0 | 1;
  }
}

declare module "semver/classes/range.js" {
  import type SemVer from "semver/classes/semver.js";
  export default class Range {
    constructor(range: string);
    test(version: SemVer): boolean;
  }
}
