//! request-signature: lets a request pass whose body carries the right HMAC-SHA256, as webhooks are signed:
//! `X-Signature-256: sha256=<hex>`, keyed with a secret that both sides know.

use gatehouse::{Answer, Call, Reply, Result, json};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

const HEADER: &str = "x-signature-256";

#[derive(Deserialize)]
struct Config {
    secret: String,
    prefix: String,
}

gatehouse::hooks! { access => on_access }

fn on_access(call: Call) -> Result<Answer> {
    if is_signed(&call, &call.config()?)? {
        return Ok(Answer::default());
    }
    Ok(Reply::json(401, &json::json!({ "message": "Unauthorized" }))?.into())
}

fn is_signed(call: &Call, config: &Config) -> Result<bool> {
    let given = call.request.headers.get(HEADER);
    let Some(digest) = given.and_then(|value| value.strip_prefix(config.prefix.as_str())).and_then(from_hex) else {
        return Ok(false);
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(config.secret.as_bytes())?;
    mac.update(call.request.body().unwrap_or_default());
    // Compares in constant time.
    Ok(mac.verify_slice(&digest).is_ok())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.len() % 2 != 0 {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
