//! The file of credentials: a line for each user, in the format of memcached's `-Y`, with options in a third field.
//!
//! ```text
//! # Comments contain no colon.
//! ada:her password
//! app1:another password:prefix=app1-
//! monitor:yet another one:read-only,admin
//! ```
//!
//! A file that memcached accepts has the same meaning here, or it is refused. memcached reads some files in a way that
//! their author did not intend: it ignores the users after the eighth and the end of a long line, takes everything after
//! the first colon for the password, and a comment with a colon for a user. These are refused, except that there may be more
//! users. An error names the line, and never contains a part of it.

use thiserror::Error;

use super::rights::Rights;
use super::user::{Attempt, User};

/// memcached reads a line in pieces of this length, and takes the second piece for another line.
const MAX_LINE_LEN: usize = 254;

/// Each attempt to log in is compared with all users, which takes about a fifth of a millisecond for this many.
const MAX_USERS: usize = 256;

/// The longest key.
const MAX_PREFIX_LEN: usize = 250;

/// Why a file of credentials is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {line} {fault}")]
pub struct AuthFileError {
    /// The number of the line, from 1.
    pub line: usize,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Fault {
    #[error("has no colon: write name:password, or # before a comment")]
    NoColon,
    #[error("is a comment with a colon, which memcached takes for a name and a password: remove the colon")]
    CommentWithColon,
    #[error("has no name before the colon")]
    NoName,
    #[error("has a name with a space or a control character, which no client of the text dialect can send")]
    BadName,
    #[error("has no password")]
    NoPassword,
    #[error("contains a NUL or a carriage return, at which memcached ends the password")]
    ControlByte,
    #[error("has more than {MAX_LINE_LEN} bytes: memcached takes the rest for another line")]
    TooLong,
    #[error(
        "has a third field that is not a list of prefix=..., read-only and admin: separate them by commas; a password \
         contains no colon"
    )]
    BadOption,
    #[error("has an option twice")]
    RepeatedOption,
    #[error(
        "has a prefix that is empty, longer than {MAX_PREFIX_LEN} bytes, or contains a space or a control character"
    )]
    BadPrefix,
    #[error("has the same name and password as another line")]
    Repeated,
    #[error("is the end of a file without a user: write name:password")]
    NoUser,
    #[error("is one user too many: {MAX_USERS} are possible")]
    TooManyUsers,
}

/// Reads the users from the contents of a file. There is at least one.
///
/// # Errors
/// A line is refused.
pub(super) fn parse(contents: &[u8]) -> Result<Vec<User>, AuthFileError> {
    let mut users: Vec<User> = Vec::new();
    let contents = contents.strip_suffix(b"\n").unwrap_or(contents);
    let mut last = 1;
    for (line, text) in (1..).zip(contents.split(|&byte| byte == b'\n')) {
        last = line;
        let refused = |fault| AuthFileError { line, fault };
        let Some(entry) = parse_line(text).map_err(refused)? else {
            continue;
        };
        let user = entry.user();
        if users.iter().any(|other| bool::from(other.matches(&Attempt::new(entry.name, entry.password)))) {
            return Err(refused(Fault::Repeated));
        }
        if users.len() == MAX_USERS {
            return Err(refused(Fault::TooManyUsers));
        }
        users.push(user);
    }
    // A file that is being written may be empty for a moment.
    if users.is_empty() { Err(AuthFileError { line: last, fault: Fault::NoUser }) } else { Ok(users) }
}

/// A line with a user.
struct Entry<'a> {
    name: &'a [u8],
    password: &'a [u8],
    rights: Rights,
}

impl Entry<'_> {
    fn user(&self) -> User {
        User::new(self.name, self.password, self.rights.clone())
    }
}

