//! The contract's guest in Rust, with the acts of contract-typescript.ts, written with the SDK's layer.

use gatehouse::{Answer, Call, Edit, Error, Reply, Result, host, json};
use serde::Deserialize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(Deserialize)]
struct Config {
    act: String,
    #[serde(default)]
    word: String,
}

static CALLS: AtomicU32 = AtomicU32::new(0);

gatehouse::hooks! {
    rewrite => on_rewrite,
    access => on_access,
    header_filter => on_header_filter,
    response => on_response,
    body_filter => on_body_filter,
    log => on_log,
}

fn on_rewrite(call: Call) -> Result<Answer> {
    let Config { act, word } = call.config()?;
    let mut answer = Answer::default();
    if act == "vars" {
        answer.vars.insert("seen".into(), json::json!({ "word": word, "old": call.vars["old"] }));
        answer.vars.insert("old".into(), json::Value::Null);
    }
    Ok(answer)
}

fn on_access(call: Call) -> Result<Answer> {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    let Config { act, word } = call.config()?;
    let mut answer = Answer::default();
    let text = match act.as_str() {
        "request" => {
            edit(&mut answer.request);
            answer.request.method = Some("PUT".into());
            answer.request.path = Some("/new%20path".into());
            answer.request.query = Some("a=1&b=%20".into());
            return Ok(answer);
        }
        "body" => {
            answer.request.set_body("grüße");
            return Ok(answer);
        }
        "reply" => return Ok(Reply::new(418, [0, 255]).header("X-Why", "because").into()),
        "log" => {
            host::log(host::Level::Info, &word);
            host::count("contract_total", "Calls.", &[("word", &word)], 2.0)?;
            return Ok(answer);
        }
        "throw" => return Err(Error::msg("as it was told to")),
        "config" => call.config.get().into(),
        "headers" => {
            let parts = call.request.headers.0.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
            parts.collect::<Vec<_>>().join(",")
        }
        "consumer" => call.consumer.and_then(|consumer| consumer.username).unwrap_or("nobody".into()),
        "count" => calls.to_string(),
        "echo" => return Ok(Reply::new(200, call.request.body().unwrap_or(b"none")).into()),
        "kv" => {
            let before = value()?;
            host::set("key", &word, Some(Duration::from_secs(60)))?;
            let during = value()?;
            host::delete("key")?;
            format!("{before} {during} {}", value()?)
        }
        "secret" => {
            let token = host::secret("TOKEN")?.unwrap_or("none".into());
            format!("{token} {}", host::secret("NONE")?.unwrap_or("none".into()))
        }
        "fetch" => {
            let sent = [("X-Sent", "1")];
            let fetched = host::fetch("POST", "https://api.test/x", &sent, Some(word.as_bytes()))?;
            let body = String::from_utf8_lossy(&fetched.body);
            format!("{} {} {body}", fetched.status, fetched.headers["x-url"])
        }
        _ => return Ok(answer),
    };
    Ok(Reply::new(200, text).into())
}

fn on_header_filter(call: Call) -> Result<Answer> {
    let mut answer = Answer::default();
    if call.config::<Config>()?.act == "response" {
        edit(&mut answer.response);
        answer.response.status = Some(201);
    }
    Ok(answer)
}

fn on_response(call: Call) -> Result<Answer> {
    let mut answer = Answer::default();
    if call.config::<Config>()?.act == "whole" {
        answer.response.status = Some(202);
        answer.response.set_body("another body");
    }
    Ok(answer)
}

fn on_body_filter(call: Call) -> Result<Answer> {
    let mut answer = Answer::default();
    if call.config::<Config>()?.act == "chunks" && call.chunk.is_some_and(|chunk| chunk.last) {
        answer.set_chunk("end");
    }
    Ok(answer)
}

fn on_log(call: Call) -> Result<Answer> {
    if call.config::<Config>()?.act == "log" {
        host::log(host::Level::Warn, "in log");
    }
    Ok(Answer::default())
}

fn edit(message: &mut Edit) {
    message.set("X-Set", "new");
    message.add("X-Add", "2");
    message.remove("x-gone");
}

fn value() -> Result<String> {
    let kept = host::get("key")?.unwrap_or_else(|| b"none".to_vec());
    Ok(String::from_utf8_lossy(&kept).into_owned())
}
