/**
 * security-headers: sets the response headers that tell a browser to be careful, each unless its config is null.
 * Freestanding C: no library, no allocation, one buffer.
 */
#include "extism.h"

/** Room for every header of this guest with values as long as a config may reasonably hold. */
static char output[16 * 1024];
static u32 used;
static int full;

static u32 text_length(const char *text) {
  u32 length = 0;
  while (text[length] != 0) length++;
  return length;
}

static void write_byte(char byte) {
  if (used < sizeof output) output[used++] = byte;
  else full = 1;
}

static void write_text(const char *text) {
  for (; *text != 0; text++) write_byte(*text);
}

/** A kernel block with these bytes. */
static u64 to_kernel(const char *bytes, u32 length) {
  u64 block = extism_alloc(length);
  u32 at = 0;
  for (; at + 8 <= length; at += 8) {
    u64 word;
    __builtin_memcpy(&word, bytes + at, 8);
    extism_store_u64(block + at, word);
  }
  for (; at < length; at++) extism_store_u8(block + at, (u8)bytes[at]);
  return block;
}

/** Writes a config value as it stands inside a JSON string. */
static void write_value(u64 value) {
  static const char hex[] = "0123456789abcdef";
  u64 length = extism_length(value);
  for (u64 at = 0; at < length; at++) {
    u8 byte = (u8)extism_load_u8(value + at);
    if (byte == '"' || byte == '\\') {
      write_byte('\\');
      write_byte((char)byte);
    } else if (byte < 0x20) {
      write_text("\\u00");
      write_byte(hex[byte >> 4]);
      write_byte(hex[byte & 15]);
    } else write_byte((char)byte);
  }
}

static u64 config(const char *name) {
  u64 key = to_kernel(name, text_length(name));
  u64 value = extism_config_get(key);
  extism_free(key);
  return value;
}

static void set_start(const char *header) {
  write_text(used > 0 && output[used - 1] == ']' ? ",[\"set\",\"" : "[\"set\",\"");
  write_text(header);
  write_text("\",\"");
}

static void set_from_config(const char *header, const char *before, const char *name) {
  u64 value = config(name);
  if (value == 0) return;
  set_start(header);
  write_text(before);
  write_value(value);
  write_text("\"]");
}

EXPORT(header_filter) int header_filter(void) {
  // The buffer is of the last call: nothing of it may show if this one ends early.
  __builtin_memset(output, 0, used);
  used = 0;
  full = 0;
  write_text("{\"response\":{\"headers\":[");
  set_start("X-Content-Type-Options");
  write_text("nosniff\"]");
  set_from_config("Strict-Transport-Security", "max-age=", "hsts_max_age");
  set_from_config("X-Frame-Options", "", "frame_options");
  set_from_config("Referrer-Policy", "", "referrer_policy");
  set_from_config("Content-Security-Policy", "", "content_security_policy");
  write_text("]}}");
  if (full) {
    static const char reason[] = "the configured headers are too long";
    extism_error_set(to_kernel(reason, sizeof reason - 1));
    return 1;
  }
  extism_output_set(to_kernel(output, used), used);
  return 0;
}
