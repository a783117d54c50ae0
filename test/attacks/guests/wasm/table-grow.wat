;; Grows its table without end.
(table $table 1 funcref)
(func $attack (result i32) (loop $on (drop (table.grow $table (ref.null func) (i32.const 1000))) (br $on)) (i32.const 0))
