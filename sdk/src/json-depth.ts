/** How deep JSON is nested, known before it is read: reading text that nests without end can end a thread's stack. */

/**
 * Whether arrays and objects in JSON text lie in each other more than `most` deep. One pass, no recursion; of text that
 * is not JSON the answer means nothing, and `JSON.parse` says so next.
 */
export function isDeepJson(text: string, most: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 0x5c) i++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > most) return true;
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
  return false;
}
