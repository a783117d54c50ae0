;; An output whose address and length overflow.
(func $attack (result i32)
  (drop (call $alloc (i64.const 64)))
  (call $output_set (i64.const 0xFFFFFFF0) (i64.const 0x20))
  (call $output_set (i64.const -16) (i64.const 32))
  (i32.const 0))
