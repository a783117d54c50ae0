//! my-plugin: greets the service and the client by a header, and closes paths.

use gatehouse::{Answer, Call, Reply, Result, host, json};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    greeting: String,
    closed: Vec<String>,
}

// One for each phase of plugin.yaml.
gatehouse::hooks! { access => on_access, header_filter => on_header_filter }

fn on_access(call: Call) -> Result<Answer> {
    let Config { greeting, closed } = call.config()?;
    let path = &call.request.path;
    if closed.iter().any(|closed| path.starts_with(closed)) {
        host::log(host::Level::Info, &format!("closed: {path}"));
        return Ok(Reply::json(403, &json::json!({ "message": "This path is closed" }))?.into());
    }
    let mut answer = Answer::default();
    answer.request.set("X-Greeting", &greeting);
    Ok(answer)
}

fn on_header_filter(call: Call) -> Result<Answer> {
    let mut answer = Answer::default();
    answer.response.set("X-Greeting", &call.config::<Config>()?.greeting);
    Ok(answer)
}
