;; A call tree of 2^60 calls without a loop.
(func $tree (param $depth i32) (result i32)
  (if (result i32) (i32.eqz (local.get $depth))
    (then (i32.const 0))
    (else (i32.add
      (call $tree (i32.sub (local.get $depth) (i32.const 1)))
      (call $tree (i32.sub (local.get $depth) (i32.const 1)))))))
(func $attack (result i32) (call $tree (i32.const 60)))
