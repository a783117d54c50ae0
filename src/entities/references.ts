/** Values that stand for what a vault holds, written `{vault://<vault>/<name>}`. */

/** Whether a text is such a reference, sound or not: what begins like one is never taken for the value itself. */
export const isReference = (text: string): boolean => text.startsWith("{vault://");
