;; Waits for the host with all the memory that it may have.
(import "extism:host/user" "kv_get" (func $kv_get (param i64) (result i64)))
(data (i32.const 512) "{\"reply\":{\"status\":200,\"body\":\"W10=\"}}")
(func $attack (result i32)
  (loop $on (br_if $on (i32.ge_s (memory.grow (i32.const 64)) (i32.const 0))))
  (memory.fill (i32.const 4096) (i32.const 1) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4096)))
  (drop (call $kv_get (call $store (i32.const 0) (i32.const 8))))
  (call $output_set (call $store (i32.const 512) (i32.const 38)) (i64.const 38)) (return (i32.const 0)))
