/**
 * The CPU time that a workspace's guests may use: so much a second over all its cordons, filled up continuously,
 * with a reserve for bursts. What is used is what the kernel says of the processes (`/proc/PID/stat`), whatever
 * they say themselves. The main thread keeps the accounts; data threads read one number for each call.
 *
 * A workspace that has used up its budget is refused by itself. Where all workspaces together want more than
 * guests may have of the machine, each gets the same share, and what one leaves the others take: who asks for
 * less than its share does not notice.
 */

/** What one workspace may use. Infinity for no bound. */
export interface CpuAllowance {
  /** Milliseconds of CPU time in each second, in the long run. */
  readonly msPerSecond: number;
  /** Milliseconds that it may use at once after having used none. */
  readonly burstMs: number;
}

export const UNBOUNDED: CpuAllowance = {
  msPerSecond: Number.POSITIVE_INFINITY,
  burstMs: Number.POSITIVE_INFINITY,
};

/** Workspaces that can have had a cordon, those aside that are no more. */
const MAX_WORKSPACES = 65_536;
/** How far below nothing an account may be before calls that run are cut off as well. */
export const MAX_DEBT_MS = 500;
/** A longer wait is not asked of anybody: what is owed beyond it is forgiven. */
const LONGEST_WAIT_MS = 30_000;
/** How often demand is measured and shares are made from it. */
const SHARE_MS = 100;
/** Demand is an average over about so long: what starting a cordon takes is no demand yet. */
const DEMAND_MS = 1000;
/** A share that was small grows by no more than twice in this time: who pauses does not find a full account. */
const RELIEF_MS = 5000;

/** `performance.now()` of each thread begins with the thread; this is one clock for all of them, milliseconds. */
const OFFSET = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();
export function sharedNow(): number {
  return performance.now() + OFFSET;
}

/** A workspace's account as it is told of. */
export interface CpuAccount {
  readonly workspace: string;
  /** CPU time of all its cordons since the gateway started. */
  readonly usedMs: number;
  /** How often it has used up its budget. */
  readonly exhausted: number;
  /** What is left; below nothing while its calls are refused. Infinity without a bound. */
  readonly leftMs: number;
}

interface Account {
  readonly workspace: string;
  readonly slot: number;
  leftMs: number;
  /** When `leftMs` was true, by `sharedNow()`. */
  at: number;
  usedMs: number;
  exhausted: number;
  /** Used since demand was last measured, and then by the second. */
  recentMs: number;
  demand: number;
  blocked: boolean;
}

export interface CpuBudgetsOptions {
  readonly allowanceOf: (workspace: string) => CpuAllowance;
  /** Milliseconds a second that all bounded workspaces may use together. */
  readonly totalMsPerSecond: number;
  /** A workspace has an account now, in this slot of the shared numbers. */
  readonly onOpened: (workspace: string, slot: number) => void;
  /** A workspace has just used up its budget. */
  readonly onExhausted: (workspace: string) => void;
}

/** The accounts of all workspaces, on the main thread. */
export class CpuBudgets {
  readonly buffer = new SharedArrayBuffer(MAX_WORKSPACES * Int32Array.BYTES_PER_ELEMENT);
  readonly #until = new Int32Array(this.buffer);
  readonly #options: CpuBudgetsOptions;
  readonly #accounts = new Map<string, Account>();
  /** Slots of accounts that were closed. */
  readonly #free: number[] = [];
  #sharedAt = sharedNow();
  /** Milliseconds a second that each may have at most, where there is not enough for all. */
  #share = Number.POSITIVE_INFINITY;

  constructor(options: CpuBudgetsOptions) {
    this.#options = options;
  }

