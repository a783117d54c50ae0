//! request-signature: lets a request pass whose body carries the right HMAC-SHA256, as webhooks are signed:
//! `X-Signature-256: sha256=<hex>`, keyed with a secret that both sides know. Written with Extism's own PDK.

use base64::{Engine, engine::general_purpose::STANDARD};
use extism_pdk::*;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const HEADER: &str = "x-signature-256";

#[derive(Deserialize)]
struct Call {
    config: Config,
    request: Request,
}

#[derive(Deserialize)]
struct Config {
    secret: String,
    prefix: String,
}

#[derive(Deserialize)]
struct Request {
    headers: Vec<(String, String)>,
    /// Base64; not there if the request has no body.
    body: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Reply>,
}

#[derive(Serialize)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

#[plugin_fn]
pub fn access(input: Vec<u8>) -> FnResult<String> {
    let call: Call = serde_json::from_slice(&input)?;
    let reply = if is_signed(&call)? { None } else { Some(unauthorized()) };
    Ok(serde_json::to_string(&Answer { reply })?)
}

fn is_signed(call: &Call) -> FnResult<bool> {
    let given = call.request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(HEADER));
    let Some(digest) = given
        .and_then(|(_, value)| value.strip_prefix(call.config.prefix.as_str()))
        .and_then(from_hex)
    else {
        return Ok(false);
    };
    let body = STANDARD.decode(call.request.body.as_deref().unwrap_or(""))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(call.config.secret.as_bytes())?;
    mac.update(&body);
    // Compares in constant time.
    Ok(mac.verify_slice(&digest).is_ok())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.len() % 2 != 0 {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn unauthorized() -> Reply {
    Reply {
        status: 401,
        headers: vec![("Content-Type", "application/json; charset=utf-8")],
        body: STANDARD.encode(r#"{"message":"Unauthorized"}"#),
    }
}
