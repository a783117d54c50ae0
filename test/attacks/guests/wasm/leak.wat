;; Keeps 6 MiB more with each call, written to, until it gets no more.
(data (i32.const 512) "{\"reply\":{\"status\":200,\"body\":\"W10=\"}}")
(func $attack (result i32) (local $at i32)
  (local.set $at (memory.grow (i32.const 96)))
  (if (i32.ge_s (local.get $at) (i32.const 0))
    (then (memory.fill (i32.mul (local.get $at) (i32.const 65536)) (i32.const 1) (i32.const 6291456))))
  (call $output_set (call $store (i32.const 512) (i32.const 38)) (i64.const 38)) (i32.const 0))
