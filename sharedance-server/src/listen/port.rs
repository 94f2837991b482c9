//! Ports, by number or by the name of a service.

/// The port that `text` is the number of, or the name of in /etc/services.
///
/// # Errors
/// It is neither.
pub(crate) fn parse_port(text: &str) -> Result<u16, String> {
    if let Ok(port) = text.parse() {
        return Ok(port);
    }
    let services = std::fs::read_to_string("/etc/services").unwrap_or_default();
    port_of_service(text, &services)
        .ok_or_else(|| "a port is a number from 0 to 65535, or the name of a service".to_owned())
}

/// The TCP port of `name` in the format of /etc/services: name, port and protocol, aliases, a comment.
fn port_of_service(name: &str, services: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let official = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?;
        let named = official == name || words.any(|alias| alias == name);
        named.then(|| port.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_by_name_and_alias() {
        let services = "# a comment\ndomain 53/udp\nhttp\t80/tcp  www # web\nodd\nafs3 1042/tcp";
        assert_eq!(port_of_service("http", services), Some(80));
        assert_eq!(port_of_service("www", services), Some(80));
        assert_eq!(port_of_service("afs3", services), Some(1042));
        assert_eq!(port_of_service("domain", services), None);
        assert_eq!(port_of_service("web", services), None);
    }
}
