// biome-ignore-all lint: hostile on purpose
/** Throws, while its module is loaded, an object whose message never comes. */
throw {
  get message() {
    for (;;) {}
  },
};
