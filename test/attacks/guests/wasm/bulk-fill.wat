;; Fills all of its memory again and again: one instruction each time.
(func $attack (result i32)
  (drop (memory.grow (i32.const 200)))
  (loop $on
    (memory.fill (i32.const 0) (i32.const 7) (i32.mul (memory.size) (i32.const 65536)))
    (br $on))
  (i32.const 0))
