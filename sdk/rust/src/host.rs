//! What a plugin may ask of the gateway. Each needs its grant, without which the module is refused at upload. Nothing
//! here can be called while the module starts.

use crate::{Error, Result, json};
use extism_pdk::{LogLevel, Memory, extism};
use std::collections::BTreeMap;
use std::time::Duration;

#[link(wasm_import_module = "extism:host/user")]
unsafe extern "C" {
    fn kv_get(key: u64) -> u64;
    fn kv_set(key: u64, value: u64, ttl_ms: i64) -> i64;
    fn kv_delete(key: u64) -> i64;
    fn secret_get(name: u64) -> u64;
    fn metric_count(name: u64, help: u64, labels: u64, by: f64);
}

/// What a host function answers when it could not do its work.
const FAILED: u64 = u64::MAX;

fn host_error() -> Error {
    Error::msg("the gateway could not do it: see the plugin's log")
}

/// Writes a line to the plugin's log (grant `log`).
pub fn log(level: LogLevel, line: &str) {
    if let Ok(memory) = Memory::from_bytes(line) {
        memory.log(level);
    }
}

pub use extism_pdk::LogLevel as Level;

/// A value that the plugin keeps (grant `kv_bytes`).
pub fn get(key: &str) -> Result<Option<Vec<u8>>> {
    let key = Memory::from_bytes(key)?;
    // SAFETY: the block was allocated just now.
    read(unsafe { kv_get(key.offset()) })
}

/// Keeps a value under a key; for ever without a time.
pub fn set(key: &str, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<()> {
    let (key, value) = (Memory::from_bytes(key)?, Memory::from_bytes(value)?);
    let ttl_ms = ttl.map_or(0, |ttl| ttl.as_millis() as i64);
    // SAFETY: the blocks were allocated just now.
    done(unsafe { kv_set(key.offset(), value.offset(), ttl_ms) })
}

pub fn delete(key: &str) -> Result<()> {
    let key = Memory::from_bytes(key)?;
    // SAFETY: the block was allocated just now.
    done(unsafe { kv_delete(key.offset()) })
}

/// A secret by a name that the grant `secrets` lists.
pub fn secret(name: &str) -> Result<Option<String>> {
    let name = Memory::from_bytes(name)?;
    // SAFETY: the block was allocated just now.
    let found = read(unsafe { secret_get(name.offset()) })?;
    Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Adds to a counter (grant `metrics`).
pub fn count(name: &str, help: &str, labels: &[(&str, &str)], by: f64) -> Result<()> {
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    let (name, help) = (Memory::from_bytes(name)?, Memory::from_bytes(help)?);
    let labels = Memory::from_bytes(json::to_vec(&labels)?)?;
    // SAFETY: the blocks were allocated just now.
    unsafe { metric_count(name.offset(), help.offset(), labels.offset(), by) };
    Ok(())
}

/// What a request was answered.
pub struct Fetched {
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// Sends a request to a host that the grant `http_hosts` lists.
pub fn fetch(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Result<Fetched> {
    let headers: BTreeMap<_, _> = headers.iter().copied().collect();
    let head = json::json!({ "method": method, "url": url, "headers": headers });
    let head = Memory::from_bytes(head.to_string())?;
    let body = body.map(Memory::from_bytes).transpose()?;
    // SAFETY: the blocks were allocated just now; 0 is no body.
    let (block, status, headers) = unsafe {
        let block = extism::http_request(head.offset(), body.map_or(0, |body| body.offset()));
        (block, extism::http_status_code(), extism::http_headers())
    };
    if status == 0 {
        return Err(host_error());
    }
    let headers = read(headers)?.map(|bytes| json::from_slice(&bytes)).transpose()?;
    Ok(Fetched { status: status as u16, headers: headers.unwrap_or_default(), body: read(block)?.unwrap_or_default() })
}

fn done(result: i64) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(host_error()) }
}

fn read(block: u64) -> Result<Option<Vec<u8>>> {
    match block {
        0 => Ok(None),
        FAILED => Err(host_error()),
        _ => Ok(Some(Memory::find(block).map(|memory| memory.to_vec()).unwrap_or_default())),
    }
}
