;; Copies all of its memory onto itself again and again.
(func $attack (result i32)
  (drop (memory.grow (i32.const 200)))
  (loop $on
    (memory.copy (i32.const 0) (i32.const 1) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)))
    (br $on))
  (i32.const 0))
