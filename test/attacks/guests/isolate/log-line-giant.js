// biome-ignore-all lint: hostile on purpose
/** One log line as long as a string can be. */

export default function attack(_ctx, host) {
  host.log(
    "info",
    "x"
      .repeat(2 ** 29 - 30)
      .split("")
      .join("y"),
  );
}
