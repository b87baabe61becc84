//! Addresses that no name leads to: this machine itself, its link, and the services that hand out a machine's credentials.
//!
//! A task that may ask `api.example.com` may ask whatever that name resolves to, and whoever owns the name decides that. So a resolved
//! address that is special is refused: it is reached only by a grant that names it, or the network that it's in, as an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What is special, and where that is said.
const SPECIAL: &[IpNet] = &[
    // "This host on this network" (RFC 1122, 3.2.1.3). Linux connects 0.0.0.0 to itself.
    v4([0, 0, 0, 0], 8),
    // Loopback (RFC 1122, 3.2.1.3).
    v4([127, 0, 0, 0], 8),
    // Link-local (RFC 3927), and the metadata services of nearly every cloud.
    v4([169, 254, 0, 0], 16),
    // Multicast (RFC 5771), reserved (RFC 1112) and broadcast (RFC 919).
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    // Metadata of Alibaba Cloud, Azure and Oracle Cloud Classic.
    v4([100, 100, 100, 200], 32),
    v4([168, 63, 129, 16], 32),
    v4([192, 0, 0, 192], 32),
    // Unspecified, loopback (RFC 4291), link-local (RFC 4291, 2.5.6), multicast (RFC 4291, 2.7).
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    // NAT64 of a site's own (RFC 8215) and Teredo (RFC 4380): which IPv4 address is meant can't be told, or only by undoing how it is hidden.
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
    // Metadata of AWS and Google Cloud.
    v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0], 32),
    v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254], 128),
];

const fn v4(octets: [u8; 4], prefix: u8) -> IpNet {
    let [a, b, c, d] = octets;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(segments: [u16; 8], prefix: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = segments;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix))
}

/// Whether only a grant that names the address itself leads to it.
pub(crate) fn is_special(address: IpAddr) -> bool {
    let address = plain(address);
    SPECIAL.iter().any(|special| special.contains(&address))
}

/// Whether a network was written down to mean something special: all of it is. `0.0.0.0/0` has loopback in it and doesn't mean it.
pub(crate) fn is_special_network(network: &IpNet) -> bool {
    let network = plain_network(network);
    SPECIAL.iter().any(|special| special.contains(&network))
}

/// Whether it is this machine, by its loopback interface.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    plain(address).is_loopback()
}

/// Whether a network that was granted or allowed leads to an address.
pub(crate) fn network_contains(network: &IpNet, address: IpAddr) -> bool {
    let (network, address) = (plain_network(network), plain(address));
    network.contains(&address) && (!is_special(address) || is_special_network(&network))
}

/// Whether everything of one network is in another, and what is special in both is meant by both.
pub(crate) fn network_covers(allowed: &IpNet, asked: &IpNet) -> bool {
    let (allowed, asked) = (plain_network(allowed), plain_network(asked));
    allowed.contains(&asked) && (!is_special_network(&asked) || is_special_network(&allowed))
}

/// The address that packets go to in the end: IPv6 has several ways to write an IPv4 address.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => embedded(address).map_or(IpAddr::V6(address), IpAddr::V4),
    }
}

/// Mapped (RFC 4291, 2.5.5.2), compatible (2.5.5.1) and translated (RFC 2765) addresses, NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match address.segments() {
        // These two are IPv6's own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

fn plain_network(network: &IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    match (network, plain(network.addr())) {
        (IpNet::V6(v6), IpAddr::V4(address)) if v6.prefix_len() >= MAPPED && v6.addr().segments()[0] != 0x2002 => {
            Ipv4Net::new(address, v6.prefix_len() - MAPPED).map_or(*network, IpNet::V4)
        }
        _ => *network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_known_in_every_form() {
        let check = |text: &str, expected: bool| {
            assert_eq!(is_special(text.parse().unwrap()), expected, "{text}");
        };
        for special in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "::ffff:0:127.0.0.1",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:7f00:0:100::",
            "2001:0:4136:e378:8000:63bf:80ff:fffe",
        ] {
            check(special, true);
        }
        for ordinary in [
            "1.1.1.1",
            "10.0.0.7",
            "192.168.1.1",
            "100.100.100.201",
            "2606:4700::1111",
            "fd00::1",
            "fec0::1",
            "2001:db8::1",
            "::ffff:0:10.0.0.7",
            "::ffff:10.0.0.7",
            "64:ff9b::1.1.1.1",
        ] {
            check(ordinary, false);
        }
    }

    #[test]
    fn a_network_reaches_what_is_special_only_if_it_means_it() {
        let check = |network: &str, address: &str, expected: bool| {
            let network = network.parse().unwrap();
            assert_eq!(
                network_contains(&network, address.parse().unwrap()),
                expected,
                "{network} {address}"
            );
        };
        check("10.0.0.0/8", "10.1.2.3", true);
        check("10.0.0.0/8", "11.1.2.3", false);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("::ffff:10.0.0.0/104", "10.1.2.3", true);
        check("0.0.0.0/0", "1.1.1.1", true);
        check("0.0.0.0/0", "127.0.0.1", false);
        check("0.0.0.0/0", "169.254.169.254", false);
        check("127.0.0.0/8", "127.0.0.1", true);
        check("127.0.0.1/32", "127.0.0.1", true);
        check("169.254.0.0/16", "169.254.169.254", true);
        check("::/0", "::1", false);
        check("::/0", "fd00:ec2::254", false);
        check("::1/128", "::1", true);
        check("::ffff:127.0.0.1/128", "127.0.0.1", true);
    }

    #[test]
    fn a_network_covers_a_narrower_one_of_the_same_meaning() {
        let check = |allowed: &str, asked: &str, expected: bool| {
            let (allowed, asked) = (allowed.parse().unwrap(), asked.parse().unwrap());
            assert_eq!(network_covers(&allowed, &asked), expected, "{allowed} {asked}");
        };
        check("10.0.0.0/8", "10.1.0.0/16", true);
        check("10.1.0.0/16", "10.0.0.0/8", false);
        check("10.0.0.0/8", "10.0.0.0/8", true);
        check("0.0.0.0/0", "0.0.0.0/0", true);
        check("0.0.0.0/0", "127.0.0.1/32", false);
        check("127.0.0.0/8", "127.0.0.1/32", true);
        check("10.0.0.0/8", "fd00::/8", false);
    }
}
