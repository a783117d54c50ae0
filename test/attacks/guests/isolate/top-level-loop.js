// biome-ignore-all lint: hostile on purpose
/** Loops while its module is loaded. */
for (;;) {}
