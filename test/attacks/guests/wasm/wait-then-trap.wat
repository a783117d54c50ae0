;; Traps on the stack that it was resumed on.
(import "extism:host/user" "kv_get" (func $kv_get (param i64) (result i64)))
(func $attack (result i32) (drop (call $kv_get (call $store (i32.const 0) (i32.const 8)))) (unreachable))
