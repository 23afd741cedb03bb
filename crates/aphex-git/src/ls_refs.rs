//! The command `ls-refs` of git's protocol version 2 (gitprotocol-v2), and the list of refs of the versions before it.
//!
//! A server that knows no version 2, or is not told of it (an SSH server passes no environment on by default), begins with
//! all its refs; then that is the answer.

use crate::packet::{DELIMITER, ERROR, FLUSH, push, section};
use crate::{Commits, RemoteError};

const HEADS: &str = "refs/heads/";
/// What a server's own words may have at most.
const SAID_MAX: usize = 200;

/// What a server begins with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// It can be asked, about objects named by this hash.
    Capable(&'static str),
    /// It has told already.
    Told(Commits),
}

/// Reads what a server begins with; none while some of it is still to come.
pub(crate) fn greeting(bytes: &[u8], branches: &[String]) -> Result<Option<Greeting>, RemoteError> {
    let Some((mut packets, rest)) = section(bytes)? else { return Ok(None) };
    // Over HTTP a packet of its own may name the service first.
    if let [first] = packets.as_slice()
        && first.starts_with(b"# service=")
    {
        let Some((after, _)) = section(rest)? else { return Ok(None) };
        packets = after;
    }
    complaint(&packets)?;
    if packets.first() != Some(&b"version 2".as_slice()) {
        return commits(&packets, branches).map(Greeting::Told).map(Some);
    }
    let can = |name: &[u8]| packets.iter().any(|p| p.split(|byte| *byte == b'=').next() == Some(name));
    if !can(b"ls-refs") {
        return Err(RemoteError::Protocol("it cannot list refs"));
    }
    let sha256 = packets.contains(&b"object-format=sha256".as_slice());
    Ok(Some(Greeting::Capable(if sha256 { "sha256" } else { "sha1" })))
}

/// The request for some branches.
pub(crate) fn request(object_format: &str, branches: &[String]) -> Vec<u8> {
    let mut request = Vec::new();
    push(&mut request, b"command=ls-refs\n");
    push(&mut request, concat!("agent=aphex/", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    push(&mut request, format!("object-format={object_format}\n").as_bytes());
    request.extend_from_slice(DELIMITER);
    for branch in branches {
        push(&mut request, format!("ref-prefix {HEADS}{branch}\n").as_bytes());
    }
    request.extend_from_slice(FLUSH);
    request
}

/// The answer to it; none while some of it is still to come.
pub(crate) fn answer(bytes: &[u8], branches: &[String]) -> Result<Option<Commits>, RemoteError> {
    let Some((packets, _)) = section(bytes)? else { return Ok(None) };
    complaint(&packets)?;
    commits(&packets, branches).map(Some)
}

/// The wanted ones among lines of `<object id> <ref>`; a prefix also matches longer names.
fn commits(packets: &[&[u8]], branches: &[String]) -> Result<Commits, RemoteError> {
    let mut found = Commits::new();
    for packet in packets {
        // Capabilities follow the first ref of old versions; one line may tell the version.
        let line = packet.split(|byte| *byte == 0).next().unwrap_or_default();
        if line == b"version 1" {
            continue;
        }
        let mut words = line.split(|byte| *byte == b' ');
        let (id, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !matches!(id.len(), 40 | 64) || !id.iter().all(u8::is_ascii_hexdigit) {
            return Err(RemoteError::Protocol("a line names no object"));
        }
        let branch = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix(HEADS));
        if let Some(branch) = branch.filter(|branch| branches.iter().any(|wanted| wanted == branch)) {
            found.insert(branch.to_owned(), String::from_utf8_lossy(id).to_ascii_lowercase());
        }
    }
    Ok(found)
}

/// Whether git on the other side says why not, instead.
fn complaint(packets: &[&[u8]]) -> Result<(), RemoteError> {
    let Some(said) = packets.iter().find_map(|packet| packet.strip_prefix(ERROR)) else { return Ok(()) };
    let text = String::from_utf8_lossy(said);
    Err(RemoteError::Said(text.chars().filter(|c| !c.is_control()).take(SAID_MAX).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn packets(lines: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in lines {
            push(&mut bytes, line.as_bytes());
        }
        bytes.extend_from_slice(FLUSH);
        bytes
    }

    fn wanted() -> Vec<String> {
        vec!["main".to_owned(), "dev/ü".to_owned()]
    }

    #[test]
    fn a_longer_branch_of_the_same_beginning_is_not_the_branch() {
        let lines = [
            format!("{TWO} refs/heads/main-2\n"),
            format!("{ONE} refs/heads/main\n"),
            format!("{TWO} refs/heads/dev/ü peeled:x\n"),
        ];
        let bytes = packets(&lines.each_ref().map(String::as_str));
        let found = answer(&bytes, &wanted()).unwrap().unwrap();
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("dev/ü".to_owned(), TWO.to_owned()), ("main".to_owned(), ONE.to_owned())]
        );
        assert_eq!(answer(&bytes[..bytes.len() - 1], &wanted()).unwrap(), None, "the end is waited for");
    }

    #[test]
    fn a_capable_server_is_asked_and_an_old_one_has_told_already() {
        let v2 = packets(&["version 2\n", "agent=git/2.39.5\n", "ls-refs=unborn\n", "object-format=sha1\n"]);
        assert_eq!(greeting(&v2, &wanted()).unwrap(), Some(Greeting::Capable("sha1")));
        let mut announced = packets(&["# service=git-upload-pack\n"]);
        announced.extend(&v2);
        assert_eq!(greeting(&announced, &wanted()).unwrap(), Some(Greeting::Capable("sha1")));
        let old = packets(&[
            &format!("{ONE} HEAD\0multi_ack symref=HEAD:refs/heads/main\n"),
            &format!("{ONE} refs/heads/main\n"),
            &format!("{TWO} refs/tags/main\n"),
        ]);
        let told = Greeting::Told([("main".to_owned(), ONE.to_owned())].into());
        assert_eq!(greeting(&old, &wanted()).unwrap(), Some(told));
        assert!(greeting(&packets(&["version 2\n", "fetch\n"]), &wanted()).is_err());
        assert!(greeting(&packets(&["hello\n"]), &wanted()).is_err());
    }

    #[test]
    fn what_git_says_is_told_without_control_characters() {
        let error = greeting(&packets(&["ERR access denied\x1b[31m or no repository\n"]), &[]).unwrap_err();
        assert_eq!(error.to_string(), "git on the server says: access denied[31m or no repository");
    }

    #[test]
    fn the_request_names_each_branch() {
        let text = String::from_utf8(request("sha1", &wanted())).unwrap();
        assert!(text.starts_with("0014command=ls-refs\n"), "{text}");
        assert!(text.contains("0001001fref-prefix refs/heads/main\n"), "{text}");
        assert!(text.ends_with("ref-prefix refs/heads/dev/ü\n0000"), "{text}");
    }
}
