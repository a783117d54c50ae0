/**
 * Before a variant is measured it has to show that it does the work of its case: a proxy that skips a header
 * edit or the limit would win unfairly.
 */
import type { Target } from "./load/wrk.ts";

export const POLICY_HEADERS = { apikey: "bench-key-1", "X-Bench-Secret": "for nobody upstream" };

type Work = "plain" | "policy";

/** Throws one sentence that names what the variant did not do. */
export async function prove(work: Work, target: Target, mark?: string): Promise<void> {
  const origin = `http://127.0.0.1:${target.port}`;
  const get = async (path: string, headers: Record<string, string>) => {
    const answer = await fetch(origin + path, { headers: { ...headers, connection: "close" } });
    return { status: answer.status, headers: answer.headers, body: await answer.text() };
  };
  const expect = (what: string, seen: unknown, wanted: unknown) => {
    if (seen !== wanted) throw new Error(`${what}: expected ${wanted}, got ${seen}`);
  };

  const measured = await get(target.path, target.headers);
  expect(`status of ${target.path}`, measured.status, 200);

  const proof = await get("/proof", { ...POLICY_HEADERS });
  expect("status of /proof", proof.status, 200);
  if (work === "plain") {
    expect(
      "what the upstream saw",
      proof.body,
      "consumer= added= secret=for nobody upstream for=127.0.0.1 proto=http",
    );
    expect("upstream's response header", proof.headers.get("x-bench-internal"), "upstream-7");
    return;
  }

  expect(
    "what the upstream saw",
    proof.body,
    "consumer=bench-consumer added=yes secret= for=127.0.0.1 proto=http",
  );
  expect("removed response header", proof.headers.get("x-bench-internal"), null);
  expect("added response header", proof.headers.get("x-bench-response"), "yes");
  for (const name of ["ratelimit-limit", "x-ratelimit-limit-minute"]) {
    expect(name, proof.headers.get(name), "1000000000");
  }
  const next = await get("/proof", { ...POLICY_HEADERS });
  for (const name of ["ratelimit-remaining", "x-ratelimit-remaining-minute"]) {
    const [before, after] = [Number(proof.headers.get(name)), Number(next.headers.get(name))];
    // Equal at most when a new minute began between the two.
    if (!(before > 0 && after !== before))
      throw new Error(`${name} does not count: ${before}, then ${after}`);
  }
  const reset = Number(proof.headers.get("ratelimit-reset"));
  if (!(reset >= 1 && reset <= 60)) throw new Error(`ratelimit-reset is ${reset}, not 1 to 60 s`);
  expect("status without a key", (await get("/proof", {})).status, 401);
  expect("status with a wrong key", (await get("/proof", { apikey: "wrong" })).status, 401);
  if (mark !== undefined && !proof.headers.has(mark))
    throw new Error(`the guest's header ${mark} is missing`);
}
