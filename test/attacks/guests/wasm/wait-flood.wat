;; Asks the host without end, each time waiting for the answer.
(import "extism:host/user" "kv_get" (func $kv_get (param i64) (result i64)))
(func $attack (result i32) (loop $on (drop (call $kv_get (call $store (i32.const 0) (i32.const 8)))) (br $on)) (i32.const 0))
