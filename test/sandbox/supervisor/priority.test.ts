/** Where a cordon stands on a contended core: far behind the gateway until it serves, and again while it burns. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { Priorities, type Runner } from "../../../src/sandbox/supervisor/priority.ts";
import { begins, comesBack, place } from "../../../src/sandbox/supervisor/scheduling.ts";

const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill("SIGKILL");
});

/** Says that it is up, and sleeps. */
const SLEEPER = `console.log("up"); setInterval(() => {}, 1e6);`;

/** A process that began as a cordon does, and what it is said to have used. */
class Sleeper implements Runner {
  ready = true;
  startedAt = 0;
  awaitedSince = 0;
  killedAt = 0;
  lane: object | null = {};
  suspect = false;
  wanted = 0;
  waited = 0;
  calls = 0;
  /** Who reaps it. */
  reaper: Sleeper | null = null;
  readonly pid: number;

  constructor(pid: number) {
    this.pid = pid;
  }

  static async start(has: Partial<Sleeper> = {}): Promise<Sleeper> {
    const [file, ...args] = begins({ file: process.execPath, args: ["-e", SLEEPER], cwd: "/" });
    const child = spawn(file as string, args, { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    await once(child.stdout as NonNullable<typeof child.stdout>, "data");
    return Object.assign(new Sleeper(child.pid as number), has);
  }

  pids(): readonly number[] {
    return this.reaper === null ? [this.pid] : [this.reaper.pid, this.pid];
  }

  wantedMs(): number {
    return this.wanted;
  }

  waitedMs(): number {
    return this.waited;
  }

  /** Where each of its threads stands, by proc(5): the 41st field of stat is the policy, the 19th the nice value. */
  get standing(): string {
    const [, , ...rest] = readFileSync(`/proc/${this.pid}/task/${this.pid}/stat`, "latin1").split(" ");
    return rest[38] === "5" ? "back" : `nice ${rest[16]}`;
  }
}

/** A clock that goes on by itself while a cordon uses what it is told to. */
class Course {
  now = 1_000_000;
  readonly priorities: Priorities<Sleeper>;
  readonly #all: readonly Sleeper[];

  constructor(all: readonly Sleeper[], most = 1) {
    this.#all = all;
    this.priorities = new Priorities(most);
    this.#look();
  }

  /** Milliseconds of each that passes, by what each of the cordons gets and waits for of it, and is sent. */
  pass(ms: number, of: (cordon: Sleeper) => { ran?: number; waited?: number; calls?: number } = () => ({})) {
    for (let left = ms; left > 0; left -= 5) {
      this.now += 5;
      for (const cordon of this.#all) {
        const { ran = 0, waited = 0, calls = 0 } = of(cordon);
        cordon.wanted += 5 * (ran + waited);
        cordon.waited += 5 * waited;
        cordon.calls += 5 * calls;
      }
      this.#look();
    }
  }

  #look(): void {
    for (const cordon of this.#all) this.priorities.look(cordon, cordon.calls, this.now);
    this.priorities.looked(this.now);
  }
}

const AT_EASE = { ran: 0.3, calls: 0.05 };
const BURNS = { ran: 1 };
const NEAR = "nice 5";

test("whoever may bring a process near again begins far back; who may not begins a little behind", async () => {
  const cordon = await Sleeper.start();
  assert.equal(cordon.standing, comesBack ? "back" : NEAR);
  assert.equal(comesBack, process.getuid?.() === 0);
});

// Who may not raise a priority leaves everybody where they are.
if (comesBack) {
  test("a cordon comes near when it serves a workspace, goes far back while it burns, and returns", async () => {
    const cordon = await Sleeper.start();
    const course = new Course([cordon]);
    assert.equal(cordon.standing, NEAR);
    course.pass(205, () => BURNS);
    assert.equal(cordon.standing, "nice 19");
    course.pass(500, () => AT_EASE);
    assert.equal(cordon.standing, "nice 19", "it takes a second to be believed");
    course.pass(1600, () => AT_EASE);
    assert.equal(cordon.standing, NEAR);
    course.pass(500, () => ({ ran: 1, calls: 0.2 }));
    assert.equal(cordon.standing, NEAR, "who is busy with many calls does not burn");
    course.pass(2000, () => ({ ran: 0.1, waited: 0.9, calls: 0.02 }));
    assert.equal(cordon.standing, NEAR, "nor who waits for a core that everybody wants");
  });

  test("who reaps a cordon stays behind it, that is up", async () => {
    const cordon = await Sleeper.start();
    cordon.reaper = await Sleeper.start();
    new Course([cordon]);
    assert.equal(cordon.standing, NEAR);
    assert.equal(cordon.reaper.standing, "nice 19");
  });

  test("a cordon whose workspace's cordons die comes near when it has served at ease", async () => {
    const cordon = await Sleeper.start({ suspect: true });
    const course = new Course([cordon]);
    course.pass(500, () => AT_EASE);
    assert.equal(cordon.standing, "back");
    course.pass(600, () => AT_EASE);
    assert.equal(cordon.standing, NEAR);
  });

  test("a spare stays far back: what serves nobody has shown nothing", async () => {
    const cordon = await Sleeper.start({ lane: null });
    const course = new Course([cordon]);
    course.pass(2000, () => AT_EASE);
    assert.equal(cordon.standing, "back");
  });

  test("starts that take long are carried, one after the other, those whose cordons die later", async () => {
    const startedAt = 1_000_000;
    const starting = { ready: false, lane: null, startedAt, awaitedSince: startedAt };
    const [suspect, first, second] = await Promise.all([
      Sleeper.start({ ...starting, suspect: true }),
      Sleeper.start(starting),
      Sleeper.start(starting),
    ]);
    const all = [suspect, first, second] as const;
    const standing = () => all.map((cordon) => cordon.standing);
    const course = new Course(all);
    course.pass(200);
    assert.deepEqual(standing(), ["back", "back", "back"], "a start gets what is left at first");
    course.pass(100);
    assert.deepEqual(standing(), ["back", NEAR, "back"]);
    course.pass(400);
    assert.deepEqual(standing(), ["back", NEAR, "back"], "until it is up");
    first.ready = true;
    course.pass(105);
    assert.deepEqual(standing(), ["back", "back", NEAR]);
    second.ready = true;
    course.pass(105);
    assert.deepEqual(standing(), ["back", "back", "back"], "it is too early for the one whose cordons die");
    course.pass(200);
    assert.deepEqual(standing(), [NEAR, "back", "back"]);
  });

  test("a start that calls have waited for is carried at once, whoever died before, as many as there are cores", async () => {
    const startedAt = 1_000_000;
    const starting = { ready: false, lane: null, suspect: true, startedAt };
    const all = await Promise.all([
      Sleeper.start({ ...starting, awaitedSince: startedAt - 600 }),
      ...Array.from({ length: 3 }, () => Sleeper.start({ ...starting, awaitedSince: startedAt - 2000 })),
    ]);
    const standing = () => all.map((cordon) => cordon.standing);
    const course = new Course(all, 2);
    assert.deepEqual(standing(), ["back", NEAR, NEAR, "back"]);
    for (const cordon of all) cordon.ready ||= cordon.standing === NEAR;
    course.pass(200);
    assert.deepEqual(standing(), ["back", "back", "back", NEAR], "up, they have to show what they are like");
    course.pass(200);
    assert.deepEqual(standing(), [NEAR, "back", "back", NEAR]);
  });

  test("an end that takes long is carried", async () => {
    const cordon = await Sleeper.start({ suspect: true });
    const course = new Course([cordon]);
    cordon.killedAt = course.now;
    course.pass(200, () => BURNS);
    assert.equal(cordon.standing, "back");
    course.pass(100, () => BURNS);
    assert.equal(cordon.standing, NEAR);
  });

  test("those that burn are not left with nothing: where they get none of the cores, one is carried", async () => {
    const [one, other] = await Promise.all([
      Sleeper.start({ suspect: true }),
      Sleeper.start({ suspect: true }),
    ]);
    const course = new Course([one, other]);
    const standing = () => [one.standing, other.standing];
    course.pass(3000, () => ({ ran: 0.02, waited: 0.98 }));
    assert.deepEqual(standing(), ["back", "back"], "together they have a twentieth");
    let carried = 0;
    course.pass(3000, () => {
      carried += standing().filter((at) => at === NEAR).length;
      return { waited: 1 };
    });
    assert.ok(carried > 0);
  });
}

test("a process that has ended is placed nowhere", async () => {
  const cordon = await Sleeper.start();
  const child = children.at(-1) as ChildProcess;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
  place(cordon.pids()[0] as number, "near");
});