  /** Opens a workspace's account, full, if it has none. @throws {Error} if there are too many. */
  open(workspace: string): void {
    if (this.#accounts.has(workspace)) return;
    const slot = this.#free.pop() ?? this.#accounts.size;
    if (slot >= MAX_WORKSPACES)
      throw new Error(`${MAX_WORKSPACES} workspaces have run guests since the gateway started; restart it`);
    this.#accounts.set(workspace, {
      workspace,
      slot,
      leftMs: this.#allowance(workspace).burstMs,
      at: sharedNow(),
      usedMs: 0,
      exhausted: 0,
      recentMs: 0,
      demand: 0,
      blocked: false,
    });
    this.#options.onOpened(workspace, slot);
  }

  /** The workspace is no more. Threads that still know its slot have no calls for it. */
  close(workspace: string): void {
    const account = this.#accounts.get(workspace);
    if (account === undefined) return;
    this.#accounts.delete(workspace);
    Atomics.store(this.#until, account.slot, 0);
    this.#free.push(account.slot);
  }

  /** Every account's slot, for a thread that has just begun. */
  *slots(): Iterable<{ workspace: string; slot: number }> {
    for (const { workspace, slot } of this.#accounts.values()) yield { workspace, slot };
  }

  accounts(now = sharedNow()): CpuAccount[] {
    return Array.from(this.#accounts.values(), (account) => {
      this.#fill(account, now);
      const { workspace, usedMs, exhausted, leftMs } = account;
      return { workspace, usedMs, exhausted, leftMs };
    });
  }

  /**
   * Takes what a workspace's cordons have used since they were last looked at.
   * @returns whether it owes so much that what it runs must be stopped.
   */
  charge(workspace: string, usedMs: number, now = sharedNow()): boolean {
    const account = this.#accounts.get(workspace);
    if (account === undefined) return false;
    this.#fill(account, now);
    account.usedMs += usedMs;
    account.recentMs += usedMs;
    account.leftMs -= usedMs;
    if (now - this.#sharedAt >= SHARE_MS) this.#divide(now);
    this.#tell(account, now);
    return account.leftMs < -MAX_DEBT_MS;
  }

  /** Allowances have been moved: who was refused by the old ones goes by the new ones from now on. */
  refresh(now = sharedNow()): void {
    for (const account of this.#accounts.values()) {
      this.#fill(account, now);
      this.#tell(account, now);
    }
  }

  #allowance(workspace: string): CpuAllowance {
    return this.#options.allowanceOf(workspace);
  }

  /**
   * The rate in force: its own, or the share where there is not enough. Who takes more than the share has its
   * reserve cut down with the rate; who takes less keeps it.
   */
  #inForce({ workspace, demand }: Account): CpuAllowance {
    const own = this.#allowance(workspace);
    if (own.msPerSecond === Number.POSITIVE_INFINITY) return UNBOUNDED;
    if (this.#share >= own.msPerSecond) return own;
    const burstMs = demand > this.#share ? (own.burstMs * this.#share) / own.msPerSecond : own.burstMs;
    return { msPerSecond: this.#share, burstMs };
  }

  #fill(account: Account, now: number): void {
    const { msPerSecond, burstMs } = this.#inForce(account);
    const passed = Math.max(0, now - account.at);
    account.at = now;
    if (burstMs === Number.POSITIVE_INFINITY) account.leftMs = burstMs;
    else {
      const floor = (-msPerSecond * LONGEST_WAIT_MS) / 1000;
      const left = Number.isFinite(account.leftMs) ? account.leftMs : burstMs;
      account.leftMs = Math.min(burstMs, Math.max(floor, left) + (passed * msPerSecond) / 1000);
    }
  }

  /** Writes for all threads until when the workspace's calls are refused; 0 for not at all. */
  #tell(account: Account, now: number): void {
    const blocked = account.leftMs < 0;
    const waitMs = blocked ? waitFor(account.leftMs, this.#inForce(account)) : 0;
    Atomics.store(this.#until, account.slot, blocked ? Math.ceil(now + waitMs) | 0 || 1 : 0);
    if (blocked && !account.blocked) {
      account.exhausted++;
      this.#options.onExhausted(account.workspace);
    }
    account.blocked = blocked;
  }

  /**
   * Shares out what guests may have of the machine. Who is refused would take all that it is allowed; who is not
   * wants what it takes. The share is the level at which all wants, cut off there, make up the total.
   */
  #divide(now: number): void {
    const passed = now - this.#sharedAt;
    this.#sharedAt = now;
    const weight = 1 - Math.exp(-passed / DEMAND_MS);
    const wants: number[] = [];
    for (const account of this.#accounts.values()) {
      const { msPerSecond } = this.#allowance(account.workspace);
      account.demand += weight * ((account.recentMs * 1000) / passed - account.demand);
      account.recentMs = 0;
      if (msPerSecond === Number.POSITIVE_INFINITY) continue;
      wants.push(account.blocked ? msPerSecond : Math.min(msPerSecond, account.demand));
    }
    const share = fairShare(wants, this.#options.totalMsPerSecond);
    const relieved = this.#share * 2 ** (passed / RELIEF_MS);
    this.#share = Math.min(share, relieved);
    if (this.#share >= this.#options.totalMsPerSecond) this.#share = Number.POSITIVE_INFINITY;
    // Nobody charges one that lies idle: it is filled up, and told of, here.
    for (const account of this.#accounts.values()) {
      this.#fill(account, now);
      if (account.blocked) this.#tell(account, now);
    }
  }
}

function waitFor(leftMs: number, { msPerSecond }: CpuAllowance): number {
  return Math.min((-leftMs * 1000) / msPerSecond, LONGEST_WAIT_MS);
}

/** The level at which `wants`, cut off there, sum up to `total`; Infinity if they do not come to it. */
export function fairShare(wants: readonly number[], total: number): number {
  const sorted = [...wants].sort((a, b) => a - b);
  let left = total;
  for (let i = 0; i < sorted.length; i++) {
    const want = sorted[i] as number;
    const level = left / (sorted.length - i);
    if (want > level) return level;
    left -= want;
  }
  return Number.POSITIVE_INFINITY;
}

/** A data thread's look at the accounts. Hot: one atomic read for each call. */
export class BudgetGate {
  readonly #until: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#until = new Int32Array(buffer);
  }

  /** Milliseconds until calls of the workspace in this slot are let in; 0 for now. */
  waitMs(slot: number): number {
    const until = Atomics.load(this.#until, slot);
    if (until === 0) return 0;
    // Both count milliseconds modulo 2 to the 32nd.
    const left = (until - sharedNow()) | 0;
    return left > 0 && left <= LONGEST_WAIT_MS + 1 ? left : 0;
  }
}
