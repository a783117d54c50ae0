;; A new instance for each request: 256 KiB of memory that nobody has written to, and takes it with it.
(data (i32.const 512) "{\"reply\":{\"status\":200,\"body\":\"W10=\"}}")
(data (i32.const 768) "{\"reply\":{\"status\":200,\"body\":\"WyJtZW1vcnkgb2YgYW5vdGhlciBjYWxsIl0=\"}}")
(func $attack (result i32)
  (if (i32.or (i32.load (i32.const 4096)) (i32.ne (memory.grow (i32.const 4)) (i32.const 1))) (then (call $output_set (call $store (i32.const 768) (i32.const 70)) (i64.const 70)) (return (i32.const 0))))
  (memory.fill (i32.const 4096) (i32.const 1) (i32.const 258048))
  (call $output_set (call $store (i32.const 512) (i32.const 38)) (i64.const 38)) (return (i32.const 0)))
