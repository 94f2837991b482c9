//! The rules, as the documentation states them.

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Reads a pair.
    Read,
    /// Changes a pair, or its expiration time, or its marks.
    Write,
    /// Takes or releases a lock.
    Lock,
    /// Deletes all pairs.
    Clear,
    /// All statistics, of which others than administrators get a part.
    Statistics,
    /// Other statistics, and their reset.
    Settings,
    /// Concerns the connection alone.
    Free,
}

/// A user of the file of credentials.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) prefix: Option<&'static str>,
    pub(crate) is_read_only: bool,
    pub(crate) is_admin: bool,
}

pub(crate) const PREFIX: &str = "app1-";
pub(crate) const PASSWORD: &str = "a secret";

const fn user(name: &'static str, prefix: Option<&'static str>, is_read_only: bool, is_admin: bool) -> User {
    User { name, prefix, is_read_only, is_admin }
}

pub(crate) const ADMIN: User = user("admin", None, false, true);

pub(crate) const USERS: [User; 8] = [
    user("plain", None, false, false),
    user("prefix", Some(PREFIX), false, false),
    user("reader", None, true, false),
    user("prefix-reader", Some(PREFIX), true, false),
    ADMIN,
    user("prefix-admin", Some(PREFIX), false, true),
    user("reader-admin", None, true, true),
    user("all", Some(PREFIX), true, true),
];

impl User {
    /// The line of the file.
    pub(crate) fn line(&self) -> String {
        let options = [
            self.prefix.map(|prefix| format!("prefix={prefix}")),
            self.is_read_only.then(|| "read-only".to_owned()),
            self.is_admin.then(|| "admin".to_owned()),
        ];
        let options: Vec<_> = options.into_iter().flatten().collect();
        let colon = if options.is_empty() { "" } else { ":" };
        format!("{}:{PASSWORD}{colon}{}\n", self.name, options.join(","))
    }

    /// Whether a connection of this user may do this with `key`, on a listener that has this right.
    pub(crate) fn may(&self, class: Class, key: &str, has_admin_listener: bool) -> bool {
        let has_key = self.prefix.is_none_or(|prefix| key.starts_with(prefix));
        let is_admin = self.is_admin || has_admin_listener;
        match class {
            Class::Read => has_key,
            Class::Write | Class::Lock => has_key && !self.is_read_only,
            Class::Clear => is_admin && !self.is_read_only && self.prefix.is_none(),
            Class::Statistics | Class::Settings => is_admin,
            Class::Free => true,
        }
    }
}
