;; Has the host make random bytes without end.
(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
(func $attack (result i32)
  (loop $on (drop (call $random (i32.const 0) (i32.const 65536))) (br $on)) (i32.const 0))
