;; Grows its memory without end.
(func $attack (result i32) (loop $on (drop (memory.grow (i32.const 16))) (br $on)) (i32.const 0))
