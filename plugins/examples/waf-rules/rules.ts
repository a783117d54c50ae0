/**
 * The rules: what common attacks look like once a value is decoded, in lower case and with single spaces
 * (normalize.ts). Each pattern's repetitions are bounded, so that no request takes long to judge.
 */

export const PLACES = ["path", "query", "headers", "body"] as const;
export type Place = (typeof PLACES)[number];

export interface Rule {
  readonly id: string;
  readonly what: string;
  readonly places: readonly Place[];
  readonly pattern: RegExp;
  /** Added to the request's score: 5 is enough to be refused by default, 3 is not alone. */
  readonly score: number;
}

const EVERYWHERE = PLACES;
const INPUT = ["path", "query", "body"] as const;
const VALUES = ["query", "body"] as const;

export const RULES: readonly Rule[] = [
  {
    id: "sql-union",
    what: "a second SELECT in an SQL statement",
    places: EVERYWHERE,
    pattern: /\bunion\b[ (]{1,4}(?:(?:all|distinct)\b[ (]{1,4})?select\b/,
    score: 5,
  },
  {
    id: "sql-tautology",
    what: "an SQL condition that is always true",
    places: EVERYWHERE,
    pattern: /['"] ?(?:\) ?){0,3}(?:or|and)\b ?(?:not )?['"(]{0,3}\w{1,32}['"]? ?(?:=|<|>|like\b|is\b)/,
    score: 5,
  },
  {
    id: "sql-statement",
    what: "an SQL statement behind another one",
    places: VALUES,
    pattern: /['"\d)] ?; ?(?:drop|alter|truncate|insert|update|delete|exec|shutdown)\b/,
    score: 5,
  },
  {
    id: "sql-delay",
    what: "an SQL function that waits",
    places: EVERYWHERE,
    pattern: /\b(?:(?:sleep|benchmark|pg_sleep)\(|waitfor delay\b)/,
    score: 5,
  },
  {
    id: "sql-comment",
    what: "a quote and an SQL comment that cuts the rest off",
    places: VALUES,
    pattern: /['"] ?(?:--|#)(?: |$)/m,
    score: 3,
  },
  {
    id: "html-element",
    what: "an HTML element that runs or loads something",
    places: EVERYWHERE,
    pattern: /<[ /]{0,2}(?:script|iframe|object|embed|applet|base|meta|svg|math)\b/,
    score: 5,
  },
  {
    id: "html-handler",
    what: "an HTML element with an event handler",
    places: EVERYWHERE,
    pattern: /<[a-z][^<>]{0,256}[ /"']on[a-z]{3,24} ?=/,
    score: 5,
  },
  {
    id: "script-url",
    what: "a URL that is a script",
    places: VALUES,
    pattern: /(?:^|[\s"'=(,])(?:javascript|vbscript) ?:/m,
    score: 5,
  },
  {
    id: "path-climb",
    what: "a path that climbs",
    places: INPUT,
    pattern: /(?:^|[\\/])\.\.(?:[\\/]|$)/m,
    score: 5,
  },
  {
    id: "system-file",
    what: "a file of the operating system",
    places: EVERYWHERE,
    pattern: /[\\/](?:etc[\\/](?:passwd|shadow|hosts)\b|proc[\\/]self\b|windows[\\/](?:win\.ini|system32)\b)/,
    score: 5,
  },
  {
    id: "hidden-file",
    what: "a file that was never meant to be served",
    places: ["path"],
    pattern: /\/\.(?:git|svn|hg|env|aws|ssh|htpasswd|htaccess)(?:[/.]|$)/,
    score: 5,
  },
  {
    id: "shell-command",
    what: "a command behind a shell's separator",
    places: VALUES,
    pattern:
      /(?:[;|&`]|\$\() ?(?:\/(?:usr\/)?s?bin\/)?(?:cat|ls|id|whoami|uname|wget|curl|nc|bash|sh|python3?|perl|ping|nslookup|powershell|cmd)(?: [-/\w.]|[;|`)]|$)/m,
    score: 5,
  },
  {
    id: "lookup",
    what: "a lookup that some loggers follow (JNDI)",
    places: EVERYWHERE,
    pattern: /\$\{ ?(?:jndi|lower|upper|env|sys|::-|\$\{)/,
    score: 5,
  },
  {
    id: "template",
    what: "an expression that some templates run",
    places: VALUES,
    pattern: /(?:\{\{|<%=?|#\{) ?(?:\d{1,8} ?\* ?\d|[\w.]{0,64}(?:__class__|constructor|getruntime))/,
    score: 5,
  },
  {
    id: "object-prototype",
    what: "a member that reaches a prototype",
    places: VALUES,
    pattern: /(?:^|[.[\]"'])(?:__proto__|constructor[.\]["']{1,3}prototype)(?:$|[.[\]"'])/m,
    score: 5,
  },
  {
    id: "nul",
    what: "a NUL, which ends a name in some languages",
    places: INPUT,
    pattern: /\0/,
    score: 5,
  },
  {
    id: "scanner",
    what: "a tool that looks for holes, by its own name",
    places: ["headers"],
    pattern: /\b(?:sqlmap|nikto|nessus|acunetix|masscan|dirbuster|gobuster|wpscan|nuclei|zgrab)\b/,
    score: 5,
  },
];
