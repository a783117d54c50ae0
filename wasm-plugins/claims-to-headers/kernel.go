package main

import "encoding/binary"

// The functions of Extism's kernel that this guest uses. Addresses and lengths are of the kernel's memory, which
// is not the guest's: data is copied eight bytes at a time.

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env input_load_u8
func inputLoad8(offset uint64) uint32

//go:wasmimport extism:host/env input_load_u64
func inputLoad64(offset uint64) uint64

//go:wasmimport extism:host/env alloc
func alloc(length uint64) uint64

//go:wasmimport extism:host/env store_u8
func store8(address uint64, value uint32)

//go:wasmimport extism:host/env store_u64
func store64(address, value uint64)

//go:wasmimport extism:host/env output_set
func outputSet(address, length uint64)

//go:wasmimport extism:host/env error_set
func errorSet(address uint64)

func readInput() []byte {
	input := make([]byte, inputLength())
	at := 0
	for ; at+8 <= len(input); at += 8 {
		binary.LittleEndian.PutUint64(input[at:], inputLoad64(uint64(at)))
	}
	for ; at < len(input); at++ {
		input[at] = byte(inputLoad8(uint64(at)))
	}
	return input
}

func toKernel(data []byte) uint64 {
	block := alloc(uint64(len(data)))
	at := 0
	for ; at+8 <= len(data); at += 8 {
		store64(block+uint64(at), binary.LittleEndian.Uint64(data[at:]))
	}
	for ; at < len(data); at++ {
		store8(block+uint64(at), uint32(data[at]))
	}
	return block
}
