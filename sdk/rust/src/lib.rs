//! A thin layer over Extism's kit for Gatehouse plugins in Rust.
//!
//! ```ignore
//! use gatehouse::{Answer, Call, Result};
//!
//! gatehouse::hooks! { access => on_access }
//!
//! fn on_access(call: Call) -> Result<Answer> {
//!     let mut answer = Answer::default();
//!     answer.request.set("X-Seen", &call.request.path);
//!     Ok(answer)
//! }
//! ```
//!
//! One hook for each phase of the manifest. The crate is a `cdylib` for `wasm32-unknown-unknown`.

mod answer;
mod bytes;
mod call;
pub mod host;

pub use answer::{Answer, Edit, Reply};
pub use call::{Call, Chunk, Consumer, Headers, Request, Response};
pub use extism_pdk::Error;
pub use serde_json as json;

pub type Result<T> = std::result::Result<T, Error>;

/// Exports hooks by the names of their phases: `hooks! { access => on_access, log => on_log }`.
#[macro_export]
macro_rules! hooks {
    ($($phase:ident => $hook:path),+ $(,)?) => {
        $(
            #[unsafe(no_mangle)]
            pub extern "C" fn $phase() -> i32 {
                $crate::run($hook)
            }
        )+
    };
}

/// Calls a hook with what the gateway passed, and passes on what it answers. An error fails the call, and its words
/// go to the log.
pub fn run(hook: fn(Call) -> Result<Answer>) -> i32 {
    match answer(hook) {
        Ok(()) => 0,
        Err(error) => {
            if let Ok(memory) = extism_pdk::Memory::from_bytes(error.to_string()) {
                // SAFETY: the block was allocated just now.
                unsafe { extism_pdk::extism::error_set(memory.offset()) }
            }
            1
        }
    }
}

fn answer(hook: fn(Call) -> Result<Answer>) -> Result<()> {
    let answer = hook(json::from_slice(&extism_pdk::input_bytes())?)?;
    extism_pdk::Memory::from_bytes(json::to_vec(&answer)?)?.set_output();
    Ok(())
}
