/** What a soak may leave behind: nothing but what a gateway holds that has served for a while. */
import type { Size, SoakReport } from "./guests-soak.ts";

export const MIB = 1 << 20;
/** Sockets to the cordons of the moment, and to the store. */
const MORE_DESCRIPTORS = 32;

export interface Growth {
  readonly early: Size;
  readonly late: Size;
}

/** Medians of the second tenth of the calls, when all is warm, and of the last. */
export function growth(sizes: readonly Size[]): Growth {
  const last = sizes.at(-1)?.at ?? 0;
  const within = (from: number, to: number) => {
    const some = sizes.filter(({ at }) => at >= last * from && at <= last * to);
    return some.length > 0 ? some : sizes;
  };
  return { early: middle(within(0.1, 0.2)), late: middle(within(0.9, 1)) };
}

/** Everything that is wrong, in words. */
export function faultsOf(report: SoakReport, limitBytes: number): string[] {
  const { descriptors, files, zombies, orphans } = report;
  const faults = [...report.faults];
  const { early, late } = growth(report.sizes);
  for (const [whose, key] of [
    ["the gateway's memory", "gatewayBytes"],
    ["its cordons' memory", "cordonBytes"],
  ] as const)
    if (late[key] - early[key] > limitBytes)
      faults.push(`${whose} has grown by ${((late[key] - early[key]) / MIB).toFixed(0)} MiB`);
  if (descriptors.after > descriptors.before + MORE_DESCRIPTORS)
    faults.push(`${descriptors.after} descriptors, ${descriptors.before} before`);
  if (files.length > 0) faults.push(`files were left: ${files.slice(0, 10).join(", ")}`);
  if (zombies > 0) faults.push(`${zombies} processes were not waited for`);
  if (orphans > 0) faults.push(`${orphans} processes outlive the gateway`);
  return faults;
}

function middle(sizes: readonly Size[]): Size {
  const of = (key: keyof Size) =>
    sizes.map((size) => size[key]).sort((a, b) => a - b)[sizes.length >> 1] ?? 0;
  return {
    at: of("at"),
    gatewayBytes: of("gatewayBytes"),
    cordonBytes: of("cordonBytes"),
    cordons: of("cordons"),
  };
}
