;; Reads an address of the host that it was not given.
(func $attack (result i32) (i32.wrap_i64 (call $load_u64 (i64.const 0x7ffffffffff0))))
