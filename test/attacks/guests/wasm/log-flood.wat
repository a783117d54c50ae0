;; A million log lines.
(func $attack (result i32) (local $i i32) (local $line i64)
  (local.set $line (call $alloc (i64.const 100)))
  (loop $on
    (call $log_info (local.get $line))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br $on))
  (i32.const 0))
