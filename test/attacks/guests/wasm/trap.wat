;; Executes unreachable.
(func $attack (result i32) (unreachable))
