/** Settings of the PostgreSQL that a configuration may be kept in, by Kong's names. */
import { resolve } from "node:path";
import { boolean, integer, string } from "@gatehouse/sdk";
import { DAY_MS, plain, read } from "./setting.ts";

export const POSTGRES_SETTINGS = {
  pg_host: plain(
    string({
      default: "127.0.0.1",
      lenMax: 255,
      description:
        "The PostgreSQL server (12 or later), where `database` is `postgres`: a name, an address, or the directory of its " +
        "Unix socket. No pooler of transactions: the gateway listens for others' changes.",
    }),
  ),
  pg_port: plain(integer({ default: 5432, between: [1, 65_535], description: "Its port." })),
  pg_user: plain(string({ default: "kong", lenMax: 63, description: "Its user." })),
  pg_password: plain(
    string({
      lenMax: 1024,
      description:
        "The user's password. Better by `pg_password_file`, the environment or a settings file than on the command line, " +
        "which others can see.",
    }),
    { secret: true },
  ),
  pg_password_file: read(
    string({
      description:
        "Path of a file with the user's password, read at each connection: a password that changes needs no restart.",
    }),
    (path, { directory }) => path && resolve(directory, path),
  ),
  pg_database: plain(string({ default: "kong", lenMax: 63, description: "Its database, in UTF-8." })),
  pg_schema: plain(
    string({
      default: "gatehouse",
      match: "^[A-Za-z_][A-Za-z0-9_$]{0,62}$",
      description:
        "The schema of the gateway's tables, which `gatehouse migrations up` makes. Gateways that share a configuration " +
        "name the same one.",
    }),
  ),
  pg_ssl: plain(
    boolean({ default: false, description: "Whether it is spoken to by TLS, and not otherwise." }),
  ),
  pg_ssl_verify: plain(
    boolean({
      default: false,
      description:
        "Whether its certificate must be for `pg_host` and of an authority of `lua_ssl_trusted_certificate`. Without, " +
        "TLS keeps out who listens, and not who pretends to be the server.",
    }),
  ),
  pg_timeout: plain(
    integer({
      default: 5000,
      between: [100, DAY_MS],
      description: "Milliseconds for connecting, for each statement, and for waiting for another's lock.",
    }),
  ),
  pg_max_concurrent_queries: plain(
    integer({
      default: 0,
      between: [0, 1000],
      description:
        "Connections of this gateway for reads and writes, besides the one that listens; 0 for the default of 8.",
    }),
  ),
  pg_migrations: plain(
    string({
      default: "manual",
      oneOf: ["manual", "auto"],
      description:
        "Who brings the tables to the shape that this version needs: `gatehouse migrations up`, or each start (`auto`).",
    }),
  ),
} as const;
