//! What an operator may tell the network edge, and its limits.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use feitian_base::{Error, Result};

/// Settings of the network edge. [`Settings::default`] fits one machine on 127.0.0.1.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Region that clients see, for example `cn-local`.
    pub region: String,
    /// `host:port` for URLs that we return when a request names no host (HTTP/1.0).
    pub default_host: String,
    /// True when this server itself speaks TLS: URLs we return begin `https`.
    pub tls: bool,
    /// Peers whose `Forwarded` and `X-Forwarded-*` headers are believed; everyone else's are ignored.
    pub forwarded_from: Vec<Network>,
    /// Serve job pages at `/logview/`.
    pub logview: bool,
    /// Version text of the status document.
    pub version: String,
    /// Name of this process among those that share one database.
    pub node: String,
    /// When the server started, milliseconds since 1970-01-01 UTC.
    pub started_ms: i64,
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "cn-local".into(),
            default_host: "127.0.0.1:7700".into(),
            tls: false,
            forwarded_from: Vec::new(),
            logview: true,
            version: env!("CARGO_PKG_VERSION").into(),
            node: String::new(),
            started_ms: feitian_base::clock::now_ms(),
            limits: Limits::default(),
        }
    }
}

/// Bounds on what one request may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest XML or JSON body in bytes.
    pub document_bytes: usize,
    /// Largest SQL text of one instance in bytes; MaxCompute documents 2 MB.
    pub sql_bytes: usize,
    /// Longest silence inside a request body. Writers may pause for minutes while a user produces rows.
    pub body_idle: Duration,
    /// How long the first status question about a young instance is held back.
    pub first_status_hold: Duration,
    /// How long `?instancestatus` waits for the end of an instance.
    pub long_poll: Duration,
    /// Longest wait that the admin API grants.
    pub admin_wait: Duration,
    /// Uploads and downloads that run at the same time; each holds one thread.
    pub streams: usize,
    /// How long a stream waits for its turn before it is refused.
    pub stream_wait: Duration,
    /// Connections open at the same time.
    pub connections: usize,
    /// Time that requests get to finish once the server stops.
    pub shutdown: Duration,
    /// Rows of a result that `?result` shows unless the project sets `READ_TABLE_MAX_ROW`.
    pub result_rows: u64,
    /// Largest body of a request to the table store in bytes. 4 MiB of data are more with the names of many small cells.
    pub ots_body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 16 << 20,
            sql_bytes: 2 << 20,
            body_idle: Duration::from_secs(600),
            first_status_hold: Duration::from_millis(500),
            long_poll: Duration::from_secs(5),
            admin_wait: Duration::from_secs(30),
            streams: 256,
            stream_wait: Duration::from_secs(20),
            connections: 4096,
            shutdown: Duration::from_secs(30),
            result_rows: 10_000,
            ots_body_bytes: 12 << 20,
        }
    }
}

/// An IP network in CIDR form; a bare address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// True when `ip` lies in the network. An IPv4 address in IPv6 form counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address.to_canonical(), ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix.min(32)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix.min(128)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("'{text}' is no address or network; write 10.0.0.1 or 10.0.0.0/8"));
        let (address, prefix) = match text.split_once('/') {
            Some((a, p)) => (a, Some(p.parse::<u32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix > longest { Err(wrong()) } else { Ok(Self { address, prefix }) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_the_addresses_of_their_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:12.1.2.3"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network:?} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network:?} {outside}");
        }
        for bad in ["", "10.0.0.0/33", "host", "10.0.0.0/x"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
