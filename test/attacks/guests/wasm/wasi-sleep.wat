;; Sleeps for all the time there is, again and again.
(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
(func $attack (result i32)
  (i64.store (i32.const 2072) (i64.const -1))
  (loop $on (drop (call $poll (i32.const 2048) (i32.const 3072) (i32.const 1) (i32.const 4096))) (br $on))
  (i32.const 0))
