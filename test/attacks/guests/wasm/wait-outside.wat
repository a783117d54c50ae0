;; Asks for the value of a key that is no block of its memory.
(import "extism:host/user" "kv_get" (func $kv_get (param i64) (result i64)))
(func $attack (result i32) (i32.wrap_i64 (call $kv_get (i64.const 0x7ffffffffff0))))
