//! What a hook answers; the default changes nothing.

use crate::{Result, bytes::Bytes, json};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Default, Serialize)]
pub struct Answer {
    #[serde(skip_serializing_if = "Edit::is_empty")]
    pub request: Edit,
    #[serde(skip_serializing_if = "Edit::is_empty")]
    pub response: Edit,
    /// Sent in place of the upstream's answer; in rewrite, access and response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<Bytes>,
    /// Left for later plugins and phases; null takes one away.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, json::Value>,
}

impl Answer {
    /// What `body_filter` sends in place of its chunk.
    pub fn set_chunk(&mut self, data: impl Into<Vec<u8>>) {
        self.chunk = Some(Bytes(data.into()));
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Answer { reply: Some(reply), ..Answer::default() }
    }
}

/// What changes in a request or a response, in order. Which of it a phase allows stands in the docs.
#[derive(Default, Serialize)]
pub struct Edit {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Bytes>,
}

impl Edit {
    /// Replaces every value of a header by one.
    pub fn set(&mut self, name: &str, value: &str) {
        self.headers.push(vec!["set".into(), name.into(), value.into()]);
    }

    /// Adds a value beside those that are there.
    pub fn add(&mut self, name: &str, value: &str) {
        self.headers.push(vec!["add".into(), name.into(), value.into()]);
    }

    pub fn remove(&mut self, name: &str) {
        self.headers.push(vec!["remove".into(), name.into()]);
    }

    /// Replaces the whole body.
    pub fn set_body(&mut self, body: impl Into<Vec<u8>>) {
        self.body = Some(Bytes(body.into()));
    }

    fn is_empty(&self) -> bool {
        let Edit { headers, method, path, query, status, body } = self;
        headers.is_empty() && method.is_none() && path.is_none() && query.is_none() && status.is_none() && body.is_none()
    }
}

#[derive(Serialize)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Reply {
    /// A reply without headers of its own.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Reply { status, headers: Vec::new(), body: Bytes(body.into()) }
    }

    /// A reply with a value as JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Result<Self> {
        Ok(Reply::new(status, json::to_vec(value)?).header("Content-Type", "application/json; charset=utf-8"))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}
