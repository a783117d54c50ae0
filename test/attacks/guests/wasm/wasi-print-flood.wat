;; Prints all of its memory without end, as 1,024 pieces that are the same.
(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
(func $attack (result i32) (local $i i32)
  (loop $fill
    (i32.store (i32.add (i32.const 16384) (i32.mul (local.get $i) (i32.const 8))) (i32.const 0))
    (i32.store (i32.add (i32.const 16388) (i32.mul (local.get $i) (i32.const 8))) (i32.const 65536))
    (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1024))))
  (loop $on (drop (call $write (i32.const 1) (i32.const 16384) (i32.const 1024) (i32.const 8192))) (br $on))
  (i32.const 0))
