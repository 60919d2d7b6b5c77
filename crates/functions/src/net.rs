//! Hosts and IP addresses; addresses are BINARY of 4 or 16 bytes in network order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrow::array::{Array, ArrayRef};
use datafusion::common::Result;

use crate::coercion::Param;
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns, owned};
use crate::url::Url;

const TEXT: Returns = Returns::Type(DataType0::Text);
const BINARY: Returns = Returns::Type(DataType0::Binary);

pub(crate) const DOCS: &[Entry] = &[
    ("net_host", "net_host(url)", "The host of a URL."),
    ("net_ip_from_string", "net_ip_from_string(text)", "The bytes of an IP address; an error if it is none."),
    ("net_ip_net_mask", "net_ip_net_mask(bytes, prefix)", "A net mask of 4 or 16 bytes."),
    ("net_ip_to_string", "net_ip_to_string(binary)", "An IP address as text."),
    ("net_ipv4_to_int64", "net_ipv4_to_int64(binary)", "An IPv4 address as a number."),
    ("net_safe_ip_from_string", "net_safe_ip_from_string(text)", "The bytes of an IP address; NULL if it is none."),
];

pub(crate) fn functions() -> Vec<Function> {
    use Param::{Big, Bytes, TextOnly};
    vec![
        Function::new("net_host", &[TextOnly], TEXT, host),
        Function::new("net_ip_from_string", &[TextOnly], BINARY, |c| from_string(c, false)),
        Function::new("net_safe_ip_from_string", &[TextOnly], BINARY, |c| from_string(c, true)),
        Function::new("net_ip_to_string", &[Bytes], TEXT, to_string),
        Function::new("net_ip_net_mask", &[Big, Big], BINARY, net_mask),
        Function::new("net_ipv4_to_int64", &[Bytes], Returns::Type(DataType0::Big), to_number),
    ]
}

/// A protocol may be missing: `//host/path` and `host/path` have hosts too.
fn host(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    call.make_text(|i| {
        let Some(text) = text.get(i).map(str::trim) else { return Ok(None) };
        let found = Url::parse(text).host().map(str::to_string);
        let guessed = || Url::parse(&format!("//{text}")).host().map(str::to_string);
        found.or_else(guessed).map_or(Ok(None), owned)
    })
}

fn bytes_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn from_string(call: &Call<'_>, safe: bool) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    call.make_binary(|i| match text.get(i).map(|t| (t, t.parse::<IpAddr>())) {
        None => Ok(None),
        Some((_, Ok(address))) => Ok(Some(bytes_of(address))),
        Some(_) if safe => Ok(None),
        Some((t, Err(_))) => Err(FunctionError::arguments(format!("{}: '{t}' is no IP address", call.name)).into()),
    })
}

fn address(call: &Call<'_>, bytes: &[u8]) -> Result<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(v4).into());
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(v6) => Ok(Ipv6Addr::from(v6).into()),
        Err(_) => {
            let text = format!("{}: an address has 4 or 16 bytes, not {}", call.name, bytes.len());
            Err(FunctionError::arguments(text).into())
        }
    }
}

fn to_string(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = crate::cast::binary(&call.array(0)?)?;
    call.make_text(|i| if bytes.is_null(i) { Ok(None) } else { owned(address(call, bytes.value(i))?.to_string()) })
}

fn net_mask(call: &Call<'_>) -> Result<ArrayRef> {
    let (size, prefix) = (call.bigs(0)?, call.bigs(1)?);
    call.make_binary(|i| {
        let (Some(size), Some(prefix)) = (size.get(i), prefix.get(i)) else { return Ok(None) };
        if !matches!(size, 4 | 16) || !(0..=size * 8).contains(&prefix) {
            let text = format!("net_ip_net_mask: {size} bytes with a prefix of {prefix} bits");
            return Err(FunctionError::range(text).into());
        }
        let byte = |n: i64| {
            let ones = (prefix - n * 8).clamp(0, 8) as u32;
            (0xFF00_u32 >> ones) as u8
        };
        Ok(Some((0..size).map(byte).collect()))
    })
}

fn to_number(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = crate::cast::binary(&call.array(0)?)?;
    call.make_big(|i| {
        if bytes.is_null(i) {
            return Ok(None);
        }
        match address(call, bytes.value(i))? {
            IpAddr::V4(v4) => Ok(Some(u32::from(v4).into())),
            IpAddr::V6(_) => Err(FunctionError::arguments("net_ipv4_to_int64: the address is IPv6").into()),
        }
    })
}
