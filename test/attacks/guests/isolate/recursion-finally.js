// biome-ignore-all lint: hostile on purpose
/** Recursion that goes on while the stack unwinds. */

export default function attack() {
  const down = () => {
    try {
      down();
    } finally {
      down();
    }
  };
  down();
}
