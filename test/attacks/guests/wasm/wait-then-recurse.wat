;; Uses up the stack that it was resumed on, asking the host from every depth of it.
(import "extism:host/user" "kv_get" (func $kv_get (param i64) (result i64)))
(func $deep (param i64) (result i64) (i64.add (call $deep (call $kv_get (call $store (i32.const 0) (i32.const 8)))) (i64.const 1)))
(func $attack (result i32) (i32.wrap_i64 (call $deep (i64.const 0))))
