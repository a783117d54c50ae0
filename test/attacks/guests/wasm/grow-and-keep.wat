;; Grows by what it may have, and then once more.
(func $attack (result i32)
  (if (i32.ge_s (memory.grow (i32.const 100000)) (i32.const 0)) (then (return (i32.const 0))))
  (loop $on (br_if $on (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))))
  (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))
  (unreachable))