/// Returns `None` for an empty line and a comment.
fn parse_line(line: &[u8]) -> Result<Option<Entry<'_>>, Fault> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > MAX_LINE_LEN {
        return Err(Fault::TooLong);
    }
    let mut fields = line.splitn(3, |&byte| byte == b':');
    let (name, password, options) = (fields.next().unwrap_or_default(), fields.next(), fields.next());
    let Some(password) = password else {
        return if line.is_empty() || line.starts_with(b"#") { Ok(None) } else { Err(Fault::NoColon) };
    };
    if line.starts_with(b"#") {
        return Err(Fault::CommentWithColon);
    }
    if line.iter().any(|byte| matches!(byte, b'\0' | b'\r')) {
        return Err(Fault::ControlByte);
    }
    if name.is_empty() {
        return Err(Fault::NoName);
    }
    if !is_word(name) {
        return Err(Fault::BadName);
    }
    if password.is_empty() {
        return Err(Fault::NoPassword);
    }
    let rights = options.map_or(Ok(Rights::default()), parse_options)?;
    Ok(Some(Entry { name, password, rights }))
}

fn parse_options(options: &[u8]) -> Result<Rights, Fault> {
    let mut rights = Rights::default();
    for option in options.split(|&byte| byte == b',') {
        let is_repeated = match option {
            b"read-only" => std::mem::replace(&mut rights.is_read_only, true),
            b"admin" => std::mem::replace(&mut rights.is_admin, true),
            _ => {
                let prefix = option.strip_prefix(b"prefix=").ok_or(Fault::BadOption)?;
                if prefix.contains(&b':') {
                    return Err(Fault::BadOption);
                }
                if prefix.is_empty() || prefix.len() > MAX_PREFIX_LEN || !is_word(prefix) {
                    return Err(Fault::BadPrefix);
                }
                rights.prefix.replace(prefix.into()).is_some()
            }
        };
        if is_repeated {
            return Err(Fault::RepeatedOption);
        }
    }
    Ok(rights)
}

