;; Calls a function by a signature that it does not have.
(type $other (func (param i64) (result i64)))
(table $table 1 funcref)
(elem (i32.const 0) $attack)
(func $attack (result i32) (i32.wrap_i64 (call_indirect (type $other) (i64.const 1) (i32.const 0))))
