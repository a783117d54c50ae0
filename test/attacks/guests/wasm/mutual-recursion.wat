;; Two functions that call each other for ever, the host in between.
(func $one (param $block i64) (result i64) (call $two (call $alloc (i64.const 1))))
(func $two (param $block i64) (result i64) (i64.add (call $one (call $alloc (i64.const 1))) (i64.const 1)))
(func $attack (result i32) (i32.wrap_i64 (call $one (i64.const 0))))