/// Whether there is neither a space nor a control character.
fn is_word(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte > b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rights of the user with these credentials.
    fn rights(contents: &str, name: &str, password: &str) -> Option<Rights> {
        let users = parse(contents.as_bytes()).unwrap_or_else(|error| panic!("{contents:?}: {error}"));
        let attempt = Attempt::new(name.as_bytes(), password.as_bytes());
        users.into_iter().find(|user| user.matches(&attempt).into()).map(|user| user.rights)
    }

    fn fault(contents: &[u8]) -> (usize, Fault) {
        let error = parse(contents).expect_err(&contents.escape_ascii().to_string());
        (error.line, error.fault)
    }

    #[test]
    fn each_line_is_a_user() {
        let file = "foo:bar\nbaaaz:quux\n";
        assert_eq!(rights(file, "foo", "bar"), Some(Rights::default()));
        assert_eq!(rights(file, "baaaz", "quux"), Some(Rights::default()));
        assert_eq!(rights(file, "foo", "quux"), None);
        assert_eq!(rights("ada:a pass word", "ada", "a pass word"), Some(Rights::default()), "without a line feed");
        assert_eq!(rights("ada:one\r\nbob:two\r\n", "bob", "two"), Some(Rights::default()));
        assert_eq!(rights("ada:old\nada:new\n", "ada", "old"), rights("ada:old\nada:new\n", "ada", "new"));
        assert_eq!(rights("\n# a comment\n\nada:one\n\n", "ada", "one"), Some(Rights::default()));
        assert_eq!(rights("ada:#\u{e4}\n", "ada", "#\u{e4}"), Some(Rights::default()));
    }

    #[test]
    fn the_third_field_has_options() {
        let rights = |options: &str| rights(&format!("ada:secret:{options}\n"), "ada", "secret").unwrap();
        let all = rights("read-only,prefix=app1-,admin");
        assert_eq!((all.prefix.as_deref(), all.is_read_only, all.is_admin), (Some(&b"app1-"[..]), true, true));
        assert_eq!(rights("prefix=a=b"), Rights { prefix: Some((*b"a=b").into()), ..Rights::default() });
        assert_eq!(rights("admin"), Rights { is_admin: true, ..Rights::default() });
        assert_eq!(rights("read-only"), Rights { is_read_only: true, ..Rights::default() });
    }

    #[test]
    fn a_line_is_refused_by_its_number_and_its_fault() {
        for (contents, line, expected) in [
            (&b"ada:one\nbob\n"[..], 2, Fault::NoColon),
            (b" \n", 1, Fault::NoColon),
            (b"# password: one\n", 1, Fault::CommentWithColon),
            (b":one\n", 1, Fault::NoName),
            (b"a da:one\n", 1, Fault::BadName),
            (b"a\tda:one\n", 1, Fault::BadName),
            (b"ada:\n", 1, Fault::NoPassword),
            (b"ada::read-only\n", 1, Fault::NoPassword),
            (b"ada:o\rne\n", 1, Fault::ControlByte),
            (b"ada:o\0ne\n", 1, Fault::ControlByte),
            // For memcached these colons are a part of the password.
            (b"ada:one:two\n", 1, Fault::BadOption),
            (b"ada:one:\n", 1, Fault::BadOption),
            (b"ada:one:admin,\n", 1, Fault::BadOption),
            (b"ada:one:admin:admin\n", 1, Fault::BadOption),
            (b"ada:one:prefix=a:b\n", 1, Fault::BadOption),
            (b"ada:one:prefix=\n", 1, Fault::BadPrefix),
            (b"ada:one:prefix=a b\n", 1, Fault::BadPrefix),
            (b"ada:one:prefix=a,prefix=b\n", 1, Fault::RepeatedOption),
            (b"ada:one:admin,read-only,admin\n", 1, Fault::RepeatedOption),
            (b"bob:one\n\nada:one\nbob:one:admin\n", 4, Fault::Repeated),
            (b"", 1, Fault::NoUser),
            (b"\n\n# no user\n", 3, Fault::NoUser),
        ] {
            assert_eq!(fault(contents), (line, expected), "{}", contents.escape_ascii());
        }
        let line = |len| [&b"ada:"[..], &vec![b'p'; len - 4]].concat();
        assert!(parse(&line(MAX_LINE_LEN)).is_ok());
        assert_eq!(fault(&line(MAX_LINE_LEN + 1)), (1, Fault::TooLong));
        let users = |count: usize| (0..count).map(|n| format!("user{n}:secret\n")).collect::<String>();
        assert_eq!(parse(users(MAX_USERS).as_bytes()).map(|users| users.len()), Ok(MAX_USERS));
        assert_eq!(fault(users(MAX_USERS + 1).as_bytes()), (MAX_USERS + 1, Fault::TooManyUsers));
    }

    #[test]
    fn no_error_contains_a_part_of_the_file() {
        for contents in ["SECRET", "SECRET:", ":SECRET", "ada:SECRET:SECRET", "ada:SECRET:prefix=", "# SECRET: SECRET"]
        {
            let error = parse(contents.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
        }
        let users = parse(b"SECRETNAME:SECRET:prefix=SECRETPREFIX").unwrap();
        assert!(!format!("{users:?}").contains("SECRET"), "{users:?}");
    }

    /// What memcached 1.6.45 reads from a file, written after its `authfile_load`: pieces of at most 255 bytes; the name ends
    /// at the first colon, the password at a line feed, a carriage return or a NUL.
    fn memcached(contents: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut users = Vec::new();
        let mut rest = contents;
        while !rest.is_empty() && users.len() < 8 {
            let len = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1).min(255);
            let (piece, after) = rest.split_at(len);
            rest = after;
            let c_string = &piece[..piece.iter().position(|&byte| byte == 0).unwrap_or(len)];
            let colon = c_string.iter().position(|&byte| byte == b':')?;
            let password = &c_string[colon + 1..];
            let end = password.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            users.push((c_string[..colon].to_vec(), password[..end.unwrap_or(password.len())].to_vec()));
            if end.is_none() {
                break;
            }
        }
        Some(users)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_file_that_memcached_accepts_has_the_same_users_or_is_refused(
            contents in prop::collection::vec(prop::sample::select(&b"ab:\n\r# \0,\xff"[..]), 0..40),
        ) {
            if let (Some(theirs), Ok(ours)) = (memcached(&contents), parse(&contents)) {
                // memcached ignores the users after the eighth.
                prop_assert!(ours.len() == theirs.len() || theirs.len() == 8 && ours.len() > 8);
                for ((name, password), user) in theirs.iter().zip(&ours) {
                    prop_assert!(bool::from(user.matches(&Attempt::new(name, password))), "{}", contents.escape_ascii());
                }
            }
        }

        #[test]
        fn any_bytes_are_a_file_or_an_error(contents in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&contents);
        }
    }
}
