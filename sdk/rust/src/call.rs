//! What a hook is called with. What the manifest has no grant for is empty.

use crate::{Result, bytes::Bytes, json};
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;

#[derive(Deserialize)]
pub struct Call {
    pub phase: String,
    /// The request's, 32 hexadecimal digits.
    pub id: String,
    pub request: Request,
    /// None before there is one.
    pub response: Option<Response>,
    /// What `body_filter` is given.
    pub chunk: Option<Chunk>,
    /// None while nobody is known.
    pub consumer: Option<Consumer>,
    /// Values that plugins share along a request.
    #[serde(default)]
    pub vars: BTreeMap<String, json::Value>,
    /// The plugin's config as JSON.
    pub config: Box<json::value::RawValue>,
}

impl Call {
    /// The config as a type of the plugin's own.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(json::from_str(self.config.get())?)
    }
}

#[derive(Deserialize)]
pub struct Request {
    pub method: String,
    pub scheme: String,
    pub host: String,
    /// Without the query.
    pub path: String,
    /// Without its question mark.
    pub query: String,
    pub client_ip: String,
    pub headers: Headers,
    body: Option<Bytes>,
}

impl Request {
    /// None if there is none.
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_ref().map(|bytes| bytes.0.as_slice())
    }
}

#[derive(Deserialize)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    body: Option<Bytes>,
}

impl Response {
    /// The whole one, in the phase `response` alone.
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_ref().map(|bytes| bytes.0.as_slice())
    }
}

#[derive(Deserialize)]
pub struct Chunk {
    data: Bytes,
    pub last: bool,
}

impl Chunk {
    pub fn data(&self) -> &[u8] {
        &self.data.0
    }
}

#[derive(Deserialize)]
pub struct Consumer {
    pub id: String,
    pub username: Option<String>,
}

/// Pairs of name and value, in order, spelled as received.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a header. Names compare without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let first = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        first.map(|(_, value)| value.as_str())
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }
}
