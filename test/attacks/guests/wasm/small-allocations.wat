;; One-byte allocations without end.
(func $attack (result i32) (loop $on (drop (call $alloc (i64.const 1))) (br $on)) (i32.const 0))
