;; Reads past the end of its memory.
(func $attack (result i32) (i32.load (i32.const 0x7ffffffc)))
