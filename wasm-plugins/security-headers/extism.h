/**
 * The functions of Extism's kernel that this guest uses. Addresses and lengths are of the kernel's memory, which is
 * not the guest's: data is copied byte by byte or eight at a time.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL(name) __attribute__((import_module("extism:host/env"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

KERNEL(alloc) u64 extism_alloc(u64 length);
KERNEL(free) void extism_free(u64 address);
KERNEL(length) u64 extism_length(u64 address);
KERNEL(load_u8) u32 extism_load_u8(u64 address);
KERNEL(store_u8) void extism_store_u8(u64 address, u32 value);
KERNEL(store_u64) void extism_store_u64(u64 address, u64 value);
KERNEL(output_set) void extism_output_set(u64 address, u64 length);
KERNEL(error_set) void extism_error_set(u64 address);
KERNEL(config_get) u64 extism_config_get(u64 key);
