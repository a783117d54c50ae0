//! ip-allow-list: lets a request pass by the address that it comes from, and by the country that a CDN in front of the
//! gateway says it comes from. Whoever is on no list is refused, unless there is no list to be on.

use gatehouse::{Answer, Call, Error, Reply, Result, json};
use serde::Deserialize;
use std::net::IpAddr;

#[derive(Deserialize)]
struct Config {
    allow: Vec<String>,
    deny: Vec<String>,
    countries: Vec<String>,
    country_header: String,
    status: u16,
}

gatehouse::hooks! { access => on_access }

fn on_access(call: Call) -> Result<Answer> {
    let config: Config = call.config()?;
    if may_pass(&call, &config)? {
        return Ok(Answer::default());
    }
    let message = json::json!({ "message": "Your address is not allowed", "request_id": call.id });
    Ok(Reply::json(config.status, &message)?.into())
}

fn may_pass(call: &Call, config: &Config) -> Result<bool> {
    let address: IpAddr = call.request.client_ip.parse()?;
    if is_in(&config.deny, address)? {
        return Ok(false);
    }
    let is_open = config.allow.is_empty() && config.countries.is_empty();
    let country = call.request.headers.get(&config.country_header).unwrap_or("");
    let is_from = config.countries.iter().any(|code| code == country);
    Ok(is_open || is_from || is_in(&config.allow, address)?)
}

fn is_in(networks: &[String], address: IpAddr) -> Result<bool> {
    for network in networks {
        if contains(network, address)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an address is in a network such as `10.0.0.0/8`; one without a length is that address alone.
fn contains(network: &str, address: IpAddr) -> Result<bool> {
    let wrong = || Error::msg(format!("'{network}' is neither an address nor a network such as 10.0.0.0/8"));
    let (base, length) = network.split_once('/').map_or((network, None), |(base, length)| (base, Some(length)));
    let base: IpAddr = base.parse().map_err(|_| wrong())?;
    let bits = if base.is_ipv4() { 32 } else { 128 };
    let length: u32 = length.map_or(Ok(bits), str::parse).map_err(|_| wrong())?;
    if length > bits {
        return Err(wrong());
    }
    // IPv4 addresses in IPv6's clothes (::ffff:10.0.0.1) are IPv4's.
    let (base, address, bits, length) = match (base, address.to_canonical()) {
        (IpAddr::V4(base), IpAddr::V4(address)) => (u32::from(base).into(), u32::from(address).into(), 32, length),
        (IpAddr::V6(base), IpAddr::V6(address)) => (u128::from(base), u128::from(address), bits, length),
        _ => return Ok(false),
    };
    Ok(length == 0 || (base ^ address) >> (bits - length) == 0u128)
}
