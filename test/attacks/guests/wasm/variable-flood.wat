;; Variables without end.
(func $attack (result i32) (local $name i64)
  (loop $on
    (local.set $name (call $alloc (i64.const 8)))
    (call $store_u64 (local.get $name) (i64.add (local.get $name) (i64.const 0x2020202020202020)))
    (call $var_set (local.get $name) (local.get $name))
    (br $on))
  (i32.const 0))
