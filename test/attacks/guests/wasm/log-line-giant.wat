;; A log line of a gigabyte.
(func $attack (result i32) (call $log_info (call $alloc (i64.const 1073741824))) (i32.const 0))
